// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/witness"
)

// An opening that does not come to its end, because too few custodians answer,
// somebody stops it or the machine dies, must not cost one of those that the
// owner allows. So the request lies in the home, with its one-time key, before
// anybody sees it, and the next try repeats it: custodians give the same answer
// to the same request and count it once.

const (
	unfinished = "unfinished"
	maxKept    = 2 << 20
	// maxRequest is how old a request may be that is repeated, in seconds: it
	// must reach the custodians while they still take it.
	maxRequest = custody.MaxRequestAge - 600
)

func (b *Brand) requestPath(g custody.Hash, f custody.FileID, version uint64) string {
	return filepath.Join(b.dir, unfinished, fmt.Sprintf("%x-%s-%d.request", g[:8], f, version))
}

// keepRequest writes an opening down, durably.
func (b *Brand) keepRequest(o *custody.Opening) error {
	raw, err := o.Keep()
	if err != nil {
		return err
	}
	defer clear(raw)
	if err := os.MkdirAll(filepath.Join(b.dir, unfinished), 0o700); err != nil {
		return err
	}
	return b.box.Replace(b.pathOf(o), raw)
}

func (b *Brand) pathOf(o *custody.Opening) string {
	e := o.Entry()
	return b.requestPath(o.Grant(), e.File, e.Version)
}

// dropRequest forgets an opening that came to its end.
func (b *Brand) dropRequest(o *custody.Opening) error { return remove(b.pathOf(o)) }

// remove removes a file that may be gone already.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// request goes on with the request that was kept for one entry of a ticket, or
// makes and keeps a new one. One that is too old, or not for what the ticket
// lists, is of no use any more.
func (v *visit) request(ctx context.Context, i int) (*custody.Opening, error) {
	t := v.r.Ticket.Ticket
	e := &t.Package.Body.Entries[i]
	o, err := v.resume(e)
	if o != nil && o.Have() < o.Need() && !v.gathered {
		v.gathered = true
		if err := v.gather(ctx); err != nil {
			return nil, err
		}
		o, err = v.resume(e)
	}
	if o != nil || err != nil {
		return o, err
	}
	o, err = v.m.Request(t, e.File, v.b.now().Unix())
	if err != nil {
		return nil, err
	}
	if err := v.b.keepRequest(o); err != nil {
		return nil, fmt.Errorf("keep the request, so that it counts once: %w", err)
	}
	v.b.at("kept")
	return o, nil
}

// resume reads the request that was kept for an entry; nil when there is none
// that is of use.
func (v *visit) resume(e *custody.Entry) (*custody.Opening, error) {
	t := v.r.Ticket.Ticket
	raw, err := v.b.box.ReadFile(v.b.requestPath(t.Grant.Hash, e.File, e.Version), maxKept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	now := v.b.now().Unix()
	o, err := v.m.Resume(t, raw)
	if err != nil || o.Request.Body.At <= now-maxRequest || o.Request.Body.At > now+600 || !v.certifies(o, now) {
		return nil, nil
	}
	return o, nil
}

// gather fetches the answers of custodians that woke since somebody left an
// opening under this grant, and puts each to its request. A gateway gives them
// once, so they are written down before anything is done with them.
func (v *visit) gather(ctx context.Context) error {
	t := v.r.Ticket.Ticket
	found := map[custody.Hash]*custody.Opening{}
	for _, raw := range v.gws.collect(ctx, t.Grant.Hash) {
		reply, err := witness.ParseReply(raw)
		if err != nil || len(reply.Release) == 0 {
			continue // a custodian that refused says so again
		}
		r, err := custody.CheckRelease(reply.Release, t.Grant)
		if err != nil {
			continue
		}
		if len(found) == 0 {
			for i := range t.Package.Body.Entries {
				o, err := v.resume(&t.Package.Body.Entries[i])
				if err != nil {
					return err
				}
				if o != nil {
					found[o.Request.Hash] = o
				}
			}
		}
		if o := found[r.Body.Request]; o != nil && o.Add(reply.Release) == nil {
			if err := v.b.keepRequest(o); err != nil {
				return err
			}
		}
	}
	for _, o := range found {
		o.Forget()
	}
	return nil
}

// certifies says whether the certificate that a request carries still holds.
func (v *visit) certifies(o *custody.Opening, now int64) bool {
	_, err := custody.Certified(o.Request.Body.Cert, v.b.org, o.Request.Signer, custody.OrgMember, now)
	return err == nil
}

// ErrOpening: another command is at it.
var ErrOpening = said.Error("opening", "is being opened by another command already")

// lock keeps two orders for one grant apart. It ends with the process.
func (b *Brand) lock(r *Received) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(b.dir, unfinished), 0o700); err != nil {
		return nil, err
	}
	l := flock.New(strings.TrimSuffix(b.sessionPath(r), ".session") + ".lock")
	ok, err := l.TryLock()
	if err == nil && !ok {
		err = fmt.Errorf("%s %w", ticket.ShortID(r.Ticket.Grant.Body.ID), ErrOpening)
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

// session is an order to open files into a folder that is not done yet. The
// same order again goes on from there.
type session struct {
	Format  int            `json:"format"`
	Package string         `json:"package"` // hash
	To      string         `json:"to"`
	Files   []int          `json:"files"`
	Placed  map[int]string `json:"placed"` // where a file lies, or is about to

	box  *vault.Box
	path string
}

func (b *Brand) sessionPath(r *Received) string {
	return filepath.Join(b.dir, unfinished, fmt.Sprintf("%x.session", r.Ticket.Grant.Hash[:8]))
}

// session reads the order that was begun, if it is this one.
func (b *Brand) session(r *Received, to string, which []int) (*session, error) {
	want := &session{box: b.box, Format: 1, Package: r.Ticket.Package.Hash.String(), To: to, Files: which, Placed: map[int]string{}, path: b.sessionPath(r)}
	raw, err := b.box.ReadFile(want.path, maxKept)
	if errors.Is(err, fs.ErrNotExist) {
		return want, nil
	}
	if err != nil {
		return nil, err
	}
	var s session
	if json.Unmarshal(raw, &s) == nil && s.Format == 1 && s.Package == want.Package && s.To == to &&
		slices.Equal(s.Files, which) && s.Placed != nil {
		s.box, s.path = b.box, want.path
		return &s, nil
	}
	return want, nil
}

func (s *session) save() error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	return s.box.Replace(s.path, raw)
}

// done forgets the order.
func (s *session) done() error { return remove(s.path) }

// placed says where an entry was put by a try that was cut off. A whole file
// that only had to be moved is moved now.
func (s *session) placed(i int) (path string, ok bool, err error) {
	at := s.Placed[i]
	if at == "" {
		return "", false, nil
	}
	temp := s.temp(i)
	there, terr := os.Lstat(at)
	_, serr := os.Lstat(temp)
	switch {
	case serr != nil && terr == nil: // it was moved
		return at, true, nil
	case serr == nil && (errors.Is(terr, fs.ErrNotExist) || terr == nil && there.Size() == 0 && there.Mode().IsRegular()):
		// The order to move is written once the file is whole and durable.
		if err := os.Rename(temp, at); err != nil {
			return "", false, err
		}
		return at, true, durable.SyncDir(filepath.Dir(at))
	}
	return "", false, nil
}

// temp is where a file grows.
func (s *session) temp(i int) string {
	return filepath.Join(s.To, fmt.Sprintf(".opening-%.12s-%d", s.Package, i+1))
}
