// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/gateway"
	"github.com/preezm/preezm/peers/witness"
)

// RefusedError: so many custodians said no that the others are too few.
type RefusedError struct {
	Reason  custody.Reason // the one that most of them gave, of those who signed if any did
	Refused int
	// Signed is how many of the refusals a custodian has signed. Of the others
	// the gateway says that they are a custodian's.
	Signed int
	Of     int
	Liars  []string // see Opened
}

func (e *RefusedError) Error() string {
	why := Explain(e.Reason)
	switch {
	case e.Signed == 0:
		return "the gateway says: " + why
	case e.Signed < e.Refused:
		return fmt.Sprintf("%d of %d custodians refused: %s; the gateway says that %d more did", e.Signed, e.Of, why, e.Refused-e.Signed)
	}
	return fmt.Sprintf("%d of %d custodians refused: %s", e.Refused, e.Of, why)
}

// WaitingError: the custodians that answer are too few, and not too many
// refuse. The request is kept: the next try goes on from there.
type WaitingError struct {
	Have, Need, Of int
	Liars          []string // see Opened
	Lost           error    // trouble with gateways, or nil
}

func (e *WaitingError) Error() string {
	text := fmt.Sprintf("%d of the %d custodians needed have agreed, the others of %d do not answer now", e.Have, e.Need, e.Of)
	if e.Lost != nil {
		text += " (" + e.Lost.Error() + ")"
	}
	return text
}

// Opened is a file that was opened.
type Opened struct {
	Name   string
	Path   string // where it lies now
	Size   int64
	Agreed int // custodians
	// Asked is the time from making the request to having the key, before
	// anything of the file is fetched.
	Asked time.Duration
	// Liars are the custodians, by their pseudonyms in the grant, that signed a
	// wrong share.
	Liars []string
	// Before: an earlier try put it there, which did not come to its end.
	Before bool
}

const (
	// retryWait and retryMax are the first and the longest pause before
	// custodians that do not answer are asked again.
	retryWait = 2 * time.Second
	retryMax  = 15 * time.Second
	// busyTime is how long custodians are asked again that limit how many
	// requests a device may make in a minute.
	busyTime = 90 * time.Second
)

// visit is one opening in progress.
type visit struct {
	b    *Brand
	r    *Received
	m    *custody.Member
	gws  doors
	wait time.Duration
	told Told

	gathered bool     // the answers that waited at the gateways
	liars    []string // among the custodians asked for one file
	agreed   int      // of them
}

// Told hears how many custodians have agreed to the file that is asked for
// now, and how many must. It is called from the goroutine of the opening.
type Told func(name string, have, need int)

// Open opens files of a received grant into a folder, all of them when none is
// named (by name or by number). It asks the custodians for each, for as long
// as wait when too few answer. What it opened stays in the folder: that is the
// brand's to answer for. A list comes with an error too. Told may be nil.
//
// An opening that was cut off, at any moment, goes on with the same request
// when it is ordered again, and files that lie in the folder already stay.
func (b *Brand) Open(ctx context.Context, r *Received, files []string, to string, wait time.Duration, dial Dial, told Told) ([]Opened, error) {
	which, err := r.pick(files)
	if err != nil {
		return nil, err
	}
	v, err := b.visit(ctx, r, wait, dial)
	if err != nil {
		return nil, err
	}
	defer v.gws.close()
	v.told = told
	if err := os.MkdirAll(to, 0o700); err != nil {
		return nil, err
	}
	unlock, err := b.lock(r)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := b.session(r, to, which)
	if err != nil {
		return nil, err
	}
	var done []Opened
	var left []int
	for _, i := range which {
		at, ok, err := s.placed(i)
		if err != nil {
			return nil, err
		}
		if !ok {
			left = append(left, i)
			continue
		}
		if err := b.settled(r, i); err != nil {
			return nil, err
		}
		done = append(done, Opened{Name: r.Names.Names[i], Path: at, Size: r.Names.Sizes[i], Before: true})
	}
	paths, err := r.targets(left, to)
	if err != nil {
		return nil, err
	}
	for at, i := range left {
		o, err := v.file(ctx, s, i, paths[at])
		if err != nil {
			return done, fmt.Errorf("%q: %w", r.Names.Names[i], err)
		}
		done = append(done, *o)
	}
	return done, s.done()
}

// settled forgets the request of a file that was put into place by a try that
// was cut off right after it.
func (b *Brand) settled(r *Received, i int) error {
	e := &r.Ticket.Package.Body.Entries[i]
	return remove(b.requestPath(r.Ticket.Grant.Hash, e.File, e.Version))
}

// pick gives the entries that files name.
func (r *Received) pick(files []string) ([]int, error) {
	names := r.Names.Names
	var out []int
	if len(files) == 0 {
		for i := range names {
			out = append(out, i)
		}
	}
	for _, f := range files {
		i := slices.Index(names, f)
		if n, err := strconv.Atoi(f); i < 0 && err == nil && n >= 1 && n <= len(names) {
			i = n - 1
		}
		if i < 0 {
			return nil, fmt.Errorf("the file %q %w", f, ErrUnknown)
		}
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out, nil
}

// visit signs the passes and prepares the connections of some openings.
func (b *Brand) visit(ctx context.Context, r *Received, wait time.Duration, dial Dial) (*visit, error) {
	m, err := b.asking(ctx)
	if err != nil {
		return nil, err
	}
	v := &visit{b: b, r: r, m: m, wait: wait}
	for i, gw := range r.Ticket.Grant.Body.Gateways {
		pass, err := custody.Sign(b.sign, ticket.Pass{
			Grant: r.Ticket.Grant.Raw, Plan: r.Ticket.Plans[i], Gateway: gw.Device, Guest: b.device,
			At: b.now().Unix(), Cert: m.Cert, Members: m.Revoked,
		})
		if err != nil {
			v.gws.close()
			return nil, err
		}
		v.gws.all = append(v.gws.all, dial(gw.Device, doorName(i, gw.Addresses), gw.Addresses, pass.Raw))
	}
	return v, nil
}

// manifest asks the custodians for one entry and gives what it consists of.
// Whoever made something of that calls dropRequest, else keepRequest; and Forget.
func (v *visit) manifest(ctx context.Context, i int) (*ticket.Manifest, *custody.Opening, error) {
	o, err := v.request(ctx, i)
	if err != nil {
		return nil, nil, err
	}
	m, err := v.unlock(ctx, i, o)
	if err == nil {
		return m, o, nil
	}
	var no *RefusedError
	switch {
	case errors.As(err, &no) && final(no.Reason):
		err = errors.Join(err, v.b.dropRequest(o))
	case o.Have() >= o.Need(): // the office does not answer
		err = errors.Join(err, v.b.keepRequest(o))
	}
	o.Forget()
	return nil, nil, v.why(ctx, err)
}

// why asks a member's office whether this machine was shut out, where a gateway
// refuses it: that says nothing of the reason.
func (v *visit) why(ctx context.Context, err error) error {
	if v.b.member == nil || !errors.Is(err, peers.ErrRefused) {
		return err
	}
	var no *OfficeError
	if _, serr := v.b.Sync(ctx); errors.As(serr, &no) {
		return no
	}
	return err
}

// unlock gets both locks of one entry open.
func (v *visit) unlock(ctx context.Context, i int, o *custody.Opening) (*ticket.Manifest, error) {
	t := v.r.Ticket
	e := &t.Package.Body.Entries[i]
	if err := v.collect(ctx, o, v.r.Names.Names[i]); err != nil {
		return nil, err
	}
	v.b.at("agreed")
	second, err := v.b.secondLock(ctx, t.Ticket, e)
	if err != nil {
		return nil, err
	}
	defer clear(second)
	key, err := o.Unlock(second)
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	v.agreed = o.Have()
	return ticket.OpenManifest(t.Manifests[i], key, e.File, e.Version)
}

// final says of a reason that the very same request can never be granted.
func final(r custody.Reason) bool {
	switch r {
	case custody.Busy, custody.ClockDoubt, custody.TooEarly, custody.OwnerSilent, custody.UsedUp, custody.MemberRevoked, custody.MemberExpired, custody.Forgot:
		return false
	}
	return true
}

// file opens one entry into a file.
func (v *visit) file(ctx context.Context, s *session, i int, path string) (*Opened, error) {
	begin := time.Now()
	m, o, err := v.manifest(ctx, i)
	asked := time.Since(begin)
	if err != nil {
		return nil, err
	}
	defer m.Forget()
	defer o.Forget()
	path, err = v.write(ctx, s, i, path, m)
	if err != nil {
		return nil, errors.Join(err, v.b.keepRequest(o))
	}
	v.b.at("placed")
	if err := v.b.dropRequest(o); err != nil {
		return nil, err
	}
	v.b.at("dropped")
	return &Opened{Name: m.Name, Path: path, Size: m.Size, Agreed: v.agreed, Asked: asked, Liars: v.liars}, nil
}

// collect asks the custodians until enough agree or cannot any more.
func (v *visit) collect(ctx context.Context, o *custody.Opening, name string) error {
	tell := func() {
		if v.told != nil {
			v.told(name, min(o.Have(), o.Need()), o.Need())
		}
	}
	tell()
	v.liars = nil
	if o.Have() >= o.Need() { // before it was cut off
		return nil
	}
	n := len(v.r.Ticket.Grant.Body.Custodians)
	letters := make([][]byte, n)
	for i := range letters {
		if o.From(i) {
			continue
		}
		var err error
		if letters[i], err = custody.SealLetter(o.Request.Raw, v.r.Ticket.Grant, i); err != nil {
			return err
		}
	}
	// Letters of an opening that waits go on waiting at the gateways when it is
	// left: their answers are of use to the next try.
	verb := gateway.VerbLetter
	if v.wait > 0 {
		verb = gateway.VerbKeep
	}
	until := time.Now().Add(v.wait)
	kept := o.Have()
	said := map[int]no{}
	patient := time.Now().Add(busyTime)
	for pause := retryWait; ; pause = min(pause+time.Second, retryMax) {
		lost := v.round(ctx, verb, o, letters, said, tell)
		busy := false
		for i, a := range said {
			if a.why == custody.Busy && time.Now().Before(patient) {
				busy = true
				delete(said, i)
			}
		}
		if o.Have() >= o.Need() {
			return nil
		}
		// Who agreed need not be asked again, whatever happens while this waits.
		if o.Have() > kept {
			if err := v.b.keepRequest(o); err != nil {
				return err
			}
			kept = o.Have()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if n-len(said) < o.Need() {
			return refused(said, n, v.liars)
		}
		if !busy && !time.Now().Before(until) {
			if lost != nil && o.Have() == 0 && len(said) == 0 {
				return lost
			}
			return &WaitingError{o.Have(), o.Need(), n, v.liars, lost}
		}
		tell()
		timer := time.NewTimer(min(pause, max(time.Until(until), retryWait)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// no is a custodian's refusal.
type no struct {
	why    custody.Reason
	signed bool // by the custodian; else its gateway says so
}

type answer struct {
	i   int
	raw []byte
	err error
}

// round brings every letter that is not answered, all at once, and takes the
// first answers that are enough. It tells of each that agrees, and gives the
// trouble with the gateways, if none of them took a letter.
func (v *visit) round(ctx context.Context, verb string, o *custody.Opening, letters [][]byte, said map[int]no, tell func()) (lost error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(letters))
	open := 0
	for i, l := range letters {
		if l == nil || said[i].why != "" {
			continue
		}
		open++
		go func() {
			raw, err := v.gws.letter(ctx, verb, l)
			answers <- answer{i, raw, err}
		}()
	}
	for ; open > 0; open-- {
		a := <-answers
		if o.Have() >= o.Need() {
			cancel() // the others; each still answers
			continue
		}
		if a.err != nil {
			lost = worst(lost, a.err)
			continue
		}
		if len(a.raw) == 0 {
			continue // asleep
		}
		refusal, liar := take(o, a.i, a.raw)
		if liar != nil {
			v.liars = append(v.liars, liar.Name.String())
		}
		if refusal.why != "" {
			said[a.i] = refusal
		} else {
			letters[a.i] = nil
			tell()
		}
		v.b.at("answered")
		if o.Have() >= o.Need() {
			cancel()
		}
	}
	return lost
}

// take adds the answer of custodian i, and gives its refusal when it is one. A wrong
// share that it signed is a refusal too, and proves that it lies.
func take(o *custody.Opening, i int, raw []byte) (no, *custody.LiarError) {
	r, err := witness.ParseReply(raw)
	if err != nil {
		return no{why: custody.Malformed}, nil
	}
	if len(r.Release) > 0 {
		var liar *custody.LiarError
		err := o.Add(r.Release)
		if errors.As(err, &liar) {
			return no{custody.BadPackage, true}, liar
		}
		if err != nil {
			return no{why: custody.Malformed}, nil // by nobody of the grant
		}
		return no{}, nil
	}
	if by, why, err := o.Denied(r.Denial); err == nil && by == i {
		return no{why, true}, nil
	}
	if r.Reason != "" {
		return no{why: r.Reason}, nil
	}
	return no{why: custody.Malformed}, nil
}

func refused(said map[int]no, n int, liars []string) error {
	count := map[custody.Reason]int{}
	e := &RefusedError{Refused: len(said), Of: n, Liars: liars}
	for _, a := range said {
		if a.signed {
			e.Signed++
		}
	}
	for _, a := range said {
		if a.signed == (e.Signed > 0) {
			count[a.why]++
		}
	}
	for why, c := range count {
		if c > count[e.Reason] || c == count[e.Reason] && why < e.Reason {
			e.Reason = why
		}
	}
	return e
}

// write fetches the chunks and writes the file, which appears whole or not at
// all, and says where.
func (v *visit) write(ctx context.Context, s *session, i int, path string, m *ticket.Manifest) (at string, err error) {
	temp := s.temp(i)
	// What a try that was cut off left of it is of no use.
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(temp))
		}
	}()
	e := &v.r.Ticket.Package.Body.Entries[i]
	index := uint64(0)
	off := int64(0)
	var buf []byte
	for j := range m.Pieces {
		p := &m.Pieces[j]
		if p.Hole > 0 {
			off += p.Hole
			continue
		}
		if buf, err = v.chunk(ctx, buf[:0], p, e, index); err != nil {
			return "", err
		}
		if _, err = f.WriteAt(buf, off); err != nil {
			return "", err
		}
		index, off = index+1, off+int64(len(buf))
	}
	clear(buf)
	if err = f.Truncate(m.Size); err != nil {
		return "", err
	}
	if err = f.Sync(); err != nil {
		return "", err
	}
	if err = f.Close(); err != nil {
		return "", err
	}
	if err = os.Chtimes(temp, time.Time{}, time.Unix(0, m.ModTime)); err != nil {
		return "", err
	}
	v.b.at("written")
	at, err = place(temp, path, func(at string) error {
		s.Placed[i] = at
		err := s.save()
		v.b.at("announced")
		return err
	})
	if err != nil {
		return "", err
	}
	return at, durable.SyncDir(filepath.Dir(at))
}

// chunk gets and opens one chunk. Whoever gave wrong bytes for it is left out
// the second time.
func (v *visit) chunk(ctx context.Context, dst []byte, p *ticket.Piece, e *custody.Entry, index uint64) ([]byte, error) {
	for _, check := range []bool{false, true} {
		sealed, err := v.gws.chunk(ctx, gateway.Ask{
			Grant: v.r.Ticket.Grant.Hash, File: e.File, Version: e.Version, Index: index, Check: check,
		}, v.wait)
		if err != nil {
			return dst, err
		}
		out, err := engine.OpenChunk(dst, nil, p.Name, p.Key, p.Zstd, p.Plain, sealed)
		if err == nil || !errors.Is(err, seal.ErrAuthentic) {
			return out, err
		}
	}
	return dst, seal.ErrAuthentic
}
