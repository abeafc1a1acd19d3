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
	"github.com/preezm/preezm/peers/gateway"
	"github.com/preezm/preezm/peers/witness"
)

// Gateway is a connection to one of a grant's gateways, *rpc.Visit.
type Gateway interface {
	Ask(ctx context.Context, verb string, raw []byte) ([]byte, error)
	Close()
}

// Dial prepares a connection under a pass.
type Dial func(device peers.DeviceID, name string, addresses []string, pass []byte) Gateway

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
// refuse.
type WaitingError struct {
	Have, Need, Of int
	Liars          []string // see Opened
}

func (e *WaitingError) Error() string {
	return fmt.Sprintf("%d of the %d custodians needed have agreed, the others of %d do not answer now", e.Have, e.Need, e.Of)
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
}

const (
	retryWait = 2 * time.Second
	// busyTime is how long custodians are asked again that limit how many
	// requests a device may make in a minute.
	busyTime = 90 * time.Second
)

// visit is one opening in progress.
type visit struct {
	b    *Brand
	r    *Received
	m    *custody.Member
	gws  []Gateway
	wait time.Duration
	told Told

	liars []string // among the custodians asked for one file
}

// Told hears how many custodians have agreed to the file that is asked for
// now, and how many must. It is called from the goroutine of the opening.
type Told func(name string, have, need int)

// Open opens files of a received grant into a folder, all of them when none is
// named (by name or by number). It asks the custodians for each, for as long
// as wait when too few answer. What it opened stays in the folder: that is the
// brand's to answer for. A list comes with an error too. Told may be nil.
func (b *Brand) Open(ctx context.Context, r *Received, files []string, to string, wait time.Duration, dial Dial, told Told) ([]Opened, error) {
	which, err := r.pick(files)
	if err != nil {
		return nil, err
	}
	v, err := b.visit(r, wait, dial)
	if err != nil {
		return nil, err
	}
	defer v.close()
	v.told = told
	if err := os.MkdirAll(to, 0o700); err != nil {
		return nil, err
	}
	paths, err := r.targets(which, to)
	if err != nil {
		return nil, err
	}
	var done []Opened
	for at, i := range which {
		o, err := v.file(ctx, i, paths[at])
		if err != nil {
			return done, fmt.Errorf("%q: %w", r.Names.Names[i], err)
		}
		done = append(done, *o)
	}
	return done, nil
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
		out = append(out, i)
	}
	return out, nil
}

// ask tries the gateways in turn.
func (v *visit) ask(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	err := errors.New("the grant has no gateway")
	for _, g := range v.gws {
		var answer []byte
		if answer, err = g.Ask(ctx, verb, raw); err == nil || ctx.Err() != nil {
			return answer, err
		}
	}
	return nil, err
}

// visit signs the passes and prepares the connections of some openings.
func (b *Brand) visit(r *Received, wait time.Duration, dial Dial) (*visit, error) {
	m, err := b.member()
	if err != nil {
		return nil, err
	}
	v := &visit{b: b, r: r, m: m, wait: wait}
	for i, gw := range r.Ticket.Grant.Body.Gateways {
		pass, err := custody.Sign(b.sign, ticket.Pass{
			Grant: r.Ticket.Grant.Raw, Plan: r.Ticket.Plans[i], Gateway: gw.Device, Guest: b.device,
			At: b.now().Unix(), Cert: m.Cert,
		})
		if err != nil {
			v.close()
			return nil, err
		}
		v.gws = append(v.gws, dial(gw.Device, fmt.Sprintf("gateway %d of the grant", i+1), gw.Addresses, pass.Raw))
	}
	return v, nil
}

func (v *visit) close() {
	for _, g := range v.gws {
		g.Close()
	}
}

// manifest asks the custodians for one entry and gives what it consists of.
func (v *visit) manifest(ctx context.Context, i int) (m *ticket.Manifest, agreed int, err error) {
	t := v.r.Ticket
	e := &t.Package.Body.Entries[i]
	o, err := v.m.Request(t.Ticket, e.File, v.b.now().Unix())
	if err != nil {
		return nil, 0, err
	}
	if err := v.collect(ctx, o, v.r.Names.Names[i]); err != nil {
		return nil, 0, err
	}
	key, err := o.Key(v.b.kem)
	if err != nil {
		return nil, 0, err
	}
	m, err = ticket.OpenManifest(t.Manifests[i], key, e.File, e.Version)
	clear(key[:])
	return m, o.Have(), err
}

// file opens one entry into a file.
func (v *visit) file(ctx context.Context, i int, path string) (*Opened, error) {
	begin := time.Now()
	m, agreed, err := v.manifest(ctx, i)
	asked := time.Since(begin)
	if err != nil {
		return nil, err
	}
	path, err = v.write(ctx, path, m, &v.r.Ticket.Package.Body.Entries[i])
	if err != nil {
		return nil, err
	}
	return &Opened{Name: m.Name, Path: path, Size: m.Size, Agreed: agreed, Asked: asked, Liars: v.liars}, nil
}

// collect asks the custodians until enough agree or cannot any more.
func (v *visit) collect(ctx context.Context, o *custody.Opening, name string) error {
	tell := func() {
		if v.told != nil {
			v.told(name, min(o.Have(), o.Need()), o.Need())
		}
	}
	tell()
	n := len(v.r.Ticket.Grant.Body.Custodians)
	letters := make([][]byte, n)
	for i := range letters {
		var err error
		if letters[i], err = custody.SealLetter(o.Request.Raw, v.r.Ticket.Grant, i); err != nil {
			return err
		}
	}
	until := time.Now().Add(v.wait)
	said := map[int]no{}
	v.liars = nil
	patient := time.Now().Add(busyTime)
	for {
		// Letters wait at the gateway while this goes on asking. The last round
		// takes them back: nobody could use what they bring after it.
		verb := gateway.VerbLetter
		if time.Now().Before(until) {
			verb = gateway.VerbWait
		}
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
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if n-len(said) < o.Need() {
			return refused(said, n, v.liars)
		}
		if !busy && verb == gateway.VerbLetter {
			if lost != nil {
				return lost
			}
			return &WaitingError{o.Have(), o.Need(), n, v.liars}
		}
		pause := time.NewTimer(retryWait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		case <-pause.C:
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
// last trouble with a gateway.
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
			raw, err := v.ask(ctx, verb, l)
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
			lost = a.err
			continue
		}
		var d gateway.Delivery
		if err := custody.Unmarshal(a.raw, &d); err != nil || d.Waiting || len(d.Reply) == 0 {
			continue
		}
		refusal, liar := take(o, a.i, d.Reply)
		if liar != nil {
			v.liars = append(v.liars, liar.Name.String())
		}
		if refusal.why != "" {
			said[a.i] = refusal
		} else {
			letters[a.i] = nil
			tell()
		}
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
func (v *visit) write(ctx context.Context, path string, m *ticket.Manifest, e *custody.Entry) (at string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".opening-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	index := uint64(0)
	off := int64(0)
	var buf []byte
	for i := range m.Pieces {
		p := &m.Pieces[i]
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
	if err = f.Truncate(m.Size); err != nil {
		return "", err
	}
	if err = f.Sync(); err != nil {
		return "", err
	}
	if err = f.Close(); err != nil {
		return "", err
	}
	if err = os.Chtimes(f.Name(), time.Time{}, time.Unix(0, m.ModTime)); err != nil {
		return "", err
	}
	return place(f.Name(), path)
}

// chunk gets and opens one chunk. Whoever gave wrong bytes for it is left out
// the second time.
func (v *visit) chunk(ctx context.Context, dst []byte, p *ticket.Piece, e *custody.Entry, index uint64) ([]byte, error) {
	for _, check := range []bool{false, true} {
		raw, err := custody.Marshal(gateway.Ask{
			Grant: v.r.Ticket.Grant.Hash, File: e.File, Version: e.Version, Index: index, Check: check,
		})
		if err != nil {
			return dst, err
		}
		sealed, err := v.ask(ctx, gateway.VerbChunk, raw)
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
