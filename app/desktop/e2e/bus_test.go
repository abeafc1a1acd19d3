// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
)

// bus is a session's message bus with a place for tray icons and notices on
// it, which remembers what it was given.
type bus struct {
	t       *testing.T
	address string
	conn    *dbus.Conn

	mu      sync.Mutex
	item    string // who has a tray icon
	notices []string
}

// newBus starts one, or gives nil where none can be had.
func newBus(t *testing.T) *bus {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Log("no dbus-daemon: tray and notices are not looked at (make deps installs it)")
		return nil
	}
	conf := filepath.Join(t.TempDir(), "bus.conf")
	must(t, os.WriteFile(conf, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600))
	cmd := exec.Command(program, "--config-file="+conf, "--nofork", "--print-address")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	b := &bus{t: t, address: strings.TrimSpace(line)}
	b.conn, err = dbus.Connect(b.address)
	must(t, err)
	t.Cleanup(func() { b.conn.Close() })
	must(t, b.conn.Export(trayPlace{b}, "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher"))
	must(t, b.conn.Export(noticePlace{b}, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"))
	for _, name := range []string{"org.kde.StatusNotifierWatcher", "org.freedesktop.Notifications"} {
		reply, err := b.conn.RequestName(name, dbus.NameFlagDoNotQueue)
		must(t, err)
		if reply != dbus.RequestNameReplyPrimaryOwner {
			t.Fatalf("%s is somebody else's", name)
		}
	}
	return b
}

// trayPlace is what a desktop shows tray icons with.
type trayPlace struct{ *bus }

// RegisterStatusNotifierItem is called by a program with a tray icon.
func (p trayPlace) RegisterStatusNotifierItem(_ string, sender dbus.Sender) *dbus.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.item = string(sender)
	return nil
}

// noticePlace is what a desktop shows notices with.
type noticePlace struct{ *bus }

// Notify is called for each notice.
func (p noticePlace) Notify(_ string, _ uint32, _, title, text string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices = append(p.notices, title+": "+text)
	return uint32(len(p.notices)), nil
}

// told tells whether there was a notice with these words.
func (b *bus) told(words string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(strings.Join(b.notices, "\n"), words)
}

// count is how many notices have these words.
func (b *bus) count(words string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, notice := range b.notices {
		if strings.Contains(notice, words) {
			n++
		}
	}
	return n
}

func (b *bus) owner() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.item
}

// entry is a line of the tray's menu.
type entry struct {
	id    int32
	label string
}

// layout is a menu as it travels.
type layout struct {
	ID         int32
	Properties map[string]dbus.Variant
	Children   []dbus.Variant
}

// menu gives the lines of the tray's menu.
func (b *bus) menu() ([]entry, error) {
	var revision uint32
	var root layout
	call := b.conn.Object(b.owner(), "/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{})
	if err := call.Store(&revision, &root); err != nil {
		return nil, err
	}
	var all []entry
	for _, child := range root.Children {
		var line layout
		if err := dbus.Store([]any{child.Value()}, &line); err != nil {
			return nil, err
		}
		if label, ok := line.Properties["label"].Value().(string); ok && label != "" {
			all = append(all, entry{line.ID, label})
		}
	}
	return all, nil
}

// says tells whether the first line of the tray's menu is this.
func (b *bus) says(words string) bool {
	menu, err := b.menu()
	return err == nil && len(menu) > 0 && menu[0].label == words
}

// press chooses a line of the tray's menu.
func (b *bus) press(label string) {
	b.t.Helper()
	menu, err := b.menu()
	must(b.t, err)
	for _, e := range menu {
		if e.label == label {
			call := b.conn.Object(b.owner(), "/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.Event", 0, e.id, "clicked", dbus.MakeVariant(""), uint32(0))
			must(b.t, call.Err)
			return
		}
	}
	b.t.Fatalf("the tray's menu has no %q: %v", label, menu)
}

// picture tells one tray icon from another; 0 is none.
func (b *bus) picture() uint32 {
	v, err := b.conn.Object(b.owner(), "/StatusNotifierItem").GetProperty("org.kde.StatusNotifierItem.IconPixmap")
	if err != nil {
		return 0
	}
	return crc32.ChecksumIEEE(fmt.Append(nil, v.Value()))
}
