// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"net/http"

	"github.com/preezm/preezm/peers"
)

const pathFarewell = "/v1/farewell"

// farewellMsg says nothing but that the sender removes the receiver from its
// circle: who sends it stands in the certificate.
type farewellMsg struct{}

func (v *server) farewell(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	var in farewellMsg
	if err := v.read(w, r, maxSmall, &in); err != nil {
		return err
	}
	if v.s.cfg.Left != nil {
		v.s.cfg.Left(from)
	}
	v.done204(w)
	return nil
}

// Farewell tells the device that this one removes it from its circle, so that
// it need not wait for what will not come back.
func (c *Client) Farewell(ctx context.Context) error {
	return c.wrap(c.call(ctx, pathFarewell, farewellMsg{}, 0, nil))
}
