// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/preezm/preezm/peers"
)

// Paths of devices that are let in without being members.
const (
	pathPass    = "/v1/pass"
	pathOwner   = "/v1/owner"
	pathLent    = "/v1/lent/"
	pathGateway = "/v1/gateway/"
	pathPlan    = "/v1/plan"
)

// Limits, in bytes.
const (
	maxPass  = 1 << 20
	maxOwner = 256 << 10 // a list of devices keeps up to 4096 grants
	maxAsk   = 1 << 20   // to a gateway
	// maxServed bounds a gateway's answer: a sealed chunk and little more.
	maxServed = 8<<20 + 4<<10
)

// Guests decides about devices that are not in the circle: brands that hold a
// grant, and the gateways of owners that are. Package gateway implements it;
// rpc carries bytes and knows only their sizes. Errors are those of package
// peers.
type Guests interface {
	// Open says whether anybody could have a pass for this device.
	Open() bool
	// Known says whether a device showed a pass that still holds.
	Known(device peers.DeviceID) bool
	// Present checks a pass that a device shows.
	Present(ctx context.Context, device peers.DeviceID, pass []byte) error
	// Statement takes what a member says about whom it may send.
	Statement(ctx context.Context, from peers.DeviceID, raw []byte) error
	// Plan takes a newer plan from an owner whose gateway this is.
	Plan(ctx context.Context, from peers.DeviceID, raw []byte) error
	// Answer serves a guest of this gateway.
	Answer(ctx context.Context, verb string, guest peers.DeviceID, raw []byte) ([]byte, error)
	// Lender gives the member whose shard a gateway may read.
	Lender(gateway peers.DeviceID, id peers.ShardID) (peers.DeviceID, error)
	// Courier says whether a device may bring letters for a custodian.
	Courier(gateway peers.DeviceID) bool
}

// passRoutes are for guests with a pass.
func (v *server) passRoutes() http.Handler {
	mux := http.NewServeMux()
	v.careRoutes(mux)
	mux.HandleFunc("POST "+pathPass, v.present)
	mux.HandleFunc("POST "+pathWitness+"gossip", v.gossip("gossip"))
	mux.HandleFunc("POST "+pathWitness+"revoked", v.gossip("revoked"))
	mux.HandleFunc("POST "+pathAccount, v.claim)
	mux.HandleFunc("POST "+pathHelpers+"{verb}", v.fellowHelper)
	mux.HandleFunc("POST "+pathOffice+"{verb}", v.office)
	mux.Handle("GET "+pathLent+"{id}", v.guest(v.lent))
	mux.Handle("POST "+pathGateway+"{verb}", v.guest(v.gateway))
	mux.Handle("POST "+pathWitness+"{verb}", v.guest(func(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
		if r.PathValue("verb") != "letter" || !v.s.cfg.Guests.Courier(from) {
			return peers.ErrRefused
		}
		return v.witness(w, r, from)
	}))
	return mux
}

// guest lets only devices through whose pass holds now.
func (v *server) guest(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		if c == nil || v.s.cfg.Guests == nil || !v.s.cfg.Guests.Known(c.Device()) {
			v.fail(w, r, peers.ErrRefused)
			return
		}
		if err := h(w, r, c.Device()); err != nil {
			v.fail(w, r, err)
		}
	})
}

// body1 takes a whole body of at most limit bytes. Memory is taken as they come,
// not as they are announced.
func (v *server) body1(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > limit {
		return nil, fmt.Errorf("%w: %d bytes", errMessage, r.ContentLength)
	}
	var raw bytes.Buffer
	if _, err := io.CopyN(&raw, v.body(w, r), r.ContentLength); err != nil {
		return nil, fmt.Errorf("%w: body: %w", errMessage, err)
	}
	return raw.Bytes(), nil
}

// present is where a device shows its pass.
func (v *server) present(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	if c == nil || v.s.cfg.Guests == nil {
		v.fail(w, r, peers.ErrRefused)
		return
	}
	raw, err := v.body1(w, r, maxPass)
	if err == nil {
		err = v.s.cfg.Guests.Present(r.Context(), c.Device(), raw)
	}
	if err != nil {
		v.s.log.Debug("a pass was not taken", "device", c.Device().Short(), "error", err)
		v.fail(w, r, err)
		return
	}
	v.done204(w)
}

func (v *server) owner(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Guests == nil {
		return peers.ErrRefused
	}
	raw, err := v.body1(w, r, maxOwner)
	if err != nil {
		return err
	}
	if err := v.s.cfg.Guests.Statement(r.Context(), from, raw); err != nil {
		return err
	}
	v.done204(w)
	return nil
}

// lent is get for a gateway with a permit.
func (v *server) lent(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	id, err := parseShardID(r.PathValue("id"))
	if err != nil {
		return err
	}
	if v.s.cfg.Guests == nil {
		return peers.ErrRefused
	}
	owner, err := v.s.cfg.Guests.Lender(from, id)
	if err != nil {
		return err
	}
	return v.sendShard(w, r, owner, id)
}

// plan is where an owner says that shards or machines moved.
func (v *server) plan(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Guests == nil {
		return peers.ErrRefused
	}
	leave, err := enter(v.news)
	if err != nil {
		return err
	}
	defer leave()
	raw, err := v.body1(w, r, maxAsk)
	if err != nil {
		return err
	}
	if err := v.s.cfg.Guests.Plan(r.Context(), from, raw); err != nil {
		return err
	}
	v.done204(w)
	return nil
}

// enter takes a place in a room, or says that it is full.
func enter(room chan struct{}) (leave func(), err error) {
	select {
	case room <- struct{}{}:
		return func() { <-room }, nil
	default:
		return nil, errBusy
	}
}

func (v *server) gateway(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Guests == nil {
		return peers.ErrRefused
	}
	verb := r.PathValue("verb")
	room := v.carried
	if verb == "chunk" { // may take a minute, which letters do not wait
		room = v.chunks
	}
	leave, err := enter(room)
	if err != nil {
		return err
	}
	defer leave()
	raw, err := v.body1(w, r, maxAsk)
	if err != nil {
		return err
	}
	answer, err := v.s.cfg.Guests.Answer(r.Context(), verb, from, raw)
	if err != nil {
		return err
	}
	v.write(w, http.StatusOK, answer)
	return nil
}
