// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/gateway"
)

// Gateway is a connection to one of a grant's gateways, *rpc.Visit.
type Gateway interface {
	Ask(ctx context.Context, verb string, raw []byte) ([]byte, error)
	// Show shows the pass though nothing is asked.
	Show(ctx context.Context) error
	Close()
}

// Dial prepares a connection under a pass.
type Dial func(device peers.DeviceID, name string, addresses []string, pass []byte) Gateway

const (
	// chunkWait is how long a chunk is asked for that no gateway can give now.
	chunkWait  = 15 * time.Second
	chunkPause = time.Second
)

// maxCollects bounds how often one gateway is asked for more answers.
const maxCollects = 16

// GatewayError: none of a grant's gateways could help. Said is what each
// answered, in the order of the grant.
type GatewayError struct{ Said []error }

func (e *GatewayError) Error() string {
	var all []string
	for _, err := range e.Unwrap() {
		all = append(all, err.Error())
	}
	if len(all) == 0 {
		return "the grant has no gateway"
	}
	return strings.Join(all, "; ")
}

// Unwrap gives what each answered.
func (e *GatewayError) Unwrap() []error {
	var all []error
	for _, err := range e.Said {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// passing says whether all of it is about machines that may be back soon.
func (e *GatewayError) passing() bool {
	all := e.Unwrap()
	for _, err := range all {
		if !errors.Is(err, peers.ErrUnreachable) {
			return false
		}
	}
	return len(all) > 0
}

// doors are a grant's gateways. The one that answered last is asked first, so
// that one that is off costs its time once.
type doors struct {
	all []Gateway

	mu   sync.Mutex
	best int
}

func (d *doors) close() {
	for _, g := range d.all {
		g.Close()
	}
}

// order is the gateways' numbers, the best first.
func (d *doors) order() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []int
	for i := range d.all {
		out = append(out, (d.best+i)%len(d.all))
	}
	return out
}

func (d *doors) answered(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.best = i
}

// ask tries the gateways until one has an answer that good takes.
func (d *doors) ask(ctx context.Context, verb string, raw []byte, good func([]byte) bool) ([]byte, error) {
	e := &GatewayError{Said: make([]error, len(d.all))}
	var second []byte
	for _, i := range d.order() {
		answer, err := d.all[i].Ask(ctx, verb, raw)
		if err == nil && good(answer) {
			d.answered(i)
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil {
			second = answer
			continue
		}
		e.Said[i] = err
	}
	if second != nil {
		return second, nil
	}
	return nil, e
}

// chunk asks for a sealed chunk. The custodians have just agreed, and a machine
// that was away a moment ago is left alone for some seconds by those that dial
// it: so what may pass is waited for, as long as the opening waits, and a little
// while in any case.
func (d *doors) chunk(ctx context.Context, a gateway.Ask, wait time.Duration) ([]byte, error) {
	raw, err := custody.Marshal(a)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(max(wait, chunkWait))
	for {
		sealed, err := d.ask(ctx, gateway.VerbChunk, raw, func([]byte) bool { return true })
		var e *GatewayError
		if err == nil || !errors.As(err, &e) || !e.passing() || !time.Now().Before(until) {
			return sealed, err
		}
		timer := time.NewTimer(chunkPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// letter brings a letter, and gives the custodian's answer; none when the
// custodian does not answer by any of the gateways.
func (d *doors) letter(ctx context.Context, verb string, raw []byte) (reply []byte, err error) {
	read := func(b []byte) *gateway.Delivery {
		var x gateway.Delivery
		if err := custody.Unmarshal(b, &x); err != nil || x.Waiting || len(x.Reply) == 0 {
			return nil
		}
		return &x
	}
	answer, err := d.ask(ctx, verb, raw, func(b []byte) bool { return read(b) != nil })
	if err != nil {
		return nil, err
	}
	if x := read(answer); x != nil {
		return x.Reply, nil
	}
	return nil, nil
}

// collect asks all gateways for the answers that wait there. One that does not
// answer keeps them.
func (d *doors) collect(ctx context.Context, grant custody.Hash) (replies [][]byte) {
	raw, err := custody.Marshal(gateway.Collecting{Grant: grant})
	if err != nil {
		return nil
	}
	for _, g := range d.all {
		for range maxCollects {
			answer, err := g.Ask(ctx, gateway.VerbCollect, raw)
			if err != nil {
				break
			}
			var c gateway.Collected
			if custody.Unmarshal(answer, &c) != nil {
				break
			}
			replies = append(replies, c.Replies...)
			if !c.More {
				break
			}
		}
	}
	return replies
}

// worst keeps the trouble of a round: with all gateways of one letter it is
// that of all letters, as they go the same ways.
func worst(a, b error) error {
	var e *GatewayError
	if errors.As(b, &e) || a == nil {
		return b
	}
	return a
}

// doorName is how people are told of a gateway.
func doorName(i int, addresses []string) string {
	name := fmt.Sprintf("gateway %d of the grant", i+1)
	if len(addresses) > 0 {
		name += " (" + addresses[0] + ")"
	}
	return name
}
