// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// API is what a person can ask of a home: the running node itself, or a
// client that reaches it over the local socket. A nil progress function is
// allowed; others are called from one goroutine at a time, at most ten times
// a second. Cancelling ctx stops the work and leaves the old or the new state.
type API interface {
	About(ctx context.Context) (About, error)
	Invite(ctx context.Context, o InviteOptions) (Invite, error)
	Join(ctx context.Context, code string) (Member, error)
	Circle(ctx context.Context, probe bool) ([]Member, error)
	Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error)
	Get(ctx context.Context, o engine.GetOptions, progress func(engine.Progress)) (*engine.GetReport, error)
	List(ctx context.Context, o engine.ListOptions) ([]engine.Entry, error)
	Remove(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error)
	Status(ctx context.Context, o engine.StatusOptions) (*engine.Status, error)
	Verify(ctx context.Context, o engine.VerifyOptions, progress func(engine.Progress)) (*engine.VerifyReport, error)
	GrantAPI
	KeyAPI
	HistoryAPI
	ReadAPI
	ListAPI
	CareAPI
	CaretakerAPI
	NetAPI
	MailAPI
	WatchAPI
	BackupAPI
	DeviceAPI
	SettleAPI
	LimitsAPI
	MemberAPI
	ConsentAPI
	HelperAPI
	BrandCopyAPI
	Close() error
}

// About is the home and the node that runs it.
type About struct {
	Device    peers.DeviceID `json:"device"`
	Name      string         `json:"name"`
	Home      string         `json:"home"`
	Version   string         `json:"version"`
	Running   bool           `json:"running"` // a node serves this home
	PID       int            `json:"pid,omitempty"`
	Addresses []string       `json:"addresses"`        // where others reach it
	Offer     int64          `json:"offer"`            // bytes offered to the circle
	Kept      int64          `json:"kept"`             // bytes kept for others
	Locked    bool           `json:"locked,omitempty"` // the owner's part is shut
	// WordsThere: nobody proved to have the owner's 24 words yet.
	WordsThere bool `json:"words_there,omitempty"`
}

// InviteOptions says for how long an invite is good; zero is 24 hours.
type InviteOptions struct{ For time.Duration }

// Invite is a code that lets one device join, once.
type Invite struct {
	ID      string    `json:"id"` // names the invite without giving it away
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

// Member is another machine of the circle.
type Member struct {
	Device    peers.DeviceID `json:"device"`
	Name      string         `json:"name"`
	Addresses []string       `json:"addresses"`
	Keeper    bool           `json:"keeper"` // it keeps shards for this home
	Asked     bool           `json:"asked"`  // probed just now
	Online    bool           `json:"online"`
	LastSeen  time.Time      `json:"last_seen"`
	Latency   time.Duration  `json:"latency_ns,omitempty"`
	ForMe     int64          `json:"for_me"`        // bytes it keeps for this person
	ForThem   int64          `json:"for_them"`      // bytes this home keeps for its person
	Free      int64          `json:"free"`          // room it still offers this home
	Why       said.Note      `json:"text,omitzero"` // it is not online
	MemberCare
	// SameAs is the machine of the same person that comes before it in a list.
	// ForThem and Balance are of persons, and are told there only.
	SameAs peers.DeviceID `json:"same_as,omitzero"`
	// Words, by language, are what the inviter's screen shows too; after a join.
	Words map[string][]string `json:"words,omitempty"`
}
