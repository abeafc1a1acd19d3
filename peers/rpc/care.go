// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

const (
	pathCare       = "/v1/care/"
	pathCareShards = "/v1/care/shards/"
	pathCareAudit  = "/v1/care/audit"

	// maxCare bounds a message about tasks of caretakers, in bytes: a signed
	// task, or a part of one.
	maxCare       = 1<<20 + 1<<10
	maxCareAnswer = 64 << 10
	verbNewest    = "newest" // answered by a signed task
)

// Care is what this device knows of tasks of caretakers, package caretaker. rpc
// carries its messages and shards. Errors are those of package peers.
type Care interface {
	Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error)
	// Caretaker says whether a device outside the circle is the caretaker of
	// somebody in it.
	Caretaker(device peers.DeviceID) bool
	// Reads and Writes give the owner under whose account a caretaker may read
	// or store a shard. What Writes allowed holds until done is called.
	Reads(from peers.DeviceID, id peers.ShardID) (peers.DeviceID, error)
	Writes(ctx context.Context, from peers.DeviceID, id peers.ShardID, root peers.Root, size int64) (owner peers.DeviceID, done func(), err error)
}

// caring says whether a device outside the circle is a caretaker.
func (v *server) caring(d peers.DeviceID) bool {
	return v.s.cfg.Care != nil && v.s.cfg.Care.Caretaker(d)
}

// carer lets members through and caretakers of members.
func (v *server) carer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		if c == nil || v.s.cfg.Care == nil || !v.s.cfg.Book.Has(c.Device()) && !v.caring(c.Device()) {
			v.fail(w, r, peers.ErrRefused)
			return
		}
		if err := h(w, r, c.Device()); err != nil {
			v.fail(w, r, err)
		}
	})
}

func (v *server) careRoutes(mux *http.ServeMux) {
	mux.Handle("POST "+pathCare+"{verb}", v.carer(v.care))
	mux.Handle("GET "+pathCareShards+"{id}", v.carer(v.careGet))
	mux.Handle("PUT "+pathCareShards+"{id}", v.carer(v.carePut))
	mux.Handle("POST "+pathCareAudit, v.carer(v.careAudit))
}

func (v *server) care(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	leave, err := enter(v.news)
	if err != nil {
		return err
	}
	defer leave()
	raw, err := v.body1(w, r, maxCare)
	if err != nil {
		return err
	}
	answer, err := v.s.cfg.Care.Answer(r.Context(), r.PathValue("verb"), from, raw)
	if err != nil {
		return err
	}
	v.write(w, http.StatusOK, answer)
	return nil
}

// careGet is get for a caretaker that has shown what it may read.
func (v *server) careGet(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	id, err := parseShardID(r.PathValue("id"))
	if err != nil {
		return err
	}
	owner, err := v.s.cfg.Care.Reads(from, id)
	if err != nil {
		return err
	}
	return v.sendShard(w, r, owner, id)
}

// carePut is put for a caretaker that has shown what it may store.
func (v *server) carePut(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	return v.store(w, r, func(id peers.ShardID, root erasure.Root, size int64) (peers.DeviceID, func(), error) {
		return v.s.cfg.Care.Writes(r.Context(), from, id, root, size)
	})
}

// careAudit is audit for a caretaker, of what it may read of one owner.
func (v *server) careAudit(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	return v.prove(w, r, func(ids []peers.ShardID) (owner peers.DeviceID, err error) {
		for i, id := range ids {
			of, err := v.s.cfg.Care.Reads(from, id)
			if err != nil {
				return owner, err
			}
			if i > 0 && of != owner {
				return owner, fmt.Errorf("%w: audit of shards of two owners", errMessage)
			}
			owner = of
		}
		return owner, nil
	})
}

// Cared is a keeper of somebody whose caretaker this device is, at addresses that
// the owner's task names: of those only what may be dialled on another's word.
func (s *Service) Cared(id peers.DeviceID, addresses []string) *Client {
	return s.Fellow(id, circle.Learned(addresses, s.alone()))
}

// Care sends the device a message about tasks. The bytes are those of package
// caretaker, both ways.
func (c *Client) Care(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	limit := int64(maxCareAnswer)
	if verb == verbNewest {
		limit = maxCare
	}
	b, err := c.link.post(ctx, pathCare+verb, raw, limit)
	return b, c.wrap(err)
}

// ReadCared fills dst from a shard of somebody whose caretaker this device is.
func (c *Client) ReadCared(ctx context.Context, id peers.ShardID, dst []byte) error {
	req := newRequest(http.MethodGet, c.link.host, pathCareShards+id.String())
	want := "0-" + strconv.Itoa(len(dst)-1)
	req.Header["Range"] = []string{"bytes=" + want}
	resp, err := c.link.do(ctx, req)
	if err != nil {
		return c.wrap(err)
	}
	return c.wrap(c.readBody(resp, want, dst))
}

// AuditCared asks the device to prove that it holds shards of somebody whose
// caretaker this device is; as AuditShards.
func (c *Client) AuditCared(ctx context.Context, nonce peers.Nonce, ids []peers.ShardID, sizes []int64, spots int) ([]peers.Proof, error) {
	return c.proofs(ctx, pathCareAudit, nonce, ids, sizes, spots)
}

// PutCared stores a shard of somebody whose caretaker this device is. It does
// not return before it is done with data, also when ctx ends.
func (c *Client) PutCared(ctx context.Context, id peers.ShardID, root erasure.Root, data []byte) error {
	return c.wrap(c.sendShard(ctx, pathCareShards, id, root, data))
}

// sendShard stores a shard and returns when nothing reads from data any more.
func (c *Client) sendShard(ctx context.Context, path string, id peers.ShardID, root erasure.Root, data []byte) error {
	if len(data) > peers.MaxShard {
		return fmt.Errorf("%w (a shard of %d bytes is too large)", peers.ErrRefused, len(data))
	}
	b := newBody(data)
	req := b.request(http.MethodPut, c.link.host, path+id.String())
	req.Header[headerRoot] = []string{hex.EncodeToString(root[:])}
	resp, err := c.link.do(ctx, req)
	// The transport may still be reading from data when it has an answer, or
	// gave up: the caller gets its bytes back only when it no longer does.
	if resp != nil {
		err = c.finish(resp, nil)
	}
	b.wait()
	return err
}

// store takes a shard; whose says under whose account, once its name, root and
// size are known, and what is to be called when the shard is stored or is not.
func (v *server) store(w http.ResponseWriter, r *http.Request, whose func(peers.ShardID, erasure.Root, int64) (peers.DeviceID, func(), error)) error {
	id, err := parseShardID(r.PathValue("id"))
	if err != nil {
		return err
	}
	var root erasure.Root
	if err := parseHex(root[:], r.Header.Get(headerRoot)); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if r.ContentLength < 0 {
		return fmt.Errorf("%w: a shard without a length", errMessage)
	}
	if r.ContentLength > peers.MaxShard {
		return errTooLarge
	}
	if v.s.cfg.Depot == nil {
		return peers.ErrRefused
	}
	owner, done, err := whose(id, root, r.ContentLength)
	if err != nil {
		return err
	}
	defer done()
	b := v.body(w, r)
	err = v.s.cfg.Depot.Put(r.Context(), owner, id, root, r.ContentLength, b)
	if b.err != nil { // the sender's fault, whatever the depot made of it
		return fmt.Errorf("%w: body: %w", errMessage, b.err)
	}
	if err != nil {
		return err
	}
	if err := v.drain(w, r); err != nil { // a shard that was there already
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	v.done204(w)
	return nil
}
