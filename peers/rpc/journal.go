// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

// journalSize is how many events are remembered.
const journalSize = 1000

// Event is something that happened to a connection. It holds nothing of a
// person: no name, no address, and of the device only which one of the circle
// it is in this process's counting.
type Event struct {
	At   time.Time     `json:"at"`
	Peer int           `json:"peer,omitempty"` // 0: this machine itself
	What string        `json:"what"`
	How  string        `json:"how,omitempty"`
	Note string        `json:"note,omitempty"`
	Took time.Duration `json:"took_ns,omitempty"`
}

// journal remembers the latest events.
type journal struct {
	mu     sync.Mutex
	events []Event // a ring
	next   int
	number map[peers.DeviceID]int
}

func (j *journal) add(device peers.DeviceID, what, how, note string, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := Event{At: time.Now().UTC(), What: what, How: how, Note: note, Took: took}
	if device != (peers.DeviceID{}) {
		if j.number == nil {
			j.number = make(map[peers.DeviceID]int)
		}
		if j.number[device] == 0 {
			j.number[device] = len(j.number) + 1
		}
		e.Peer = j.number[device]
	}
	if len(j.events) < journalSize {
		j.events = append(j.events, e)
		return
	}
	j.events[j.next] = e
	j.next = (j.next + 1) % journalSize
}

// all gives the events, oldest first.
func (j *journal) all() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append(append([]Event{}, j.events[j.next:]...), j.events[:j.next]...)
}

// Journal is what happened to connections since the start.
func (s *Service) Journal() []Event { return s.journal.all() }

// errorClass names what went wrong without what it went wrong with.
func errorClass(err error) string {
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, transport.ErrNotAdmitted):
		return "not admitted"
	case errors.Is(err, transport.ErrBusy):
		return "busy"
	case errors.Is(err, transport.ErrWrongDevice):
		return "another device"
	case errors.Is(err, transport.ErrNotThere):
		return "not at the relay"
	case errors.Is(err, transport.ErrRelay):
		return "relay refuses"
	case errors.As(err, &dns):
		return "name not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "silence"
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return "closed here"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "closed there"
	case errors.Is(err, peers.ErrProtocol):
		return "protocol"
	}
	return "other"
}

// addressClass names the kind of an address without the address.
func addressClass(addr string) string {
	if strings.HasPrefix(addr, transport.RelayScheme+"://") {
		return "relay"
	}
	if rest, ok := strings.CutPrefix(addr, transport.QUICScheme+"://"); ok {
		return addressClass(rest) + " by QUIC"
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return "name"
	}
	ip, family := ap.Addr().Unmap(), "IPv6"
	if ip.Is4() {
		family = "IPv4"
	}
	switch {
	case ip.IsLoopback():
		return "loopback " + family
	case ip.IsPrivate(), ip.IsLinkLocalUnicast():
		return "private " + family
	}
	return fmt.Sprintf("public %s", family)
}
