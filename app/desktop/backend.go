// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/grants"
)

// Node is what the window asks of a home; node.API fits.
type Node interface {
	About(ctx context.Context) (node.About, error)
	Invite(ctx context.Context, o node.InviteOptions) (node.Invite, error)
	Join(ctx context.Context, code string) (node.Member, error)
	Circle(ctx context.Context, probe bool) ([]node.Member, error)
	Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error)
	Get(ctx context.Context, o engine.GetOptions, progress func(engine.Progress)) (*engine.GetReport, error)
	List(ctx context.Context, o engine.ListOptions) ([]engine.Entry, error)
	Remove(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error)
	Status(ctx context.Context, o engine.StatusOptions) (*engine.Status, error)
	ownerNode
	brandNode
}

// ownerNode is what the Access and Activity screens ask.
type ownerNode interface {
	Custodians(ctx context.Context) ([]node.Custodian, error)
	AddCustodian(ctx context.Context, who string) (node.Custodian, error)
	Grant(ctx context.Context, o node.GrantOrder) (*node.Granted, error)
	Grants(ctx context.Context) (*node.GrantList, error)
	Revoke(ctx context.Context, o node.RevokeOrder) (*grants.Info, error)
	Extend(ctx context.Context, o node.ExtendOrder) (*node.Granted, error)
	Refresh(ctx context.Context, id string) (*node.Granted, error)
	Ledger(ctx context.Context) (*node.LedgerView, error)
	VerifyLedger(ctx context.Context) ([]grants.Checked, error)
	Proof(ctx context.Context, id string) ([]byte, error)
}

// brandNode is what the Received screen asks.
type brandNode interface {
	BrandInit(ctx context.Context, o node.BrandOptions) (node.BrandInfo, error)
	Brand(ctx context.Context) (node.BrandInfo, error)
	Receive(ctx context.Context, ticket string) (node.Received, error)
	Received(ctx context.Context) ([]node.Received, error)
	OpenGrant(ctx context.Context, o node.OpenOrder, progress func(engine.Progress)) (*node.OpenReport, error)
	View(ctx context.Context, grant string) (node.View, error)
	EndView(ctx context.Context, token string) (node.View, error)
}

// Setup is what the Welcome screen asks for.
type Setup struct {
	Name  string // this machine, as the circle sees it
	Offer int64  // bytes kept for others
}

// Host makes a home and finds or starts the node that serves it.
type Host interface {
	// Exists tells whether the home has been made.
	Exists() bool
	// Init makes the home.
	Init(s Setup) error
	// Open gives the running node, or starts one. Open may be called again
	// after a node was lost; the one before is closed.
	Open(ctx context.Context) (Node, error)
	// Lost carries one error each time a node that Open gave ends by itself.
	Lost() <-chan error
	// Close stops what Open started and waits for it.
	Close() error
}
