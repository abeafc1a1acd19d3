// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers/said"
)

// GrantAPI is the part of API about time-limited keys: an owner's side and a
// brand's.
type GrantAPI interface {
	// Custodians lists who decides for this owner.
	Custodians(ctx context.Context) ([]Custodian, error)
	// AddCustodian asks a machine of the circle to be one. It must answer.
	AddCustodian(ctx context.Context, who string) (Custodian, error)
	// RemoveCustodian takes one off, and makes the grants anew that name it.
	RemoveCustodian(ctx context.Context, who string, progress func(engine.Progress)) (*CustodianRemoved, error)
	// WhoIs says which custodian a company means by a name in a grant.
	WhoIs(ctx context.Context, name string) ([]KnownCustodian, error)
	// Grant makes a grant and its ticket. Nobody is asked.
	Grant(ctx context.Context, o GrantOrder) (*Granted, error)
	// Grants lists the grants, after asking the custodians what happened.
	Grants(ctx context.Context) (*GrantList, error)
	// Revoke ends a grant and tells the custodians that answer.
	Revoke(ctx context.Context, o RevokeOrder) (*grants.Info, error)
	// Extend makes a grant that goes on until a later time.
	Extend(ctx context.Context, o ExtendOrder) (*Granted, error)
	// Refresh gives a grant that follows its files their present versions.
	Refresh(ctx context.Context, id string) (*Granted, error)
	// Ledger gives what the custodians' logs tell, by time.
	Ledger(ctx context.Context) (*LedgerView, error)
	// VerifyLedger checks all logs as they were received.
	VerifyLedger(ctx context.Context) ([]grants.Checked, error)
	// Proof makes a bundle that proves a grant's history (ledger.VerifyProof).
	Proof(ctx context.Context, id string) ([]byte, error)

	// BrandInit makes this home a brand's.
	BrandInit(ctx context.Context, o BrandOptions) (BrandInfo, error)
	// Brand is the brand and its card.
	Brand(ctx context.Context) (BrandInfo, error)
	// Receive keeps a ticket.
	Receive(ctx context.Context, ticket string) (Received, error)
	// Received lists the tickets.
	Received(ctx context.Context) ([]Received, error)
	// OpenGrant opens files of a received grant; its progress is engine.StageAsk.
	OpenGrant(ctx context.Context, o OpenOrder, progress func(engine.Progress)) (*OpenReport, error)
	// View shows a received grant to a browser on this machine until its end.
	View(ctx context.Context, o ViewOrder) (View, error)
	// EndView ends a view by its token.
	EndView(ctx context.Context, token string) (View, error)
}

// GrantOrder is what an owner decides.
type GrantOrder struct {
	Brand   string        `json:"brand"` // card, name or key
	Names   []engine.Path `json:"names"`
	From    time.Time     `json:"from"` // zero: now
	Until   time.Time     `json:"until"`
	Purpose string        `json:"purpose"`
	Opens   uint32        `json:"opens"`  // of each file; 0: no limit
	Follow  bool          `json:"follow"` // Refresh may replace the files by newer versions
	Via     []string      `json:"via"`    // machines that the brand may see
	// StatusMaxAge closes the grant while the custodians have not heard of
	// this owner for so long; 0: they need not.
	StatusMaxAge time.Duration `json:"status_max_age_ns,omitempty"`
}

// Granted is a new grant with the ticket for the brand.
type Granted struct {
	ID         string    `json:"id"`
	Brand      string    `json:"brand"`
	BrandKey   string    `json:"brand_key"`
	Files      []string  `json:"files"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	Need       int       `json:"need"`
	Custodians int       `json:"custodians"`
	Via        []string  `json:"via"`
	Ticket     string    `json:"ticket"`
	Notice     string    `json:"notice"` // what the grant says it cannot prevent
}

// GrantList is the grants, and what stood in the way of knowing more.
type GrantList struct {
	Grants []grants.Info `json:"grants"`
	Notes  []said.Note   `json:"notes,omitempty"`
}

// RevokeOrder names a grant to withdraw.
type RevokeOrder struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// ExtendOrder names a grant that is to go on.
type ExtendOrder struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"`
}

// LedgerView is the custodians' logs together.
type LedgerView struct {
	Entries []grants.Line `json:"entries"`
	Notes   []said.Note   `json:"notes,omitempty"`
}

// BrandOptions make a brand.
type BrandOptions struct {
	Name  string `json:"name"`
	Label string `json:"label"` // of this machine, as owners see it
}

// BrandInfo is a brand.
type BrandInfo struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Key   string `json:"key"`
	Card  string `json:"card"`
	// Office: this machine has the brand's keys; another is a member, certified
	// until a time.
	Office bool      `json:"office"`
	Until  time.Time `json:"until,omitzero"`
}

// Received is a grant that was handed to this brand.
type Received struct {
	ID        string         `json:"id"`
	Owner     string         `json:"owner"` // key
	State     string         `json:"state"`
	Files     []ReceivedFile `json:"files"`
	NotBefore time.Time      `json:"not_before"`
	NotAfter  time.Time      `json:"not_after"`
	Purpose   string         `json:"purpose,omitempty"`
	Opens     uint32         `json:"max_opens,omitempty"`
	Notice    string         `json:"notice,omitempty"` // what the grant says it cannot prevent
	// Problem is why a ticket that was kept cannot be read: nothing else is
	// known of it then.
	Problem said.Note `json:"problem,omitzero"`
}

// Unreadable is the state of a received grant whose ticket cannot be read.
const Unreadable = "unreadable"

// ReceivedFile is a file of a received grant.
type ReceivedFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// OpenOrder says what to open and where to.
type OpenOrder struct {
	Grant string        `json:"grant"`
	Files []string      `json:"files"` // names or numbers; none: all
	To    string        `json:"to"`    // absolute
	Wait  time.Duration `json:"wait"`  // for custodians that do not answer
}

// OpenReport is what was opened.
type OpenReport struct {
	Grant    string       `json:"grant"`
	NotAfter time.Time    `json:"not_after"`
	Files    []OpenedFile `json:"files"`
	// Refused is the reason most of the refusing custodians gave, a
	// custody.Reason; empty when they did not refuse.
	Refused string `json:"refused,omitempty"`
	// Signed is how many of them signed their refusal; with none the reason is
	// the gateway's word.
	Signed int `json:"refused_signed,omitempty"`
	// Liars are custodians, by their pseudonyms in the grant, that signed a
	// wrong share.
	Liars []string `json:"liars,omitempty"`
}

// ViewOrder says which received grant to show, and in which language.
type ViewOrder struct {
	Grant string `json:"grant"`
	Lang  string `json:"lang,omitempty"` // as systems name them; empty: English
}

// View is a running view of a received grant.
type View struct {
	Grant    string    `json:"grant"`
	URL      string    `json:"url"`
	Token    string    `json:"token"`
	NotAfter time.Time `json:"not_after"`
}

// OpenedFile is a file that was opened.
type OpenedFile struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	Agreed int    `json:"custodians_agreed"`
	// Asked is the time from the request to the key, in nanoseconds.
	Asked time.Duration `json:"asked_ns"`
	// Liars are as in the report, for this file.
	Liars []string `json:"liars,omitempty"`
	// Before: an earlier try put it there, which did not come to its end.
	Before bool `json:"before,omitempty"`
}
