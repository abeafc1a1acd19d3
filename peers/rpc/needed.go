// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"net/http"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

const pathNeeded = "/v1/shards/needed"

// maxNeeded bounds a message with a list.
const maxNeeded = shardlist.MaxSize + 16

// Lists follows what owners say they need, as package depot does. The list
// was read and its signature checked; raw is how it came.
type Lists interface {
	Needed(ctx context.Context, l *shardlist.List, raw []byte) (shardlist.Swept, error)
}

type neededMsg struct {
	List []byte `cbor:"1,keyasint"`
}

// needed takes an owner's list of the shards that it needs here.
func (v *server) needed(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error {
	if v.s.cfg.Lists == nil {
		return peers.ErrRefused
	}
	var in neededMsg
	if err := v.read(w, r, maxNeeded, &in); err != nil {
		return err
	}
	p, _ := v.s.cfg.Book.Peer(owner)
	l, err := shardlist.Parse(in.List, owner, v.s.cfg.Identity.Device(), p.Sign)
	if err != nil {
		return fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	swept, err := v.s.cfg.Lists.Needed(r.Context(), l, in.List)
	if err != nil {
		return err
	}
	v.answer(w, http.StatusOK, swept)
	return nil
}

// Needed gives the device this owner's list of what it needs there;
// peers.ErrStale when it has a newer one.
func (c *Client) Needed(ctx context.Context, list []byte) (shardlist.Swept, error) {
	var a shardlist.Swept
	if err := c.call(ctx, pathNeeded, neededMsg{list}, maxSmall, &a); err != nil {
		return a, c.wrap(err)
	}
	if a.Waiting < 0 || a.Gone < 0 {
		return a, c.wrap(fmt.Errorf("%w (a bad count)", peers.ErrProtocol))
	}
	return a, nil
}
