// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// HelperAPI is the part of API about the persons who can bring an owner back whose
// words are lost.
type HelperAPI interface {
	// Helpers lists this person's helpers, and whom this machine helps.
	Helpers(ctx context.Context) (HelperSet, error)
	// AddHelpers makes a new set of the present helpers and these.
	AddHelpers(ctx context.Context, o HelperOrder) (HelperSet, error)
	// RemoveHelpers makes a new set without these; with All there is none any more.
	RemoveHelpers(ctx context.Context, o HelperOrder) (HelperSet, error)
	// HelperRequests lists who asks for a share here, and what others warned of.
	HelperRequests(ctx context.Context) ([]HelperRequest, error)
	// ApproveRequest agrees, with two words that the newcomer read out.
	ApproveRequest(ctx context.Context, o ApproveOrder) (HelperRequest, error)
	// VetoRequest forbids a request for good.
	VetoRequest(ctx context.Context, id string) (HelperRequest, error)
}

// HelperOrder names machines of the circle.
type HelperOrder struct {
	Names []string
	Delay time.Duration // 0: as it is, or three days
	All   bool
}

// HelperSet is who helps this person, and who is helped here.
type HelperSet struct {
	Number  uint64        `json:"number"`
	K       int           `json:"k"` // together bring everything back
	Delay   time.Duration `json:"delay_ns"`
	Made    time.Time     `json:"made,omitzero"`
	Words   bool          `json:"words"` // the words come back too
	Helpers []Helper      `json:"helpers"`
	// Outdated: this person has machines that the helpers would not warn, since
	// their parts are older.
	Outdated bool     `json:"outdated,omitempty"`
	Helped   []Helped `json:"helped"`
}

// Helper is a machine that holds a share.
type Helper struct {
	Name    string         `json:"name"`
	Device  peers.DeviceID `json:"device"`
	Kept    time.Time      `json:"kept,omitzero"` // when it had found its share good
	Problem said.Note      `json:"problem,omitzero"`
	Left    bool           `json:"left,omitempty"`    // it is no longer in the circle
	Handing bool           `json:"handing,omitempty"` // this machine still brings it its part
}

// Helped is a person whose share is kept here.
type Helped struct {
	Owner string    `json:"owner"`
	Since time.Time `json:"since"`
}

// HelperRequest is somebody who asks for a share.
type HelperRequest struct {
	ID       string    `json:"id"`
	Owner    string    `json:"owner"`
	Newcomer string    `json:"newcomer"`
	Here     bool      `json:"here"` // this machine was asked
	State    string    `json:"state"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until,omitzero"`
	By       string    `json:"by,omitempty"`
	Places   [2]int    `json:"places"` // of the words to ask for, from 1
}

// ApproveOrder is a yes.
type ApproveOrder struct {
	ID    string
	Words [2]string
}

const (
	pathHelpers        = "/v1/helpers"
	pathAddHelpers     = "/v1/helpers/add"
	pathRemoveHelpers  = "/v1/helpers/remove"
	pathHelperRequests = "/v1/helpers/requests"
	pathApproveRequest = "/v1/helpers/approve"
	pathVetoRequest    = "/v1/helpers/veto"
)

func (s *localServer) helperCalls(mux *http.ServeMux) {
	handle(mux, s, pathHelpers, call0(s.api.Helpers))
	handle(mux, s, pathAddHelpers, call1(s.api.AddHelpers))
	handle(mux, s, pathRemoveHelpers, call1(s.api.RemoveHelpers))
	handle(mux, s, pathHelperRequests, call0(s.api.HelperRequests))
	handle(mux, s, pathApproveRequest, call1(s.api.ApproveRequest))
	handle(mux, s, pathVetoRequest, call1(s.api.VetoRequest))
}

func (c *client) Helpers(ctx context.Context) (HelperSet, error) {
	return invoke[HelperSet](ctx, c, pathHelpers, empty{}, nil)
}

func (c *client) AddHelpers(ctx context.Context, o HelperOrder) (HelperSet, error) {
	return invoke[HelperSet](ctx, c, pathAddHelpers, o, nil)
}

func (c *client) RemoveHelpers(ctx context.Context, o HelperOrder) (HelperSet, error) {
	return invoke[HelperSet](ctx, c, pathRemoveHelpers, o, nil)
}

func (c *client) HelperRequests(ctx context.Context) ([]HelperRequest, error) {
	return invoke[[]HelperRequest](ctx, c, pathHelperRequests, empty{}, nil)
}

func (c *client) ApproveRequest(ctx context.Context, o ApproveOrder) (HelperRequest, error) {
	return invoke[HelperRequest](ctx, c, pathApproveRequest, o, nil)
}

func (c *client) VetoRequest(ctx context.Context, id string) (HelperRequest, error) {
	return invoke[HelperRequest](ctx, c, pathVetoRequest, id, nil)
}
