// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

// HistoryAPI is the part of API about the past: versions, the trash and how
// long they stay.
type HistoryAPI interface {
	// Versions lists what is kept of the past of a path, newest first.
	Versions(ctx context.Context, path engine.Path) ([]engine.VersionInfo, error)
	// Restore makes former versions the present ones again.
	Restore(ctx context.Context, o engine.RestoreOptions) (*engine.RestoreReport, error)
	// Forget removes for good what Remove would move to the trash, or what is
	// in it.
	Forget(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error)
	// Trash lists what was removed and can be restored, newest first.
	Trash(ctx context.Context) ([]engine.Trashed, error)
	// RestoreTrash takes removals back, named by path or id.
	RestoreTrash(ctx context.Context, which []string) (*engine.RestoreReport, error)
	// EmptyTrash lets go of removals for good; of all when none is named.
	EmptyTrash(ctx context.Context, which []string) (*engine.RemoveReport, error)
	// Retention is the policy that the running node prunes by.
	Retention(ctx context.Context) (engine.Retention, error)
	SetRetention(ctx context.Context, r engine.Retention) error
	// Prune lets go of former versions a policy does not want.
	Prune(ctx context.Context, o PruneOrder) (*engine.PruneReport, error)
	// Compact moves what is needed of half-empty segments into new ones.
	Compact(ctx context.Context, o engine.CompactOptions, progress func(engine.Progress)) (*engine.CompactReport, error)
}

// historyEngine is what HistoryAPI needs of the engine.
type historyEngine interface {
	Versions(context.Context, engine.Path) ([]engine.VersionInfo, error)
	Restore(context.Context, engine.RestoreOptions) (*engine.RestoreReport, error)
	Forget(context.Context, []engine.Path) (*engine.RemoveReport, error)
	Trash(context.Context) ([]engine.Trashed, error)
	RestoreTrash(context.Context, []string) (*engine.RestoreReport, error)
	EmptyTrash(context.Context, []string) (*engine.RemoveReport, error)
	Retention(context.Context) (engine.Retention, error)
	SetRetention(context.Context, engine.Retention) error
	Prune(context.Context, engine.Retention, bool) (*engine.PruneReport, error)
	Compact(context.Context, engine.CompactOptions, func(engine.Progress)) (*engine.CompactReport, error)
	Tidy(context.Context) error
	Chore(ctx context.Context, name string, every time.Duration, do func(context.Context) error) error
	KnownShards(context.Context, peers.DeviceID) (*shardlist.Builder, error)
}

// PruneOrder is a prune by a policy; a dry one only counts.
type PruneOrder struct {
	Policy engine.Retention
	Dry    bool
}

// tidyEvery is how often a serving node looks whether a chore is due, and how
// long after its start it looks first.
const tidyEvery = 10 * time.Minute

// tidy does the engine's chores until ctx ends.
func (n *Node) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n.limits.holding() != "" {
			continue
		}
		if err := n.engine.Tidy(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("tidying goes on later", "err", err)
		}
		if _, err := n.tellNeeded(ctx, false); err != nil && ctx.Err() == nil {
			n.log.Warn("keepers are told later what is needed", "err", err)
		}
	}
}

// nameOf is what people call a device.
func (n *Node) nameOf(d peers.DeviceID) string {
	switch p, ok := n.book.Peer(d); {
	case d == n.device:
		return n.settings.Name
	case ok:
		return p.Name
	case d == peers.DeviceID{}:
		return ""
	}
	return d.Short()
}

// originName is what people call a machine that something was put on: one of
// the person's own need not be in the circle.
func (n *Node) originName(ctx context.Context, d peers.DeviceID) string {
	if _, ok := n.book.Peer(d); !ok && d != n.device && d != (peers.DeviceID{}) {
		return n.machineName(ctx, d)
	}
	return n.nameOf(d)
}

// Versions lists what is kept of the past of a path.
func (n *Node) Versions(ctx context.Context, path engine.Path) ([]engine.VersionInfo, error) {
	vs, err := n.engine.Versions(ctx, path)
	for i := range vs {
		vs[i].Name = n.originName(ctx, vs[i].From)
	}
	return vs, err
}

// Restore makes former versions the present ones again.
func (n *Node) Restore(ctx context.Context, o engine.RestoreOptions) (*engine.RestoreReport, error) {
	return n.engine.Restore(ctx, o)
}

// Forget removes for good, and says which grants still cover what went.
func (n *Node) Forget(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error) {
	r, err := n.engine.Forget(ctx, names)
	return n.withGrants(ctx, names, r, err)
}

// Trash lists what was removed and can be restored.
func (n *Node) Trash(ctx context.Context) ([]engine.Trashed, error) { return n.engine.Trash(ctx) }

// RestoreTrash takes removals back.
func (n *Node) RestoreTrash(ctx context.Context, which []string) (*engine.RestoreReport, error) {
	return n.engine.RestoreTrash(ctx, which)
}

// EmptyTrash lets go of removals for good.
func (n *Node) EmptyTrash(ctx context.Context, which []string) (*engine.RemoveReport, error) {
	return n.engine.EmptyTrash(ctx, which)
}

// Retention is the policy that the running node prunes by.
func (n *Node) Retention(ctx context.Context) (engine.Retention, error) {
	return n.engine.Retention(ctx)
}

// SetRetention changes it.
func (n *Node) SetRetention(ctx context.Context, r engine.Retention) error {
	return n.engine.SetRetention(ctx, r)
}

// Prune lets go of former versions that a policy does not want.
func (n *Node) Prune(ctx context.Context, o PruneOrder) (*engine.PruneReport, error) {
	return n.engine.Prune(ctx, o.Policy, o.Dry)
}

// Compact moves what is needed of half-empty segments into new ones.
func (n *Node) Compact(ctx context.Context, o engine.CompactOptions, progress func(engine.Progress)) (*engine.CompactReport, error) {
	r, err := n.engine.Compact(ctx, o, progress)
	if err != nil || o.Dry {
		return r, err
	}
	// Who frees room now wants to hear of all that can be freed.
	swept, err := n.tellNeeded(ctx, true)
	r.Unknown, r.Swept = swept.Waiting, swept.Gone
	return r, err
}

// The calls of HistoryAPI on the local socket.
const (
	pathVersions     = "/v1/versions"
	pathRestore      = "/v1/restore"
	pathForget       = "/v1/forget"
	pathTrash        = "/v1/trash"
	pathTrashRestore = "/v1/trash/restore"
	pathTrashEmpty   = "/v1/trash/empty"
	pathRetention    = "/v1/retention"
	pathSetRetention = "/v1/retention/set"
	pathPrune        = "/v1/prune"
	pathCompact      = "/v1/compact"
)

func (s *localServer) historyCalls(mux *http.ServeMux) {
	handle(mux, s, pathVersions, call1(s.api.Versions))
	handle(mux, s, pathRestore, call1(s.api.Restore))
	handle(mux, s, pathForget, call1(s.api.Forget))
	handle(mux, s, pathTrash, call0(s.api.Trash))
	handle(mux, s, pathTrashRestore, call1(s.api.RestoreTrash))
	handle(mux, s, pathTrashEmpty, call1(s.api.EmptyTrash))
	handle(mux, s, pathRetention, call0(s.api.Retention))
	handle(mux, s, pathSetRetention, call1(func(ctx context.Context, r engine.Retention) (empty, error) {
		return empty{}, s.api.SetRetention(ctx, r)
	}))
	handle(mux, s, pathPrune, call1(s.api.Prune))
	handle(mux, s, pathCompact, s.api.Compact)
}

func (c *client) Versions(ctx context.Context, r engine.Path) ([]engine.VersionInfo, error) {
	return invoke[[]engine.VersionInfo](ctx, c, pathVersions, r, nil)
}

func (c *client) Restore(ctx context.Context, r engine.RestoreOptions) (*engine.RestoreReport, error) {
	return invoke[*engine.RestoreReport](ctx, c, pathRestore, r, nil)
}

func (c *client) Forget(ctx context.Context, r []engine.Path) (*engine.RemoveReport, error) {
	return invoke[*engine.RemoveReport](ctx, c, pathForget, r, nil)
}

func (c *client) Trash(ctx context.Context) ([]engine.Trashed, error) {
	return invoke[[]engine.Trashed](ctx, c, pathTrash, empty{}, nil)
}

func (c *client) RestoreTrash(ctx context.Context, r []string) (*engine.RestoreReport, error) {
	return invoke[*engine.RestoreReport](ctx, c, pathTrashRestore, r, nil)
}

func (c *client) EmptyTrash(ctx context.Context, r []string) (*engine.RemoveReport, error) {
	return invoke[*engine.RemoveReport](ctx, c, pathTrashEmpty, r, nil)
}

func (c *client) Retention(ctx context.Context) (engine.Retention, error) {
	return invoke[engine.Retention](ctx, c, pathRetention, empty{}, nil)
}

func (c *client) SetRetention(ctx context.Context, r engine.Retention) error {
	_, err := invoke[empty](ctx, c, pathSetRetention, r, nil)
	return err
}

func (c *client) Prune(ctx context.Context, r PruneOrder) (*engine.PruneReport, error) {
	return invoke[*engine.PruneReport](ctx, c, pathPrune, r, nil)
}

func (c *client) Compact(ctx context.Context, r engine.CompactOptions, progress func(engine.Progress)) (*engine.CompactReport, error) {
	return invoke[*engine.CompactReport](ctx, c, pathCompact, r, progress)
}
