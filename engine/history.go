// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

var errFolderNumber = errors.New("a folder has no versions of its own: say as of when, with --at")

// ErrOccupied: something else has the name now.
var ErrOccupied = catalog.ErrOccupied

// viewAt is the catalog as of a time; the zero time is now.
func (e *Engine) viewAt(t time.Time) catalog.View {
	if t.IsZero() {
		return e.cat
	}
	return e.cat.At(t.UnixNano())
}

// Changed says in which way a version differs from the one before it.
type Changed string

// The ways.
const (
	ChangedNew     Changed = "new"     // the first one, or after a removal
	ChangedContent Changed = "content" // also where only its cut into chunks differs
	ChangedTime    Changed = "time"
	ChangedMode    Changed = "mode"
	ChangedTarget  Changed = "target" // of a symlink
	ChangedKind    Changed = "kind"
)

// VersionInfo is one version of a path.
type VersionInfo struct {
	Number  int64          `json:"number"`
	ID      string         `json:"id"` // 32 hexadecimal digits, the same in every copy of the catalog
	Kind    Kind           `json:"kind"`
	Size    int64          `json:"size"`
	Grown   int64          `json:"grown"` // bytes more than the version before
	Mode    uint32         `json:"mode"`
	ModTime time.Time      `json:"modified"`
	Target  string         `json:"target,omitempty"`
	Kept    time.Time      `json:"kept"`
	Until   time.Time      `json:"until,omitzero"`    // replaced or removed then; zero: the present one
	Removed bool           `json:"removed,omitempty"` // a removal ended it
	From    peers.DeviceID `json:"from"`
	Name    string         `json:"from_name"` // the node fills it in
	Changed []Changed      `json:"changed"`
	Torn    bool           `json:"changed_while_read,omitempty"`
}

// Versions lists what is kept of the past of a path, newest first. One that
// was removed still has a past.
func (e *Engine) Versions(ctx context.Context, p Path) ([]VersionInfo, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	vs, err := e.cat.History(ctx, string(p))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", string(p), err)
	}
	out := make([]VersionInfo, len(vs))
	for i := range vs {
		v := &vs[i]
		info := VersionInfo{
			Number: v.Number, ID: hex.EncodeToString(v.GID[:]), Kind: Kind(v.Kind), Size: v.Size, Grown: v.Size, Mode: v.Mode,
			ModTime: time.Unix(0, v.ModTime), Target: v.Target, Kept: time.Unix(0, v.Kept), Removed: v.Removed, From: v.Origin, Torn: v.Torn,
		}
		if v.Until != 0 {
			info.Until = time.Unix(0, v.Until)
		}
		if i == 0 || vs[i-1].Removed {
			info.Changed = []Changed{ChangedNew}
		} else {
			info.Changed, info.Grown = changes(&vs[i-1], v), v.Size-vs[i-1].Size
		}
		out[len(vs)-1-i] = info
	}
	return out, nil
}

func changes(was, now *catalog.Version) []Changed {
	out := []Changed{}
	for _, c := range []struct {
		differ bool
		what   Changed
	}{
		{was.Kind != now.Kind, ChangedKind},
		{!catalog.SameParts(was.Parts, now.Parts), ChangedContent},
		{was.Target != now.Target, ChangedTarget},
		{was.Mode != now.Mode, ChangedMode},
		{was.ModTime != now.ModTime, ChangedTime},
	} {
		if c.differ {
			out = append(out, c.what)
		}
	}
	return out
}

// RestoreOptions says which of the past becomes present again.
type RestoreOptions struct {
	Names []Path
	When
}

// RestoreReport is the outcome of Restore.
type RestoreReport struct {
	Files   int64 `json:"files"`
	Folders int64 `json:"folders"`
	Bytes   int64 `json:"bytes"`
	Same    int64 `json:"same"`    // of the files, those that were present as they are
	Newer   int64 `json:"newer"`   // files in restored folders that did not exist then, and stay
	Earlier int64 `json:"earlier"` // of the files, those whose version of that moment was pruned: the one before it is back
}

// Restore makes former versions the present ones again, as new versions: what
// is present now stays in the history. No file on this machine changes and
// no keeper is asked.
func (e *Engine) Restore(ctx context.Context, o RestoreOptions) (*RestoreReport, error) {
	paths, err := namesOf(o.Names, "restore")
	if err != nil {
		return nil, err
	}
	if o.Number == 0 && o.At.IsZero() {
		return nil, errors.New("restore what? Say which version, or as of when")
	}
	r := &RestoreReport{}
	view := e.viewAt(o.At)
	var batch []*catalog.Version
	flush := func() error {
		if err := e.cat.Commit(ctx, &catalog.Batch{Versions: batch}); err != nil {
			return err
		}
		batch = batch[:0]
		return nil
	}
	now := e.now().UnixNano()
	add := func(v *catalog.Version) error {
		switch v.Kind {
		case catalog.File:
			r.Files++
			r.Bytes += v.Size
			r.Earlier += int64(btoi(!o.At.IsZero() && v.Until != 0 && v.Until <= o.At.UnixNano()))
		case catalog.Folder:
			r.Folders++
		}
		present, err := e.cat.Version(ctx, v.Path)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil && present.Number == v.Number {
			r.Same += int64(btoi(v.Kind == catalog.File))
			return nil
		}
		if err == nil && present.Kind != v.Kind && (present.Kind == catalog.Folder || v.Kind == catalog.Folder) {
			return said.Error("kind-changed", "\"{path}\" was a {kept} and is a {kind} now: remove that one first", "path", v.Path, "kept", Kind(v.Kind).String(), "kind", Kind(present.Kind).String())
		}
		again := *v
		again.GID, again.Kept, again.Origin, again.Source = [16]byte{}, now, e.device, catalog.Source{}
		if batch = append(batch, &again); len(batch) >= restoreBatch {
			return flush()
		}
		return ctx.Err()
	}
	for _, p := range paths {
		var v catalog.Version
		if o.Number != 0 {
			if v, err = e.cat.Numbered(ctx, p, o.Number); err == nil && v.Kind == catalog.Folder {
				err = errFolderNumber
			}
		} else {
			v, err = view.Version(ctx, p)
		}
		if err != nil {
			return r, fmt.Errorf("%q: %w", p, err)
		}
		if err := add(&v); err != nil {
			return r, err
		}
		if v.Kind != catalog.Folder {
			continue
		}
		if err := view.Below(ctx, p, add); err != nil {
			return r, err
		}
		if err := flush(); err != nil {
			return r, err
		}
		err := e.cat.Below(ctx, p, func(x *catalog.Version) error {
			if x.Kind != catalog.File {
				return nil
			}
			_, err := view.Version(ctx, x.Path)
			if errors.Is(err, ErrNotFound) {
				r.Newer++
				err = nil
			}
			return err
		})
		if err != nil {
			return r, err
		}
	}
	return r, flush()
}

// restoreBatch versions become present in one transaction.
const restoreBatch = 2000

// namesOf checks names that a person gave to change something, and refuses
// ones that overlap.
func namesOf(names []Path, verb string) ([]string, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("nothing to %s: name a file or folder", verb)
	}
	paths := make([]string, len(names))
	for i, n := range names {
		if err := checkPath(n); err != nil {
			return nil, err
		}
		for _, other := range names[:i] {
			if under(string(n), string(other)) || under(string(other), string(n)) {
				return nil, said.Error("overlap", "\"{first}\" and \"{second}\" overlap: name only one of them", "first", string(other), "second", string(n))
			}
		}
		paths[i] = string(n)
	}
	return paths, nil
}

// Remove moves files and folders, with all below them, to the trash, or
// forgets them when the trash is turned off. Files on this machine stay.
func (e *Engine) Remove(ctx context.Context, names []Path) (*RemoveReport, error) {
	paths, err := namesOf(names, "remove")
	if err != nil {
		return nil, err
	}
	ret, err := e.cat.Retention(ctx)
	if err != nil {
		return nil, err
	}
	if ret.TrashDays == 0 {
		return e.Forget(ctx, names)
	}
	gone, err := e.cat.Trash(ctx, paths, e.device)
	if err != nil {
		return nil, err
	}
	r := &RemoveReport{Trashed: true, Until: e.now().AddDate(0, 0, int(ret.TrashDays))}
	for _, g := range gone {
		r.Files += g.Files
		r.Folders += g.Folders
		r.Bytes += g.Bytes
	}
	return r, nil
}

// Forget lets go of files and folders, all below them and all their versions,
// present, former and in the trash, for good. Keepers are told what they may
// forget, at once when they answer, else later.
func (e *Engine) Forget(ctx context.Context, names []Path) (*RemoveReport, error) {
	paths, err := namesOf(names, "remove")
	if err != nil {
		return nil, err
	}
	gone, err := e.cat.Forget(ctx, paths)
	if err != nil {
		return nil, err
	}
	r := &RemoveReport{Files: gone.Files, Folders: gone.Folders, Bytes: gone.Bytes}
	r.Freed, r.Pending, err = e.letGo(ctx)
	return r, err
}

// letGo collects what nobody needs any more and tells the keepers.
func (e *Engine) letGo(ctx context.Context) (freed, pending int64, err error) {
	// What led here is done: nothing that follows must look like its failure.
	quiet := context.WithoutCancel(ctx)
	select {
	case e.putting <- struct{}{}:
		freed, err = e.collect(quiet)
		e.unlockPut()
		if err != nil {
			e.log.Warn("collect", "err", err)
		}
		e.tellDeletions(ctx, deletionPatience)
	default: // the put that is running collects at its end
	}
	t, err := e.cat.Totals(quiet)
	return freed, t.Pending, err
}

// Trashed is a removal that can be taken back.
type Trashed struct {
	ID      string         `json:"id"`
	Path    Path           `json:"path"`
	RawPath []byte         `json:"path_base64,omitempty"`
	Kind    Kind           `json:"kind"`
	Files   int64          `json:"files"`
	Bytes   int64          `json:"bytes"`
	Removed time.Time      `json:"removed"`
	Until   time.Time      `json:"until"` // it goes for good then
	From    peers.DeviceID `json:"from"`
}

// Trash lists what was removed and can be restored, newest first.
func (e *Engine) Trash(ctx context.Context) ([]Trashed, error) {
	ret, err := e.cat.Retention(ctx)
	if err != nil {
		return nil, err
	}
	list, err := e.cat.ListTrash(ctx)
	out := make([]Trashed, len(list))
	for i, t := range list {
		p, at := Path(t.Path), time.Unix(0, t.Removed)
		out[i] = Trashed{
			ID: hex.EncodeToString(t.ID[:]), Path: p, RawPath: p.Bytes(), Kind: Kind(t.Kind), Files: t.Files, Bytes: t.Bytes,
			Removed: at, Until: at.AddDate(0, 0, int(ret.TrashDays)), From: t.Origin,
		}
	}
	return out, err
}

// inTrash finds removals by the beginning of their ids or by their paths; of
// several of one path the newest.
func (e *Engine) inTrash(ctx context.Context, which []string) ([][16]byte, error) {
	list, err := e.cat.ListTrash(ctx)
	if err != nil {
		return nil, err
	}
	var out [][16]byte
	for _, w := range which {
		var found [][16]byte
		for _, t := range list {
			if t.Path == w {
				found = [][16]byte{t.ID}
				break
			}
			if len(w) >= shortestID && strings.HasPrefix(hex.EncodeToString(t.ID[:]), w) {
				found = append(found, t.ID)
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("%q %w", w, ErrNotTrashed)
		case 1:
			out = append(out, found[0])
		default:
			return nil, fmt.Errorf("%q is the beginning of %d ids: write more of it", w, len(found))
		}
	}
	return out, nil
}

// shortestID is how much of an id a person must write.
const shortestID = 4

// RestoreTrash takes removals back, named by id or path.
func (e *Engine) RestoreTrash(ctx context.Context, which []string) (*RestoreReport, error) {
	if len(which) == 0 {
		return nil, errors.New("nothing to restore: name what is in the trash by its path or id")
	}
	ids, err := e.inTrash(ctx, which)
	if err != nil {
		return nil, err
	}
	back, err := e.cat.Untrash(ctx, ids)
	return &RestoreReport{Files: back.Files, Folders: back.Folders, Bytes: back.Bytes}, err
}

// EmptyTrash lets go of removals for good, named by id or path; none means
// all.
func (e *Engine) EmptyTrash(ctx context.Context, which []string) (*RemoveReport, error) {
	var ids [][16]byte
	var err error
	if len(which) > 0 {
		ids, err = e.inTrash(ctx, which)
	} else {
		var list []catalog.Trashed
		list, err = e.cat.ListTrash(ctx)
		for _, t := range list {
			ids = append(ids, t.ID)
		}
	}
	if err != nil {
		return nil, err
	}
	gone, err := e.cat.EmptyTrash(ctx, ids)
	if err != nil {
		return nil, err
	}
	r := &RemoveReport{Files: gone.Files, Bytes: gone.Bytes}
	r.Freed, r.Pending, err = e.letGo(ctx)
	return r, err
}

// Retention is how much of the past is kept; see [catalog.Retention].
type Retention struct {
	Last      int64 `json:"keep_last"`
	Daily     int64 `json:"keep_daily"`
	Weekly    int64 `json:"keep_weekly"`
	Monthly   int64 `json:"keep_monthly"`
	TrashDays int64 `json:"trash_days"`
}

func (r Retention) check() error {
	for name, n := range map[string]int64{"last": r.Last, "daily": r.Daily, "weekly": r.Weekly, "monthly": r.Monthly, "trash days": r.TrashDays} {
		if n < 0 || n > mostRetained {
			return fmt.Errorf("%s: %d is not from 0 to %d", name, n, mostRetained)
		}
	}
	return nil
}

// mostRetained bounds each number of a policy: days in a century.
const mostRetained = 36525

// Retention gives the policy that prunes go by.
func (e *Engine) Retention(ctx context.Context) (Retention, error) {
	r, err := e.cat.Retention(ctx)
	return Retention(r), err
}

// SetRetention changes it.
func (e *Engine) SetRetention(ctx context.Context, r Retention) error {
	if err := r.check(); err != nil {
		return err
	}
	return e.cat.SetRetention(ctx, catalog.Retention(r))
}

// PruneReport is the outcome of Prune.
type PruneReport struct {
	Dry      bool  `json:"dry_run"`
	Versions int64 `json:"versions"` // former versions that went
	Bytes    int64 `json:"bytes"`    // their sizes as files
	Left     int64 `json:"left"`     // former versions that stay
	Trashed  int64 `json:"trashed"`  // files in the trash whose time was over
	Freed    int64 `json:"freed"`    // shard bytes keepers may forget
	Pending  int64 `json:"pending"`  // deletions that wait for a keeper
}

// Prune lets go of former versions that r does not want and of what lay in the
// trash long enough. With dry it only counts.
func (e *Engine) Prune(ctx context.Context, r Retention, dry bool) (*PruneReport, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	gone, err := e.cat.Prune(ctx, catalog.Retention(r), time.Local, dry)
	out := &PruneReport{Dry: dry, Versions: gone.Versions, Bytes: gone.Bytes, Left: gone.Kept}
	if err != nil {
		return out, err
	}
	now, _, err := e.agreed(ctx)
	if err != nil {
		return out, err
	}
	ids, err := e.cat.ExpiredTrash(ctx, now.AddDate(0, 0, -int(r.TrashDays)).UnixNano())
	if err != nil {
		return out, err
	}
	if dry {
		all, err := e.cat.ListTrash(ctx)
		expired := map[[16]byte]bool{}
		for _, id := range ids {
			expired[id] = true
		}
		for _, t := range all {
			if expired[t.ID] {
				out.Trashed += t.Files
			}
		}
		return out, err
	}
	emptied, err := e.cat.EmptyTrash(ctx, ids)
	if err != nil {
		return out, err
	}
	out.Trashed = emptied.Files
	out.Freed, out.Pending, err = e.letGo(ctx)
	return out, err
}
