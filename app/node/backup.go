// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/backup"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/heads"
	"github.com/preezm/preezm/peers/rpc"
)

const (
	// backupLook is how often a node looks whether the catalog has changed.
	backupLook = 2 * time.Second
	// backupAfter is how long it waits for more changes, and backupBusy how
	// many times longer than the last backup took it rests.
	backupAfter = 30 * time.Second
	backupBusy  = 10
	// backupPause and backupPauseMost space the tries after one failed.
	backupPause     = 30 * time.Second
	backupPauseMost = 10 * time.Minute
	// yields is how often a backup makes way for a put before it insists.
	yields = 3
	// tellEvery is how often keepers without the newest head are told.
	tellEvery = time.Minute

	noteCircle   = "circle"
	noteSettings = "settings"
	noteHelpers  = "helpers" // who they are, not what they keep
	noteBrand    = "brand"   // what its office needs to go on elsewhere
)

// backups is what a node does about copies of its catalog.
type backups struct {
	owner   identity.OwnerKey
	secrets identity.Secrets
	locator peers.Locator
	engine  backer
	catalog *catalog.Catalog
	began   beside        // when the home was opened
	turn    chan struct{} // full while one is made
	unsaved atomic.Pointer[unsaved]
}

// beside is how what is noted beside the catalog looks: the helpers, and the
// files of the company.
type beside struct{ helpers, brand string }

type backer interface {
	BackUp(context.Context, engine.BackupOrder, bool, func(engine.Progress)) ([]byte, engine.BackupReport, error)
	Merge(ctx context.Context, w *engine.Way, name string, knew uint64) (catalog.Merged, map[string][]byte, error)
	Conflicts(context.Context) ([]engine.Conflict, error)
	Settle(context.Context, engine.Settling) error
	SetTogether([]peers.DeviceID)
}

// BackupState tells where the copies of the catalog are.
type BackupState struct {
	Number  uint64    `json:"number"` // of the newest; 0: there is none
	Made    time.Time `json:"made,omitzero"`
	Keepers int       `json:"keepers"` // that have its head
	Of      int       `json:"of"`
	Pending bool      `json:"pending"` // something has changed since
	// TakenOff: another machine of this person took this one off their list.
	TakenOff bool `json:"taken_off,omitempty"`
}

// openHeads lets this node keep the heads of others' backups.
func (n *Node) openHeads(cfg *rpc.Config) error {
	s, err := heads.Open(filepath.Join(n.home, headsFolder), n.book.Owner)
	if err != nil {
		return err
	}
	cfg.Heads = s
	return nil
}

// ownMachines makes the list of this person's machines where there is none. One
// that does not name this machine is left as it is: another machine of this
// person took it off.
func (n *Node) ownMachines(s *identity.Secrets) error {
	if raw := n.book.Own(); len(raw) > 0 {
		had, err := account.Parse(raw)
		if err == nil && !had.Body.Has(n.device) {
			n.log.Warn("this machine was taken off the list of its person's machines")
		}
		return err
	}
	next, err := account.Next(s.RootKey(), nil, []peers.DeviceID{n.device}, time.Now().Unix())
	if err != nil {
		return err
	}
	return n.book.SetOwn(next.Raw)
}

// takenOff says whether this machine was taken off the list.
func (n *Node) takenOff() bool {
	s, err := account.Parse(n.book.Own())
	return err == nil && !s.Body.Has(n.device)
}

// openBackups prepares copies of the catalog.
func (n *Node) openBackups(ctx context.Context, owner identity.OwnerKey, files *engine.Engine) error {
	s := owner.Secrets()
	l, err := backup.LocatorOf(&s)
	if err != nil {
		return err
	}
	n.backups.owner = owner.WithoutMaster()
	n.backups.secrets, n.backups.locator, n.backups.engine, n.backups.catalog = s, l, files, files.Catalog()
	n.backups.turn = make(chan struct{}, 1)
	n.backups.engine.SetTogether(n.others())
	n.backups.began = n.beside()
	return n.noteThisMachine(ctx)
}

// beside tells what may have to go into a backup though the catalog is the same.
// What cannot be read is left out, as notes leaves it out.
func (n *Node) beside() beside {
	helpers, err := n.helper.Record()
	seen, berr := n.brandLook()
	if err := errors.Join(err, berr); err != nil {
		n.log.Warn("look at what is backed up beside the catalog", "err", err)
	}
	return beside{string(helpers), seen}
}

// savedPeer is a machine of the circle as a backup remembers it.
type savedPeer struct {
	Peer circle.Peer `json:"peer"`
	List []byte      `json:"list,omitempty"` // of its person's machines
}

// savedSettings are the settings that a new machine takes over.
type savedSettings struct {
	Name string `json:"name"`
}

// notes is what a backup holds beside the catalog.
func (n *Node) notes() (map[string][]byte, error) {
	var saved []savedPeer
	for _, p := range n.book.Peers() {
		p.LastSeen = time.Time{} // alone no reason for a backup
		saved = append(saved, savedPeer{p, n.book.ListOf(p.Device)})
	}
	them, err := json.Marshal(saved)
	if err != nil {
		return nil, err
	}
	settings, err := json.Marshal(savedSettings{n.settings.Name})
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{noteCircle: them, noteSettings: settings}
	for name, give := range map[string]func() ([]byte, error){noteHelpers: n.helper.Record, noteBrand: n.brandCopy} {
		raw, err := give()
		if err != nil { // files do not wait for what is damaged beside them
			n.log.Warn("left out of the backup", "what", name, "err", err)
			continue
		}
		if len(raw) > 0 {
			out[name] = raw
		}
	}
	return out, nil
}

// Backup keeps a copy of the catalog in the circle now, unless the newest says
// the same, and gives its head to the machines that answer.
func (n *Node) Backup(ctx context.Context, progress func(engine.Progress)) (*BackupState, error) {
	if err := n.RenewBackup(ctx, progress); err != nil {
		return nil, err
	}
	return n.BackupState(ctx)
}

// RenewBackup is Backup for who does not ask how far it has come: telling that
// takes another look at the whole catalog.
func (n *Node) RenewBackup(ctx context.Context, progress func(engine.Progress)) error {
	if _, err := n.backUp(ctx, true, progress); err != nil {
		return err
	}
	if err := n.tellHeads(ctx); err != nil {
		return err
	}
	if n.isStale() {
		// This home is an older copy of itself: it takes over what it did since,
		// and goes on behind that.
		if err := n.Import(ctx); err != nil {
			return err
		}
		if _, err := n.backUp(ctx, true, progress); err != nil {
			return err
		}
		return n.tellHeads(ctx)
	}
	return nil
}

// backUp makes a backup when there is something new.
func (n *Node) backUp(ctx context.Context, insist bool, progress func(engine.Progress)) (engine.BackupReport, error) {
	b := &n.backups
	// One under way may wait for hours, for a put that goes first.
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return engine.BackupReport{}, context.Cause(ctx)
	}
	notes, err := n.notes()
	if err != nil {
		return engine.BackupReport{}, err
	}
	last, err := b.catalog.LastBackup(ctx, n.device)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return engine.BackupReport{}, err
	}
	vector, err := n.vector(ctx)
	if err != nil {
		return engine.BackupReport{}, err
	}
	number := last.Number + 1
	behind := false
	for _, k := range vector {
		if k.Device == n.device && k.Number >= last.Number { // of a life that this home forgot
			number, behind = k.Number+1, true
		}
	}
	now := n.now().Unix()
	o := engine.BackupOrder{Device: n.device, Number: number, Notes: notes, Always: behind || n.awaited(vector), Seal: func(rows, parts []byte, files int64) ([]byte, error) {
		waits, err := b.catalog.Awaited(ctx)
		if err != nil {
			return nil, err
		}
		h := backup.Head{
			Vector: vector, Waits: waits,
			Device: n.device, Number: number, At: now, Keepers: n.whereabouts(),
			Rows: rows, Parts: parts, Files: files, Cert: n.desk.Cert(),
		}
		return h.Seal(&b.secrets, n.keys.Sign)
	}}
	_, r, err := b.engine.BackUp(ctx, o, insist, progress)
	if errors.Is(err, engine.ErrUnchanged) {
		return r, nil
	}
	if err == nil {
		n.gaveWord(vector)
	}
	return r, err
}

// whereabouts are the machines of the circle as a head names them, those heard
// of last first.
func (n *Node) whereabouts() []backup.Keeper {
	ps := latest(n.book.Peers())
	out := []backup.Keeper{}
	for _, p := range ps[:min(len(ps), backup.MaxKeepers)] {
		if p.Keeper {
			out = append(out, backup.Keeper{Device: p.Device, Name: p.Name, Addresses: p.Addresses[:min(len(p.Addresses), backup.MaxAddresses)]})
		}
	}
	return out
}

// latest orders peers by when they were heard of, newest first.
func latest(ps []circle.Peer) []circle.Peer {
	slices.SortStableFunc(ps, func(a, b circle.Peer) int { return b.LastSeen.Compare(a.LastSeen) })
	return ps
}

// tellHeads gives the newest head to the keepers that answer and lack it.
func (n *Node) tellHeads(ctx context.Context) error {
	b := &n.backups
	last, err := b.catalog.LastBackup(ctx, n.device)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && last.Head == nil {
		return nil
	} else if err != nil {
		return err
	}
	acks, err := b.catalog.HeadAcks(ctx)
	if err != nil {
		return err
	}
	var lack []peers.DeviceID
	for _, p := range n.book.Peers() {
		has := slices.ContainsFunc(acks, func(a catalog.HeadAck) bool { return a.Keeper == p.Device && a.Number >= last.Number })
		if p.Keeper && !has {
			lack = append(lack, p.Device)
		}
	}
	n.everybody(ctx, lack, func(ctx context.Context, c *rpc.Client) {
		err := c.PutHead(ctx, b.locator, last.Number, last.Head)
		if errors.Is(err, peers.ErrStale) {
			n.log.Warn("a keeper has a newer backup of this machine's catalog than this machine: its home was put back from a copy", "keeper", c.Name())
			n.setStale()
			return
		}
		if err == nil {
			err = b.catalog.AckHead(context.WithoutCancel(ctx), catalog.HeadAck{Keeper: c.Device(), Number: last.Number, At: n.now().Unix()})
		}
		if err != nil {
			n.log.Debug("give a keeper the head of the backup", "keeper", c.Name(), "err", err)
		}
	})
	return n.unhold(ctx, &last)
}

// unhold lets keepers forget what was moved before a backup, when more than
// half of them have its head: who comes back with the words asks them all. One
// that is taken for lost does not count: holds would never end in a small circle.
func (n *Node) unhold(ctx context.Context, last *catalog.Backup) error {
	missing, err := n.engine.Missing(ctx)
	if err != nil {
		return err
	}
	have, of, err := n.headsAt(ctx, last.Number, missing)
	if err != nil || 2*have <= of {
		return err
	}
	gone, err := n.backups.catalog.Unhold(ctx, last)
	if gone > 0 {
		n.wake() // it tells them
	}
	return err
}

// headsAt counts the keepers, and those of them that have a head of this machine
// or a later one. Those of without count only when they have it.
func (n *Node) headsAt(ctx context.Context, number uint64, without map[peers.DeviceID]bool) (have, of int, err error) {
	acks, err := n.backups.catalog.HeadAcks(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, p := range n.book.Peers() {
		if !p.Keeper {
			continue
		}
		switch {
		case slices.ContainsFunc(acks, func(a catalog.HeadAck) bool { return a.Keeper == p.Device && a.Number >= number }):
			have, of = have+1, of+1
		case !without[p.Device]:
			of++
		}
	}
	return have, of, nil
}

// BackupState tells how far the newest backup has come.
func (n *Node) BackupState(ctx context.Context) (*BackupState, error) {
	b := &n.backups
	s := &BackupState{TakenOff: n.takenOff()}
	for _, p := range n.book.Peers() {
		if p.Keeper {
			s.Of++
		}
	}
	last, err := b.catalog.LastBackup(ctx, n.device)
	if errors.Is(err, catalog.ErrNotFound) {
		s.Pending = true
		return s, nil
	} else if err != nil {
		return nil, err
	}
	s.Number, s.Made = last.Number, time.Unix(last.Made, 0)
	if s.Keepers, _, err = n.headsAt(ctx, last.Number, nil); err != nil {
		return nil, err
	}
	notes, err := n.notes()
	if err != nil {
		return nil, err
	}
	s.Pending, err = n.changedSince(ctx, &last, notes)
	return s, err
}

// unsaved is what was found to be in no backup yet; a window asks again and again.
type unsaved struct {
	number  uint64 // of the last backup
	notes   [32]byte
	changes int64 // of the catalog
}

// changedSince tells whether a backup lacks something. It looks at the whole
// catalog only when that is not known.
func (n *Node) changedSince(ctx context.Context, last *catalog.Backup, notes map[string][]byte) (bool, error) {
	b := &n.backups
	at := unsaved{number: last.Number, notes: engine.NotesDigest(notes)}
	same, err := b.catalog.BackedUp(ctx, last, at.notes)
	if err != nil || same {
		return false, err
	}
	if at.changes, err = b.catalog.Changes(ctx); err != nil {
		return false, err
	}
	if known := b.unsaved.Load(); known != nil && *known == at {
		return true, nil
	}
	held, err := b.catalog.Held(ctx)
	if err != nil {
		return false, err
	}
	stamp, err := engine.StampOf(ctx, b.catalog, notes)
	switch {
	case err != nil:
		return false, err
	case stamp == last.Stamp && held <= last.Held:
		return false, b.catalog.MarkBackedUp(ctx, at.number, at.notes, at.changes)
	}
	b.unsaved.Store(&at)
	return true, nil
}

// backUpChanges makes backups while the node serves: a while after something
// changed.
func (n *Node) backUpChanges(ctx context.Context) {
	tick := time.NewTicker(backupLook)
	defer tick.Stop()
	var seen int64 = -1 // changes that the last backup has
	var noted map[string][]byte
	due := time.Now().Add(backupAfter) // what a crash may have left
	told := time.Now()
	pause, yielded := time.Duration(0), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			if err := n.tellHeads(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("give keepers the head of the backup", "err", err)
			}
		}
		if due.IsZero() {
			now, err := n.backups.catalog.Changes(ctx)
			notes, nerr := n.notes()
			vector, verr := n.vector(ctx)
			if errors.Join(err, nerr, verr) != nil {
				continue
			}
			if n.awaited(vector) || now != seen || !maps.EqualFunc(noted, notes, bytes.Equal) {
				due = time.Now().Add(max(backupAfter, pause))
			}
			continue
		}
		if time.Now().Before(due) || len(n.book.Peers()) == 0 {
			continue
		}
		notes, err := n.notes()
		if err == nil {
			noted = notes
		}
		started := time.Now()
		before, err := n.backups.catalog.Changes(ctx)
		if err != nil {
			n.log.Warn("look at the catalog", "err", err)
			continue
		}
		r, err := n.backUp(ctx, yielded >= yields, nil)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			n.log.Info("the backup of the catalog is tried again", "err", err)
			yielded++
			pause = min(max(2*pause, backupPause), backupPauseMost)
			due = time.Now().Add(pause)
			continue
		}
		yielded, pause = 0, backupBusy*time.Since(started)
		due = time.Time{}
		if r.Number > 0 {
			n.log.Info("the catalog is backed up", "number", r.Number, "files", r.Files, "bytes", r.Plain, "new", r.New, "took", r.Took)
		}
		if err := n.tellHeads(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("give keepers the head of the backup", "err", err)
		}
		if told = time.Now(); n.isStale() {
			if err := n.Import(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("what this machine did before its home was put back is taken over later", "err", err)
			}
			due = time.Now().Add(backupPause) // under a number that keepers take
			continue
		}
		seen = before
	}
}

// Changed says whether this process has changed the catalog, the helpers or the
// company of this home. That a machine was heard of is no reason to wait for a
// backup.
func (n *Node) Changed(ctx context.Context) bool {
	if n.backups.catalog == nil || len(n.book.Peers()) == 0 {
		return false
	}
	c, err := n.backups.catalog.Changes(ctx)
	if err == nil && c > 0 {
		return true
	}
	return n.beside() != n.backups.began
}

// answerIn is how long a machine has to answer before a command that is done
// goes without it.
const answerIn = time.Second

// MostAnswer tells whether more than half of the keepers answer at once. A
// command that is over does not wait for the others.
func (n *Node) MostAnswer(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	reach := n.probe(ctx)
	keepers, online := 0, 0
	for _, p := range n.book.Peers() {
		if p.Keeper {
			keepers++
			if reach[p.Device].Online {
				online++
			}
		}
	}
	return 2*online > keepers
}

// readNotes reads what notes wrote, for a home that is brought back.
func readNotes(notes map[string][]byte) (them []savedPeer, settings savedSettings, err error) {
	err = errors.Join(strictJSON(notes[noteCircle], &them), strictJSON(notes[noteSettings], &settings))
	if err == nil && len(them) > circle.MaxPeers {
		err = fmt.Errorf("%d machines", len(them))
	}
	return them, settings, err
}

func strictJSON(raw []byte, v any) error {
	if len(raw) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// newest orders heads by time, the newest first.
func newest(a, b *backup.Head) int {
	return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(b.Number, a.Number))
}
