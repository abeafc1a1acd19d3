// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// xdnd drags files onto a window as a file manager does: it is the source's
// half of the XDND protocol, version 5, over a connection of its own.
type xdnd struct {
	x      *xgb.Conn
	root   xproto.Window
	source xproto.Window
	atoms  map[string]xproto.Atom
	data   []byte
}

// drop lets files fall onto the middle of the window of a screen.
func (s *screen) drop(files ...string) {
	s.t.Helper()
	if err := dropOn(s.display, files); err != nil {
		s.t.Fatalf("%s: drop %v: %v", s.name, files, err)
	}
}

func dropOn(display string, files []string) error {
	x, err := xgb.NewConnDisplay(display)
	if err != nil {
		return err
	}
	defer x.Close()
	d := &xdnd{x: x, root: xproto.Setup(x).DefaultScreen(x).Root, atoms: map[string]xproto.Atom{}}
	for _, f := range files {
		d.data = append(d.data, (&url.URL{Scheme: "file", Path: f}).String()+"\r\n"...)
	}
	for _, name := range []string{"XdndAware", "XdndSelection", "XdndEnter", "XdndPosition", "XdndStatus", "XdndDrop", "XdndFinished", "XdndActionCopy", "text/uri-list"} {
		r, err := xproto.InternAtom(x, false, uint16(len(name)), name).Reply()
		if err != nil {
			return err
		}
		d.atoms[name] = r.Atom
	}
	target, err := d.target()
	if err != nil {
		return err
	}
	if d.source, err = xproto.NewWindowId(x); err != nil {
		return err
	}
	if err := xproto.CreateWindowChecked(x, 0, d.source, d.root, 0, 0, 1, 1, 0, xproto.WindowClassInputOnly, 0, 0, nil).Check(); err != nil {
		return err
	}
	if err := xproto.SetSelectionOwnerChecked(x, d.source, d.atoms["XdndSelection"], xproto.TimeCurrentTime).Check(); err != nil {
		return err
	}
	uris := uint32(d.atoms["text/uri-list"])
	if err := d.say(target, "XdndEnter", 5<<24, uris, 0, 0); err != nil {
		return err
	}
	if err := d.say(target, "XdndPosition", 0, 500<<16|400, xproto.TimeCurrentTime, uint32(d.atoms["XdndActionCopy"])); err != nil {
		return err
	}
	if err := d.wait("XdndStatus"); err != nil {
		return err
	}
	if err := d.say(target, "XdndDrop", 0, xproto.TimeCurrentTime, 0, 0); err != nil {
		return err
	}
	return d.wait("XdndFinished")
}

// target is the first window that takes drops.
func (d *xdnd) target() (xproto.Window, error) {
	var search func(w xproto.Window) (xproto.Window, error)
	search = func(w xproto.Window) (xproto.Window, error) {
		p, err := xproto.GetProperty(d.x, false, w, d.atoms["XdndAware"], xproto.GetPropertyTypeAny, 0, 1).Reply()
		if err == nil && p.ValueLen > 0 {
			return w, nil
		}
		tree, err := xproto.QueryTree(d.x, w).Reply()
		if err != nil {
			return 0, err
		}
		for _, child := range tree.Children {
			if found, err := search(child); err == nil {
				return found, nil
			}
		}
		return 0, errors.New("no window takes drops")
	}
	return search(d.root)
}

func (d *xdnd) say(to xproto.Window, what string, data ...uint32) error {
	data = append([]uint32{uint32(d.source)}, data...)
	e := xproto.ClientMessageEvent{Format: 32, Window: to, Type: d.atoms[what], Data: xproto.ClientMessageDataUnionData32New(data)}
	return xproto.SendEventChecked(d.x, false, to, 0, string(e.Bytes())).Check()
}

// wait answers requests for the data until a message comes.
func (d *xdnd) wait(message string) error {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		event, xerr := d.x.PollForEvent()
		if xerr != nil {
			return fmt.Errorf("%v", xerr)
		}
		switch e := event.(type) {
		case nil:
			time.Sleep(5 * time.Millisecond) // the library cannot wait with an end
		case xproto.ClientMessageEvent:
			if e.Type == d.atoms[message] {
				// GLFW gives the number of bytes here, not only the lowest bit.
				if e.Data.Data32[1] == 0 {
					return errors.New("the window does not want it")
				}
				return nil
			}
		case xproto.SelectionRequestEvent:
			if err := d.give(e); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("no %s within 20 s", strings.TrimPrefix(message, "Xdnd"))
}

func (d *xdnd) give(e xproto.SelectionRequestEvent) error {
	property := e.Property
	if e.Target != d.atoms["text/uri-list"] {
		property = xproto.AtomNone
	} else if err := xproto.ChangePropertyChecked(d.x, xproto.PropModeReplace, e.Requestor, property, e.Target, 8, uint32(len(d.data)), d.data).Check(); err != nil {
		return err
	}
	n := xproto.SelectionNotifyEvent{Time: e.Time, Requestor: e.Requestor, Selection: e.Selection, Target: e.Target, Property: property}
	return xproto.SendEventChecked(d.x, false, e.Requestor, 0, string(n.Bytes())).Check()
}
