// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

// Visit is a device that is asked not as a member of its circle but under a
// pass. Close it.
type Visit struct {
	c    *Client
	pass []byte
	name string
}

// Visit prepares to ask a device under a pass, which is shown when the device
// does not know this one (any more). Nothing is dialled yet. An address that
// is known from the circle is tried as well.
func (s *Service) Visit(device peers.DeviceID, name string, addresses []string, pass []byte) *Visit {
	addresses = given(addresses)
	l := newLink(s, device, func() []string {
		if p, ok := s.cfg.Book.Peer(device); ok {
			return slices.Concat(p.Addresses, addresses)
		}
		return addresses
	})
	l.may = func(address string, ip netip.Addr) bool {
		p, _ := s.cfg.Book.Peer(device)
		return s.told(address, ip) || slices.Contains(p.Addresses, address)
	}
	return &Visit{&Client{s: s, device: device, link: l}, pass, name}
}

// told says whether an address that stands for this IP is dialled on others' word:
// none of this machine's own services, unless nobody else can reach it.
func (s *Service) told(_ string, ip netip.Addr) bool { return circle.MayDial(ip, s.private()) }

// maxGiven bounds the addresses that are dialled because a document says so:
// whoever wrote it could have this device call anybody.
const maxGiven = 8

// given is what is dialled of the addresses in a document.
func given(addresses []string) []string {
	clean := circle.CleanAddresses(addresses)
	return clean[:min(len(clean), maxGiven)]
}

// Close closes idle connections.
func (v *Visit) Close() { v.c.link.close() }

// Letter brings a letter to a custodian and gives its answer.
func (v *Visit) Letter(ctx context.Context, raw []byte) (answer []byte, err error) {
	err = v.with(ctx, func() error {
		answer, err = v.c.link.post(ctx, pathWitness+"letter", raw, maxLetter)
		return err
	})
	return answer, err
}

// Ask asks a gateway.
func (v *Visit) Ask(ctx context.Context, verb string, raw []byte) (answer []byte, err error) {
	err = v.with(ctx, func() error {
		answer, err = v.c.link.post(ctx, pathGateway+verb, raw, maxServed)
		return err
	})
	return answer, err
}

// ReadShard fills dst from a shard that the pass permits to read.
func (v *Visit) ReadShard(ctx context.Context, id peers.ShardID, off int64, dst []byte) error {
	return v.with(ctx, func() error {
		req := newRequest(http.MethodGet, v.c.link.host, pathLent+id.String())
		want := strconv.FormatInt(off, 10) + "-" + strconv.FormatInt(off+int64(len(dst))-1, 10)
		req.Header["Range"] = []string{"bytes=" + want}
		resp, err := v.c.link.do(ctx, req)
		if err != nil {
			return err
		}
		return v.c.readBody(resp, want, dst)
	})
}

// with calls f, and once more after showing the pass when that was missing.
func (v *Visit) with(ctx context.Context, f func() error) error {
	err := f()
	if errors.Is(err, peers.ErrRefused) || errors.Is(err, peers.ErrProtocol) {
		// A guest without a pass finds nothing but the door.
		v.c.link.forgive()
		if err = v.show(ctx); err == nil {
			err = f()
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	return nil
}

func (v *Visit) show(ctx context.Context) error {
	resp, err := v.c.link.send(ctx, pathPass, v.pass)
	if err != nil {
		return err
	}
	err = v.c.finish(resp, nil)
	// The connection on which the pass was shown is good for nothing else.
	v.c.link.close()
	return err
}

// post sends bytes and takes at most limit bytes back.
func (l *link) post(ctx context.Context, path string, raw []byte, limit int64) ([]byte, error) {
	resp, err := l.send(ctx, path, raw)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		if err = l.finish(resp, maxSmall, nil); err == nil {
			err = fmt.Errorf("%w (status %d)", peers.ErrProtocol, resp.StatusCode)
		}
		return nil, err
	}
	defer resp.close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, resp.cause(err)
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("%w (a longer answer than allowed)", peers.ErrProtocol)
	}
	return b.Bytes(), nil
}

// tell sends bytes to which there is no answer but that they were taken.
func (c *Client) tell(ctx context.Context, path string, raw []byte) error {
	resp, err := c.link.send(ctx, path, raw)
	if err != nil {
		return c.wrap(err)
	}
	return c.wrap(c.finish(resp, nil))
}

// TellPlan brings a gateway of this owner a newer plan.
func (c *Client) TellPlan(ctx context.Context, plan []byte) error {
	return c.tell(ctx, pathPlan, plan)
}

// TellOwner tells a device of the circle who this one's person is.
func (c *Client) TellOwner(ctx context.Context, statement []byte) error {
	return c.tell(ctx, pathOwner, statement)
}
