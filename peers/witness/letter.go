// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"errors"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// Kinds of buckets of the limiter.
const (
	byGateway = iota
	byDevice
	byFellow
	byAsker
)

// maxProven bounds, in bytes, what is kept of a grant's requests for its proof,
// some 20,000 of them: a brand that may open as often as it likes must not fill
// the disk. The log goes on.
const maxProven = 64 << 20

// What one owner, with brands of its own making, can have a custodian keep, over
// all grants: it gives an owner room as a keeper, and must not give more by this.
const (
	maxProvenAll = 512 << 20 // bytes of evidence
	// maxAnswered bounds the releases that are kept to be repeated, which go after
	// some days, and with them how fast the log grows. More than one owner's files
	// are opened honestly.
	maxAnswered = 100_000
	// maxOrgs bounds the brands whose lists of revoked members are remembered.
	maxOrgs = 256
)

// Letter answers an open-request that a gateway brings. The answer is a Reply,
// also when it is no; an error means that there is none now, and the letter can
// be brought again.
func (s *Service) Letter(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	r, err := s.letter(ctx, from, raw)
	if err != nil {
		return nil, err
	}
	return custody.Marshal(r)
}

func (s *Service) letter(ctx context.Context, from peers.DeviceID, raw []byte) (*Reply, error) {
	if !s.limit.Allow(byGateway, from, perGateway, s.o.Now()) {
		return &Reply{Reason: custody.Busy}, nil
	}
	l, err := custody.ReadLetter(raw)
	if err != nil {
		return &Reply{Reason: custody.Malformed}, nil
	}
	o, err := s.owner(l.Owner)
	if err != nil {
		return &Reply{Reason: custody.NotNamed}, nil
	}
	c, ok := s.chain(l.Owner, l.Generation)
	if !ok {
		return &Reply{Reason: custody.NotNamed}, nil
	}
	request, err := l.Open(c)
	if errors.Is(err, custody.ErrErased) {
		// Nothing inside can be read any more, so the log cannot say more.
		return s.refuse(ctx, o, &custody.Refusal{Reason: custody.Erased})
	}
	if err != nil {
		// For another custodian, or for nobody: a gateway may try them all.
		return &Reply{Reason: custody.NotNamed}, nil
	}
	// The signature is checked first: nobody can use up another's minute.
	if q, err := custody.Parse[custody.OpenRequest](request); err == nil &&
		!s.limit.Allow(byDevice, q.Signer, perDevice, s.o.Now()) {
		return s.refuse(ctx, o, &custody.Refusal{
			Reason: custody.Busy, Subject: custody.Subject{Request: q.Hash, Device: q.Signer},
		})
	}
	s.settled(ctx)
	if s.forgot(o) {
		return &Reply{Reason: custody.Forgot}, nil // in no log: there is none to go on with
	}
	yes := s.agrees(ctx, o, from, request)
	if yes != nil {
		s.consult(ctx, o, yes.d.Subject.Grant)
	}
	return s.decide(ctx, o, from, request, yes)
}

// forgot says whether what is here is older than what this custodian once knew.
func (s *Service) forgot(o *owner) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.behind
}

// agreed is a yes of the checks, as good as what they went by is unchanged.
type agreed struct {
	d       *custody.Decision
	changes uint64 // of the owner
	now     int64
}

// agrees goes through the checks as things stand; nil when they say no. Nothing
// is counted.
func (s *Service) agrees(ctx context.Context, o *owner, from peers.DeviceID, request []byte) *agreed {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.fresh(ctx, o) != nil {
		return nil // decide says so
	}
	v := s.judge(o)
	d, err := custody.Decide(request, from, state{s, o, v})
	if err != nil {
		return nil
	}
	return &agreed{d, o.changes, v.Now}
}

// decide goes through the checks, unless they said yes in this second and nothing
// has changed since, and gives the answer after the log.
func (s *Service) decide(ctx context.Context, o *owner, from peers.DeviceID, request []byte, yes *agreed) (*Reply, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.fresh(ctx, o); err != nil {
		return nil, err
	}
	if o.behind { // learned meanwhile
		return &Reply{Reason: custody.Forgot}, nil
	}
	v := s.judge(o)
	var d *custody.Decision
	var err error
	if yes != nil && yes.changes == o.changes && yes.now == v.Now && v.Doubt == "" {
		d = yes.d
	} else {
		d, err = custody.Decide(request, from, state{s, o, v})
	}
	var no *custody.Refusal
	if lerr := s.shown(ctx, o, d, err); lerr != nil {
		return nil, lerr
	}
	switch {
	case errors.As(err, &no) && no.Reason == custody.Replay:
		// The answer got lost, on the way or in a crash: the same one again
		// tells nobody anything new.
		if again, err := s.again(ctx, o, no.Subject.Request); err != nil || again != nil {
			return again, err
		}
		return s.no(ctx, o, no)
	case no != nil:
		return s.no(ctx, o, no)
	case err != nil:
		return nil, err
	}
	if len(o.answered) >= maxAnswered {
		return s.no(ctx, o, &custody.Refusal{Reason: custody.Busy, Detail: "too many answers are kept for this owner", Subject: d.Subject, At: d.At})
	}
	next, entry, err := o.log.Append(o.sign, ledger.Released(d))
	if err != nil {
		return nil, err
	}
	// Sealed here so that it can be on the disk with its log entry, and given
	// out below: until then nobody has it.
	release, err := d.Release(next.Seq, next.Head)
	if err != nil {
		return nil, err
	}
	b, g := d.Subject, d.Subject.Grant
	u := use{g, b.File, b.Version}
	s.at("checked")
	list := []statement{
		entryStatement(next, entry),
		{"INSERT INTO answered (owner, request, at, release) VALUES (?, ?, ?, ?)",
			[]any{o.root[:], b.Request[:], d.At, release.Raw}},
		{"INSERT INTO opened (owner, grant_hash, file, version, n) VALUES (?, ?, ?, ?, 1) " +
			"ON CONFLICT DO UPDATE SET n = n + 1", []any{o.root[:], g[:], b.File[:], int64(b.Version)}},
		newestStatement(o.root, g, pack{d.Package.Body.Seq, d.Package.Hash}),
	}
	// The owner has the grant and the package in it.
	slim, _, err := custody.Slim(request)
	if err != nil {
		return nil, err
	}
	size := int64(len(slim) + len(release.Raw))
	if o.proven[g]+size <= maxProven && o.provenAll+size <= maxProvenAll {
		list = append(list, statement{"INSERT INTO evidence (owner, seq, grant_hash, request, release) VALUES (?, ?, ?, ?, ?)",
			[]any{o.root[:], int64(next.Seq), g[:], slim, release.Raw}})
	} else {
		size = 0
	}
	if err := s.write(ctx, o, list); err != nil {
		return nil, err
	}
	o.proven[g] += size
	o.provenAll += size
	o.log = next
	o.answered[b.Request] = d.At
	o.opened[u]++
	o.newest[g] = pack{d.Package.Body.Seq, d.Package.Hash}
	s.at("logged")
	return &Reply{Release: release.Raw}, nil
}

// shown keeps a list of revoked members that a request shows, whatever became
// of the request: it comes once for each change of the list.
func (s *Service) shown(ctx context.Context, o *owner, d *custody.Decision, err error) error {
	var l *custody.Signed[custody.MemberRevocations]
	var no *custody.Refusal
	switch {
	case errors.As(err, &no):
		l = no.Members
	case d != nil:
		l = d.Members
	}
	// Without room it is heeded this once: the brand's gateways keep it too.
	if l == nil || o.members[l.Body.Root] == nil && len(o.members) >= maxOrgs {
		return nil
	}
	err = s.write(ctx, o, []statement{{"INSERT OR REPLACE INTO members (owner, org, raw) VALUES (?, ?, ?)",
		[]any{o.root[:], l.Body.Root[:], l.Raw}}})
	if err == nil {
		o.members[l.Body.Root] = &l.Body
	}
	return err
}

func newestStatement(root custody.Key, g custody.Hash, p pack) statement {
	return statement{"INSERT OR REPLACE INTO newest (owner, grant_hash, seq, hash) VALUES (?, ?, ?, ?)",
		[]any{root[:], g[:], int64(p.seq), p.hash[:]}}
}

// again finds the release that a request got before; nil when it is gone.
func (s *Service) again(ctx context.Context, o *owner, request custody.Hash) (*Reply, error) {
	list, err := s.store.raws(ctx, "SELECT release FROM answered WHERE owner = ? AND request = ?", o.root[:], request[:])
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &Reply{Release: list[0]}, nil
}

// refuse is no, for a refusal that Decide did not come to.
func (s *Service) refuse(ctx context.Context, o *owner, no *custody.Refusal) (*Reply, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.fresh(ctx, o); err != nil {
		return nil, err
	}
	no.At = s.judge(o).Now
	return s.no(ctx, o, no)
}

// no logs a refusal, many of a kind as one, and says it.
func (s *Service) no(ctx context.Context, o *owner, no *custody.Refusal) (*Reply, error) {
	if err := s.note(ctx, o, o.refusals.Add(no)...); err != nil {
		// A refusal that is missing in the log harms nobody; an answer does
		// not wait for it.
		s.log.Error("log a refusal", "error", err)
	}
	s.log.Debug("refused", "reason", no.Reason, "detail", no.Detail)
	denial, err := no.Deny()
	if err != nil {
		return nil, err
	}
	if denial == nil {
		return &Reply{Reason: no.Reason}, nil
	}
	return &Reply{Denial: denial.Raw}, nil
}
