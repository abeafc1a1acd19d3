// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"net/http"

	"github.com/preezm/preezm/peers"
)

// Paths of mail, and the limits of its messages in bytes.
const (
	pathMailPut   = "/v1/mail/put"
	pathMailFetch = "/v1/mail/fetch"
	pathMailTook  = "/v1/mail/took"

	maxMailPut   = 66 << 10
	maxMailFetch = 1 << 20
	maxMailTook  = 16 << 10
)

// Mail keeps and takes small sealed messages, package mailbox. Errors are those
// of package peers.
type Mail interface {
	// Keep takes a message that a member brings, for this device or another.
	Keep(ctx context.Context, from peers.DeviceID, raw []byte) error
	// Fetch gives what waits for a member, within maxMailFetch.
	Fetch(ctx context.Context, to peers.DeviceID) ([][]byte, error)
	// Took forgets messages that a member has.
	Took(ctx context.Context, to peers.DeviceID, ids [][]byte) error
	// Waits says that mail for this device waits at another. It must not block.
	Waits(at peers.DeviceID)
}

// mailMsg is a list of messages, or of their IDs.
type mailMsg struct {
	List [][]byte `cbor:"1,keyasint"`
}

func (v *server) mailPut(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Mail == nil {
		return peers.ErrRefused
	}
	raw, err := v.body1(w, r, maxMailPut)
	if err != nil {
		return err
	}
	if err := v.s.cfg.Mail.Keep(r.Context(), from, raw); err != nil {
		return err
	}
	v.done204(w)
	return nil
}

func (v *server) mailFetch(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Mail == nil {
		return peers.ErrRefused
	}
	list, err := v.s.cfg.Mail.Fetch(r.Context(), from)
	if err != nil {
		return err
	}
	v.answer(w, http.StatusOK, mailMsg{list})
	return nil
}

func (v *server) mailTook(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Mail == nil {
		return peers.ErrRefused
	}
	var in mailMsg
	if err := v.read(w, r, maxMailTook, &in); err != nil {
		return err
	}
	if err := v.s.cfg.Mail.Took(r.Context(), from, in.List); err != nil {
		return err
	}
	v.done204(w)
	return nil
}

// PutMail leaves a sealed message with the device.
func (c *Client) PutMail(ctx context.Context, raw []byte) error {
	return c.tell(ctx, pathMailPut, raw)
}

// FetchMail gives the messages that wait at the device for this one.
func (c *Client) FetchMail(ctx context.Context) ([][]byte, error) {
	var a mailMsg
	if err := c.call(ctx, pathMailFetch, mailMsg{}, maxMailFetch, &a); err != nil {
		return nil, c.wrap(err)
	}
	return a.List, c.wrap(nil)
}

// TookMail has the device forget messages.
func (c *Client) TookMail(ctx context.Context, ids [][]byte) error {
	if len(ids)*20 > maxMailTook {
		return c.wrap(fmt.Errorf("%w (%d messages)", peers.ErrRefused, len(ids)))
	}
	return c.wrap(c.call(ctx, pathMailTook, mailMsg{ids}, 0, nil))
}

// PushMail tells a device that is in touch that mail for it waits here.
func (s *Service) PushMail(to peers.DeviceID) {
	if c := s.touch(to); c != nil {
		// When it does not hear, it asks when it is next in touch.
		s.running.Go(func() { _ = c.send(controlMsg{What: controlMail}) })
	}
}
