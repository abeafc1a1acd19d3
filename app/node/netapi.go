// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
)

// NetAPI is the part of API about how machines reach each other.
type NetAPI interface {
	// Net says how each machine is reached, and what to do where it is not.
	Net(ctx context.Context) (*NetReport, error)
	// NetLog is what happened to connections since the start, without names or
	// addresses.
	NetLog(ctx context.Context) ([]rpc.Event, error)
	// UseServer begins to use a relay or a discovery server, or ends it, and
	// gives those of the settings.
	UseServer(ctx context.Context, o ServerOrder) ([]string, error)
	// Paired waits until an invite of this home was used, or cannot be any more.
	Paired(ctx context.Context, o PairedOrder) (Paired, error)
	// Dismiss takes a machine out of the circle: the words were not the same.
	Dismiss(ctx context.Context, device peers.DeviceID) (Paired, error)
}

// NetReport is how this machine reaches the others, and they it.
type NetReport struct {
	Running   bool        `json:"running"` // a node serves this home
	Addresses []string    `json:"addresses"`
	Mapped    string      `json:"mapped,omitempty"`     // the port that the router passes on
	MappedUDP string      `json:"mapped_udp,omitempty"` // the same for UDP
	QUIC      bool        `json:"quic"`                 // this machine reaches by UDP whom TCP does not
	Outer     []string    `json:"outer,omitempty"`      // where others saw it by UDP last
	Servers   []NetServer `json:"servers"`
	Offered   []NetOffer  `json:"offered,omitempty"`
	Peers     []NetPeer   `json:"peers"`
	Advice    []said.Note `json:"advice,omitempty"` // about this machine as a whole
}

// NetServer is a relay or a discovery server.
type NetServer struct {
	Kind    string    `json:"kind"`    // "relay" or "discovery"
	Address string    `json:"address"` // host:port
	Own     bool      `json:"own"`     // this machine runs it
	Works   bool      `json:"works"`
	Why     said.Note `json:"text,omitzero"` // it does not
}

// NetOffer is a server that a machine of the circle runs, and that this one does
// not use.
type NetOffer struct {
	By      string `json:"by"`
	Kind    string `json:"kind"`
	Address string `json:"address"` // host:port
}

// NetPeer is the way to one machine.
type NetPeer struct {
	Device  peers.DeviceID `json:"device"`
	Name    string         `json:"name"`
	Online  bool           `json:"online"`
	How     string         `json:"how"`               // "this machine", "LAN", "direct", "mapped", "quic", "relay" or "none"
	Address string         `json:"address,omitempty"` // as dialled; empty when it dialled this one
	Dialled bool           `json:"dialled"`           // this machine dialled it
	Since   time.Time      `json:"since,omitzero"`
	Met     time.Time      `json:"met,omitzero"` // in touch last
	Latency time.Duration  `json:"latency_ns,omitempty"`
	In      int64          `json:"in"` // bytes since the start
	Out     int64          `json:"out"`
	InRate  int64          `json:"in_rate"` // bytes a second lately
	OutRate int64          `json:"out_rate"`
	Tried   []NetTried     `json:"tried,omitempty"`
	Blocked said.Note      `json:"blocked,omitzero"` // what stands in the way
	Advice  said.Note      `json:"advice,omitzero"`  // what to do
}

// NetTried is what became of dialling one address.
type NetTried struct {
	Address string    `json:"address"`
	At      time.Time `json:"at"`
	Failed  string    `json:"failed,omitempty"` // in a word
}

// ServerOrder names a server to use, or not to use any more: by its address, or
// by the name of the machine that offers it.
type ServerOrder struct {
	Address string `json:"address"`
	Drop    bool   `json:"drop"`
}

// PairedOrder names an invite by the ID that Invite gave.
type PairedOrder struct {
	ID string `json:"id"`
}

// Paired is who used an invite, and the words that its screen shows too, by
// language.
type Paired struct {
	Device peers.DeviceID      `json:"device"`
	Name   string              `json:"name"`
	Words  map[string][]string `json:"words"`
}

// The calls of NetAPI on the local socket.
const (
	pathNet     = "/v1/net"
	pathNetLog  = "/v1/net/log"
	pathServer  = "/v1/net/server"
	pathPaired  = "/v1/paired"
	pathDismiss = "/v1/dismiss"
)

type dismissRequest struct{ Device peers.DeviceID }

func (s *localServer) netCalls(mux *http.ServeMux) {
	handle(mux, s, pathNet, call0(s.api.Net))
	handle(mux, s, pathNetLog, call0(s.api.NetLog))
	handle(mux, s, pathServer, call1(s.api.UseServer))
	handle(mux, s, pathPaired, call1(s.api.Paired))
	handle(mux, s, pathDismiss, call1(func(ctx context.Context, r dismissRequest) (Paired, error) {
		return s.api.Dismiss(ctx, r.Device)
	}))
}

func (c *client) Net(ctx context.Context) (*NetReport, error) {
	return invoke[*NetReport](ctx, c, pathNet, empty{}, nil)
}

func (c *client) NetLog(ctx context.Context) ([]rpc.Event, error) {
	return invoke[[]rpc.Event](ctx, c, pathNetLog, empty{}, nil)
}

func (c *client) UseServer(ctx context.Context, o ServerOrder) ([]string, error) {
	return invoke[[]string](ctx, c, pathServer, o, nil)
}

func (c *client) Paired(ctx context.Context, o PairedOrder) (Paired, error) {
	return invoke[Paired](ctx, c, pathPaired, o, nil)
}

func (c *client) Dismiss(ctx context.Context, device peers.DeviceID) (Paired, error) {
	return invoke[Paired](ctx, c, pathDismiss, dismissRequest{device}, nil)
}
