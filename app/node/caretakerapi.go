// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// CaretakerAPI is the part of API about repair while the owner's machines are
// off: who does it for this home, and for whom this home does it.
type CaretakerAPI interface {
	// Care tells who looks after this home's pieces, and whom this machine
	// looks after.
	Care(ctx context.Context) (*CareState, error)
	// GiveCare gives a machine that task, or brings what it knows up to date.
	GiveCare(ctx context.Context, o CareOrder, progress func(engine.Progress)) (*CareState, error)
	// TakeCare takes the task back.
	TakeCare(ctx context.Context) (*CareState, error)
	// RefuseCare ends, or takes up again, what this machine does for another.
	RefuseCare(ctx context.Context, o CareRefusal) (*CareState, error)
}

// CareOrder names the machine that is to look after what is kept.
type CareOrder struct {
	Who string        `json:"who"`    // name or device; empty: the one that does it
	For time.Duration `json:"for_ns"` // 0: as before, or a year
}

// CareRefusal says whom this machine does not look after any more.
type CareRefusal struct {
	Who string `json:"who"`
	On  bool   `json:"on"`
}

// CareState is both sides.
type CareState struct {
	Given *CareGiven `json:"given,omitempty"` // nil: nobody looks after this home's pieces
	For   []CareFor  `json:"for"`
}

// CareWork is what a caretaker did.
type CareWork struct {
	Segments int64     `json:"segments"` // it looks after
	Lacking  int64     `json:"lacking"`  // parts of the list that it was not given yet
	Pieces   int64     `json:"pieces"`   // it made anew, and the owner has not taken over yet
	Bytes    int64     `json:"bytes"`
	Last     time.Time `json:"last,omitzero"` // when it made the last one
	Missed   []string  `json:"missed"`        // machines that it takes for lost
	Lost     int64     `json:"lost"`          // pieces that a machine did not have any more
}

// CareGiven is the task that this home gave.
type CareGiven struct {
	Device peers.DeviceID `json:"device"`
	Name   string         `json:"name"`
	Number uint64         `json:"number"`
	At     time.Time      `json:"at"`
	Until  time.Time      `json:"until"`
	Ended  bool           `json:"ended,omitempty"` // it is over, or taken back
	Left   int64          `json:"left,omitempty"`  // segments that the task has no room for
	Grace  time.Duration  `json:"grace_ns"`
	// Knows says which machines have heard of it: the caretaker, and those
	// that it may read from and store at.
	Knows   []string `json:"knows"`
	Unaware []string `json:"unaware"`
	// Asked: the caretaker answered just now, and Work is what it did.
	Asked bool      `json:"asked"`
	Why   said.Note `json:"text,omitzero"`  // it did not answer
	Idle  bool      `json:"idle,omitempty"` // it answered that it does not do it: its user refused, or it lost the task
	Work  CareWork  `json:"work"`
	// Regained is what this home has taken over of a caretaker's work so far.
	Regained int64 `json:"regained"`
}

// CareFor is a task of this machine.
type CareFor struct {
	Owner   peers.DeviceID `json:"owner"`
	Name    string         `json:"name"`
	Until   time.Time      `json:"until"`
	Grace   time.Duration  `json:"grace_ns"`
	Keepers int            `json:"keepers"`
	Refused bool           `json:"refused,omitempty"`
	Lists   int64          `json:"lists"` // bytes that what it was told of them takes here
	Work    CareWork       `json:"work"`
}

const (
	pathCare       = "/v1/care"
	pathGiveCare   = "/v1/care/give"
	pathTakeCare   = "/v1/care/take"
	pathRefuseCare = "/v1/care/refuse"
)

func (s *localServer) caretakerCalls(mux *http.ServeMux) {
	handle(mux, s, pathCare, call0(s.api.Care))
	handle(mux, s, pathGiveCare, s.api.GiveCare)
	handle(mux, s, pathTakeCare, call0(s.api.TakeCare))
	handle(mux, s, pathRefuseCare, call1(s.api.RefuseCare))
}

func (c *client) Care(ctx context.Context) (*CareState, error) {
	return invoke[*CareState](ctx, c, pathCare, empty{}, nil)
}

func (c *client) GiveCare(ctx context.Context, o CareOrder, progress func(engine.Progress)) (*CareState, error) {
	return invoke[*CareState](ctx, c, pathGiveCare, o, progress)
}

func (c *client) TakeCare(ctx context.Context) (*CareState, error) {
	return invoke[*CareState](ctx, c, pathTakeCare, empty{}, nil)
}

func (c *client) RefuseCare(ctx context.Context, o CareRefusal) (*CareState, error) {
	return invoke[*CareState](ctx, c, pathRefuseCare, o, nil)
}
