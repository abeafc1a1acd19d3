// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"net/http"

	"github.com/preezm/preezm/peers"
)

const pathHelpers = "/v1/helpers/"

// maxHelpers bounds a message of helpers, either way.
const maxHelpers = 48 << 10

// Helpers answers as a helper of persons who lost their words, package helper.
// rpc carries its messages. Errors are those of package peers.
type Helpers interface {
	Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error)
	// Fellow reports whether a device that is not in the circle holds another
	// share of somebody's: it may warn and forbid.
	Fellow(device peers.DeviceID) bool
}

// helping says whether a device outside the circle is another helper.
func (v *server) helping(d peers.DeviceID) bool {
	return v.s.cfg.Helpers != nil && v.s.cfg.Helpers.Fellow(d)
}

func (v *server) helpers(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Helpers == nil {
		return peers.ErrUnknown
	}
	leave, err := enter(v.news)
	if err != nil {
		return err
	}
	defer leave()
	raw, err := v.body1(w, r, maxHelpers)
	if err != nil {
		return err
	}
	answer, err := v.s.cfg.Helpers.Answer(r.Context(), r.PathValue("verb"), from, raw)
	if err != nil {
		return err
	}
	v.write(w, http.StatusOK, answer)
	return nil
}

// fellowHelper lets another helper warn and forbid, and nothing else.
func (v *server) fellowHelper(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	verb := r.PathValue("verb")
	if c == nil || verb != "alert" && verb != "veto" || !v.helping(c.Device()) {
		v.fail(w, r, peers.ErrRefused)
		return
	}
	if err := v.helpers(w, r, c.Device()); err != nil {
		v.fail(w, r, err)
	}
}

// Helper asks the device as a helper. The bytes are those of package helper, both
// ways.
func (c *Client) Helper(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	b, err := c.link.post(ctx, pathHelpers+verb, raw, maxHelpers)
	return b, c.wrap(err)
}
