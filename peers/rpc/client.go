// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

// Client is another device, to ask things of. It keeps up to maxConns
// connections open between requests.
type Client struct {
	s      *Service
	device peers.DeviceID
	link   *link
	last   atomic.Pointer[peers.Info] // what it said of itself last
}

func newClient(s *Service, id peers.DeviceID) *Client {
	c := &Client{s: s, device: id, link: newLink(s, id, func() []string {
		p, _ := s.cfg.Book.Peer(id)
		return p.Addresses
	})}
	c.link.member = true
	return c
}

// Device is the device's ID.
func (c *Client) Device() peers.DeviceID { return c.device }

// Name is the device's name for people.
func (c *Client) Name() string {
	if p, ok := c.s.cfg.Book.Peer(c.device); ok {
		return p.Name
	}
	return c.device.Short()
}

// PutShard implements peers.Keeper. It does not return before it is done with
// data, also when ctx ends.
func (c *Client) PutShard(ctx context.Context, id peers.ShardID, root erasure.Root, data []byte) error {
	return c.wrap(c.sendShard(ctx, pathShards, id, root, data))
}

// ReadShard implements peers.Keeper. What is in dst after an error is not to
// be used.
func (c *Client) ReadShard(ctx context.Context, id peers.ShardID, off int64, dst []byte) error {
	if len(dst) == 0 {
		return nil
	}
	req := newRequest(http.MethodGet, c.link.host, pathShards+id.String())
	last := off + int64(len(dst)) - 1
	want := strconv.FormatInt(off, 10) + "-" + strconv.FormatInt(last, 10)
	req.Header["Range"] = []string{"bytes=" + want}
	resp, err := c.link.do(ctx, req)
	if err != nil {
		return c.wrap(err)
	}
	return c.wrap(c.readBody(resp, want, dst))
}

// readBody takes exactly the asked bytes from the answer.
func (c *Client) readBody(resp *response, want string, dst []byte) error {
	if resp.StatusCode != http.StatusPartialContent {
		return c.finish(resp, nil)
	}
	defer resp.close()
	r := resp.Header.Get("Content-Range")
	if len(r) < len(want)+7 || r[:6] != "bytes " || r[6:6+len(want)] != want || r[6+len(want)] != '/' {
		return fmt.Errorf("%w (another range than asked for)", peers.ErrDamaged)
	}
	if resp.ContentLength != int64(len(dst)) {
		return fmt.Errorf("%w (%d bytes instead of %d)", peers.ErrDamaged, resp.ContentLength, len(dst))
	}
	n, err := io.ReadFull(resp.Body, dst)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return fmt.Errorf("%w (the connection broke after %d of %d bytes)", peers.ErrUnreachable, n, len(dst))
		}
		return resp.cause(err)
	}
	// Reading on to the end frees the connection for the next request.
	var one [1]byte
	if n, err := resp.Body.Read(one[:]); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w (more bytes than asked for)", peers.ErrDamaged)
	}
	return nil
}

// StatShards implements peers.Keeper.
func (c *Client) StatShards(ctx context.Context, ids []peers.ShardID) ([]int64, error) {
	out := make([]int64, 0, len(ids))
	for len(ids) > 0 {
		part := ids[:min(len(ids), maxIDs)]
		ids = ids[len(part):]
		var a statAnswer
		if err := c.call(ctx, pathStat, newShardsMsg(part), maxSizes, &a); err != nil {
			return nil, c.wrap(err)
		}
		if len(a.Sizes) != len(part) {
			return nil, c.wrap(fmt.Errorf("%w (%d sizes for %d shards)", peers.ErrProtocol, len(a.Sizes), len(part)))
		}
		for _, n := range a.Sizes {
			if n < -1 || n > peers.MaxShard {
				return nil, c.wrap(fmt.Errorf("%w (a shard of %d bytes)", peers.ErrProtocol, n))
			}
		}
		out = append(out, a.Sizes...)
	}
	return out, nil
}

// DeleteShards implements peers.Keeper.
func (c *Client) DeleteShards(ctx context.Context, ids []peers.ShardID) error {
	for len(ids) > 0 {
		part := ids[:min(len(ids), maxIDs)]
		ids = ids[len(part):]
		if err := c.call(ctx, pathDelete, newShardsMsg(part), 0, nil); err != nil {
			return c.wrap(err)
		}
	}
	return nil
}

// Info implements peers.Keeper.
func (c *Client) Info(ctx context.Context) (peers.Info, error) {
	info, _, err := c.hello(ctx, c.s.Addresses())
	return info, err
}

// hello tells the device about this one and asks how it is.
func (c *Client) hello(ctx context.Context, addresses []string) (peers.Info, time.Duration, error) {
	var a helloAnswer
	msg := helloMsg{
		Name: circle.CleanName(c.s.cfg.Name()), Version: c.s.cfg.Version,
		Addresses: circle.CleanAddresses(addresses), Keys: c.s.keys(), Own: c.s.cfg.Book.Own(),
	}
	latency, err := c.callTimed(ctx, pathHello, msg, maxSmall, &a)
	if err == nil && (a.Quota < 0 || a.Used < 0 || a.Free < 0 || a.Shards < 0) {
		err = fmt.Errorf("%w (negative sizes)", peers.ErrProtocol)
	}
	if err != nil {
		return peers.Info{}, latency, c.wrap(err)
	}
	c.s.introduced(c.device, a.Own)
	c.s.learned(a.Newer)
	name := circle.CleanName(a.Name)
	if err := c.s.cfg.Book.Hear(c.device, func(p *circle.Peer) {
		p.Name = name
		a.Keys.into(p)
	}); err != nil {
		c.s.log.Debug("note name", "device", c.device.Short(), "error", err)
	}
	info := peers.Info{
		Name: name, Version: circle.CleanName(a.Version), Quota: a.Quota, Used: a.Used,
		Free: a.Free, Shards: a.Shards, UnixTime: a.UnixTime,
	}
	if c.last.Swap(&info) == nil {
		c.s.changed()
	}
	return info, latency, nil
}

// call sends a message and reads the answer; a nil answer expects none.
func (c *Client) call(ctx context.Context, path string, msg any, limit int64, answer any) error {
	_, err := c.callTimed(ctx, path, msg, limit, answer)
	return err
}

func (c *Client) callTimed(ctx context.Context, path string, msg any, limit int64, answer any) (time.Duration, error) {
	return c.link.call(ctx, path, msg, limit, answer)
}

// finish ends an answer without a body to read.
func (c *Client) finish(resp *response, answer any) error {
	return c.link.finish(resp, maxSmall, answer)
}

// wrap puts the device's name before an error; ctx's own errors stay bare.
func (c *Client) wrap(err error) error {
	if err == nil {
		if serr := c.s.cfg.Book.Seen(c.device); serr != nil && !errors.Is(serr, circle.ErrUnknownPeer) {
			c.s.log.Warn("note that a peer was seen", "error", serr)
		}
		return nil
	}
	return fmt.Errorf("%s: %w", c.Name(), err)
}

func (c *Client) forgive() { c.link.forgive() }
func (c *Client) close()   { c.link.close() }
