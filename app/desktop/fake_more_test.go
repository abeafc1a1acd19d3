// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/watch"
	"github.com/preezm/preezm/peers"
)

// fakeMore is the part of fakeNode about the past, the circle and the settings.
type fakeMore struct {
	versions  []engine.VersionInfo
	trash     []engine.Trashed
	restored  []engine.RestoreOptions
	back      []string
	emptied   bool
	net       node.NetReport
	paired    chan node.Paired
	dismissed []peers.DeviceID
	removal   node.Removal
	removals  []node.RemovalOrder
	roles     []node.RolesOrder
	limits    node.LimitsView
	limited   []node.LimitsOrder
	watched   []watch.State
	key       node.KeyState
	myWords   []string
}

func (n *fakeNode) Key(context.Context) (node.KeyState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.key
	k.WordsThere = n.myWords != nil
	return k, n.failed
}

func (n *fakeNode) Rewrap(_ context.Context, s node.Seal) (node.KeyState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.key.By = s.By
	return n.key, nil
}

func (n *fakeNode) Words(context.Context, identity.Lang) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.myWords == nil {
		return nil, node.ErrWordsGone
	}
	return n.myWords, nil
}

func (n *fakeNode) CheckWords(_ context.Context, o node.WordsOrder) (node.KeyState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, at := range o.At {
		if n.myWords[at-1] != o.Words[i] {
			return node.KeyState{}, errors.New("wrong")
		}
	}
	n.myWords = nil
	return n.key, nil
}

func (n *fakeNode) Sheet(context.Context) (node.Sheet, error) {
	return node.Sheet{Name: "study laptop", Device: peers.DeviceID{1}, Keepers: []node.SheetKeeper{{Name: "Cellar NAS", Device: peers.DeviceID{2}, Addresses: []string{"192.0.2.7:24930"}}}}, nil
}

// words24 are a person's words.
func words24() []string {
	return strings.Fields("abandon ability able about above absent absorb abstract absurd abuse access accident account accuse achieve acid acoustic acquire across act action actor actress actual")
}

func (n *fakeNode) Versions(context.Context, engine.Path) ([]engine.VersionInfo, error) {
	return n.versions, nil
}

func (n *fakeNode) Restore(_ context.Context, o engine.RestoreOptions) (*engine.RestoreReport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fakeMore.restored = append(n.fakeMore.restored, o)
	return &engine.RestoreReport{Files: 1}, nil
}

func (n *fakeNode) Trash(context.Context) ([]engine.Trashed, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.trash), nil
}

func (n *fakeNode) RestoreTrash(_ context.Context, which []string) (*engine.RestoreReport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.back = append(n.back, which...)
	return &engine.RestoreReport{Files: 3}, nil
}

func (n *fakeNode) EmptyTrash(context.Context, []string) (*engine.RemoveReport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.emptied, n.trash = true, nil
	return &engine.RemoveReport{}, nil
}

func (n *fakeNode) Net(context.Context) (*node.NetReport, error) {
	n.mu.Lock()
	r := n.net
	n.mu.Unlock()
	return &r, n.trouble()
}

func (n *fakeNode) UseServer(_ context.Context, o node.ServerOrder) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.net.Servers = append(n.net.Servers, node.NetServer{Kind: "relay", Address: o.Address, Works: true})
	return []string{o.Address}, nil
}

func (n *fakeNode) Paired(ctx context.Context, _ node.PairedOrder) (node.Paired, error) {
	select {
	case p := <-n.paired:
		return p, nil
	case <-ctx.Done():
		return node.Paired{}, ctx.Err()
	}
}

func (n *fakeNode) Dismiss(_ context.Context, d peers.DeviceID) (node.Paired, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dismissed = append(n.dismissed, d)
	return node.Paired{}, nil
}

func (n *fakeNode) PlanRemoval(_ context.Context, o node.RemovalOrder) (*node.Removal, error) {
	r := n.removal
	r.Gone = o.Gone
	return &r, nil
}

func (n *fakeNode) RemoveMember(_ context.Context, o node.RemovalOrder, progress func(engine.Progress)) (*node.Removal, error) {
	n.mu.Lock()
	n.removals = append(n.removals, o)
	n.mu.Unlock()
	progress(engine.Progress{Stage: engine.StageRepair, Files: 1, TotalFiles: 2})
	r := n.removal
	r.Done = true
	return &r, nil
}

func (n *fakeNode) SetRoles(_ context.Context, o node.RolesOrder, _ func(engine.Progress)) (node.Member, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.roles = append(n.roles, o)
	return node.Member{}, nil
}

func (n *fakeNode) Limits(context.Context) (node.LimitsView, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.limits, n.failed
}

func (n *fakeNode) SetLimits(_ context.Context, o node.LimitsOrder) (node.LimitsView, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.limited = append(n.limited, o)
	n.limits.Limits = o.Limits
	if o.Offer != 0 {
		n.limits.Offer = o.Offer
	}
	return n.limits, nil
}

func (n *fakeNode) Watch(_ context.Context, f watch.Folder) (watch.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := watch.State{Folder: f, Events: true}
	n.watched = append(n.watched, s)
	return s, nil
}

func (n *fakeNode) Watched(context.Context) ([]watch.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.watched), n.failed
}

func (n *fakeNode) Unwatch(_ context.Context, dir string) (watch.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watched = slices.DeleteFunc(n.watched, func(s watch.State) bool { return s.Dir == dir })
	return watch.State{}, nil
}

func (n *fakeNode) PauseWatch(_ context.Context, o node.PauseOrder) (watch.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.watched {
		if n.watched[i].Dir == o.Dir {
			n.watched[i].Phase = watch.Paused
		}
	}
	return watch.State{}, nil
}

// busy is a family with a past, limits, and folders that are watched.
func busy() *fakeNode {
	n := lending()
	n.versions = []engine.VersionInfo{
		{Number: 3, Kind: engine.File, Size: 1_240_000, Kept: noon.Add(-2 * time.Hour), Name: "study laptop"},
		{Number: 2, Kind: engine.File, Size: 1_190_000, Kept: noon.Add(-3 * day), Until: noon.Add(-2 * time.Hour), Name: "phone"},
		{Number: 1, Kind: engine.File, Size: 998_000, Kept: noon.Add(-40 * day), Until: noon.Add(-3 * day), Name: "study laptop", Torn: true},
	}
	n.trash = []engine.Trashed{{ID: "t1", Path: "Old photos", Kind: engine.Folder, Files: 212, Bytes: 840_000_000, Removed: noon.Add(-26 * time.Hour), Until: noon.Add(29 * day)}}
	n.limits = node.LimitsView{Limits: node.Limits{Up: 500_000, Schedule: []string{"22:00-06:00 -/-"}}, Offer: 50 * gigabyte, Kept: 3_200_000_000, BatteryKnown: true, BatteryBelow: 30}
	n.members[0].Balance = node.Balance{Gave: 19.2, Took: 537.4, Until: noon}
	n.watched = []watch.State{
		{Folder: watch.Folder{Dir: "/home/laptop/Documents"}, Events: true, LastPut: noon.Add(-11 * time.Minute)},
		{Folder: watch.Folder{Dir: "/home/laptop/Pictures"}, Events: true, Pending: 412},
	}
	return n
}
