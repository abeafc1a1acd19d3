// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// Revoke takes a revocation, from anybody: it is the signature of the owner's
// device that counts. When it returns, the revocation is on the disk. Only the
// owner and the fellow custodians are told where this one stands.
func (s *Service) Revoke(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	r, err := custody.Parse[custody.Revocation](raw)
	if err != nil {
		return nil, refused(err)
	}
	cert, err := custody.Parse[custody.DeviceCert](r.Body.Cert)
	if err != nil {
		return nil, refused(err)
	}
	o, err := s.owner(cert.Body.Root)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.fresh(ctx, o); err != nil {
		return nil, err
	}
	if err := s.learn(ctx, o, &News{Revocations: [][]byte{raw}}); err != nil {
		return nil, err
	}
	if !s.hears(o, from) {
		return custody.Marshal(Standing{})
	}
	return s.standing(o)
}

// Status takes news from an owner's device, or from a fellow custodian.
func (s *Service) Status(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	var in News
	if err := custody.Unmarshal(raw, &in); err != nil {
		return nil, refused(err)
	}
	o, err := s.listen(ctx, from, in.Owner)
	if err != nil {
		return nil, err
	}
	defer o.mu.Unlock()
	if err := s.learn(ctx, o, &in); err != nil {
		return nil, err
	}
	return s.standing(o)
}

// listen finds an owner that a device may speak about, and locks it.
func (s *Service) listen(ctx context.Context, from peers.DeviceID, root custody.Key) (*owner, error) {
	o, err := s.owner(root)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	if err = s.fresh(ctx, o); err == nil && !s.hears(o, from) {
		err = peers.ErrNoCustodian
	}
	if err != nil {
		o.mu.Unlock()
		return nil, err
	}
	return o, nil
}

// attend is listen for what only the owner's own devices are told: a fellow gets
// heads and nothing more.
func (s *Service) attend(ctx context.Context, from peers.DeviceID, root custody.Key) (*owner, error) {
	o, err := s.listen(ctx, from, root)
	if err == nil && !s.speaks(o, from) {
		o.mu.Unlock()
		return nil, peers.ErrNoCustodian
	}
	return o, err
}

func (s *Service) standing(o *owner) ([]byte, error) {
	v := s.judge(o)
	head, err := o.log.Sign(o.sign, max(v.Now, 0))
	if err != nil {
		return nil, err
	}
	st := Standing{Head: head.Raw, At: v.Now, Revocations: o.revocations(), Doubt: v.Doubt}
	if o.status != nil {
		st.StatusSeq = o.status.Body.Seq
	}
	if o.devices != nil {
		st.Epoch = o.devices.Body.Epoch
	}
	if o.panel != nil {
		st.Panel = o.panel.Body.Epoch
	}
	return custody.Marshal(st)
}

func (o *owner) revocations() custody.Hash {
	return custody.RevocationsHash(slices.Collect(maps.Keys(o.revoked)))
}

// learn takes in news of an owner, part by part; what is known already is
// passed over. The first part that is wrong ends it. With o.mu held.
func (s *Service) learn(ctx context.Context, o *owner, n *News) error {
	if len(n.DeviceSet) > 0 {
		if err := s.learnDevices(ctx, o, n.DeviceSet); err != nil {
			return err
		}
	}
	if len(n.Panel) > 0 {
		if err := s.learnPanel(ctx, o, n.Panel); err != nil {
			return err
		}
	}
	if len(n.Status) > 0 {
		if err := s.learnStatus(ctx, o, n.Status); err != nil {
			return err
		}
	}
	stray := s.learnRevocations(ctx, o, n.Revocations)
	if stray != nil && !errors.Is(stray, errStray) {
		return stray
	}
	for _, u := range n.Updates {
		if err := s.learnUpdate(ctx, o, u); err != nil {
			return err
		}
	}
	if err := s.learnHeads(ctx, o, n.Heads); err != nil {
		return err
	}
	return stray
}

func (s *Service) learnDevices(ctx context.Context, o *owner, raw []byte) error {
	if d, err := custody.Parse[custody.DeviceSet](raw); err == nil && d.Signer == o.root &&
		o.devices != nil && d.Body.Epoch <= o.devices.Body.Epoch {
		return nil
	}
	var epoch uint64
	if o.devices != nil {
		epoch = o.devices.Body.Epoch
	}
	d, err := custody.CheckDeviceSet(raw, o.root, epoch)
	if err != nil {
		return refused(err)
	}
	if err := s.write(ctx, o, []statement{{"UPDATE owner SET devices = ? WHERE root = ?", []any{raw, o.root[:]}}}); err != nil {
		return err
	}
	o.devices = d
	s.wake()
	return nil
}

func (s *Service) learnPanel(ctx context.Context, o *owner, raw []byte) error {
	p, err := custody.Parse[Panel](raw)
	if err != nil {
		return refused(err)
	}
	if p.Signer != o.root || p.Body.Owner != o.root {
		return refused(errors.New("a panel of somebody else"))
	}
	if o.panel != nil && p.Body.Epoch <= o.panel.Body.Epoch {
		return nil
	}
	if err := s.write(ctx, o, []statement{{"UPDATE owner SET panel = ? WHERE root = ?", []any{raw, o.root[:]}}}); err != nil {
		return err
	}
	s.enlist(o.panel, p)
	o.panel = p
	s.wake()
	return nil
}

// enlist counts the members of a panel that takes another's place.
func (s *Service) enlist(old, now *custody.Signed[Panel]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != nil {
		for _, m := range old.Body.Members {
			if s.fellows[m.Device]--; s.fellows[m.Device] <= 0 {
				delete(s.fellows, m.Device)
			}
		}
	}
	if now != nil {
		for _, m := range now.Body.Members {
			s.fellows[m.Device]++
		}
	}
}

func (s *Service) learnStatus(ctx context.Context, o *owner, raw []byte) error {
	var seq uint64
	if o.status != nil {
		seq = o.status.Body.Seq
		if bytes.Equal(o.status.Raw, raw) {
			return nil
		}
	}
	st, err := custody.Parse[custody.OwnerStatus](raw)
	if err == nil && st.Body.Owner == o.root && st.Body.Seq <= seq {
		return nil // an older one is no news, and no offence
	}
	st, err = custody.CheckStatus(raw, o.root, o.set(), seq, s.judge(o).Now)
	if err != nil {
		return refused(err)
	}
	if err := s.write(ctx, o, []statement{{"UPDATE owner SET status = ? WHERE root = ?", []any{raw, o.root[:]}}}); err != nil {
		return err
	}
	o.status = st
	return nil
}

// errStray: a revocation was passed over, see maxStray.
var errStray = errors.New("too many revocations by devices that are not the owner's any more")

// learnRevocations makes new revocations durable, each with its log entry.
func (s *Service) learnRevocations(ctx context.Context, o *owner, list [][]byte) error {
	var with []statement
	var entries []ledger.Entry
	fresh := map[custody.Hash]bool{}
	var wrong error
	stray := 0
	for _, raw := range list {
		r, err := custody.CheckRevocation(raw, o.root)
		if err != nil {
			wrong = refused(err) // those before it are kept all the same
			break
		}
		g := r.Body.Grant
		if o.revoked[g] || fresh[g] {
			continue
		}
		if len(o.revoked)+len(fresh) >= maxRevoked {
			wrong = refused(errors.New("more withdrawals than one person's grants"))
			break
		}
		mark := 0
		if set := o.set(); set == nil || !slices.Contains(set.Devices, r.Signer) && !slices.Contains(set.Kept, r.Hash) {
			if mark = 1; o.stray+stray >= maxStray {
				wrong = refused(errStray)
				continue // one by a device that counts may follow
			}
		}
		stray += mark
		fresh[g] = true
		with = append(with, statement{"INSERT INTO revoked (owner, grant_hash, raw, stray) VALUES (?, ?, ?, ?)",
			[]any{o.root[:], g[:], raw, mark}})
		entries = append(entries, ledger.Entry{At: max(s.judge(o).Now, 0), Kind: ledger.Revoke, Grant: g})
	}
	if len(fresh) > 0 {
		if err := s.noteWith(ctx, o, with, entries...); err != nil {
			return err
		}
		maps.Copy(o.revoked, fresh)
		o.stray += stray
		s.log.Info("grants were revoked", "count", len(fresh))
		s.wake()
	}
	return wrong
}

func (s *Service) learnUpdate(ctx context.Context, o *owner, u Update) error {
	t, err := custody.CheckUpdate(u.Grant, u.Package, state{s, o, custody.Verdict{}})
	if err != nil {
		return refused(err)
	}
	g, p := t.Grant.Hash, pack{t.Package.Body.Seq, t.Package.Hash}
	if p.seq <= o.newest[g].seq {
		return nil
	}
	if err := s.write(ctx, o, []statement{newestStatement(o.root, g, p)}); err != nil {
		return err
	}
	o.newest[g] = p
	return nil
}

// keptHeads is how many of a fellow's heads are remembered.
const (
	keptHeads = 16
	// twoHeads of one number prove that its custodian keeps two logs; more of
	// them would prove nothing more.
	twoHeads = 2
	maxHeads = 256 // that are looked at in one message
)

// learnHeads remembers what fellow custodians say of their logs. The owner
// compares them with the logs it reads; two heads of one number stay both, as
// the proof that its custodian keeps two logs.
func (s *Service) learnHeads(ctx context.Context, o *owner, list [][]byte) error {
	for _, raw := range list[:min(len(list), maxHeads)] {
		h, err := custody.Parse[ledger.Head](raw)
		if err != nil {
			return refused(err)
		}
		if h.Signer == o.log.Custodian && h.Body.Owner == o.root && h.Body.Seq > 0 {
			if err := s.learnOwnHead(ctx, o, &h.Body); err != nil {
				return err
			}
			continue
		}
		if h.Body.Owner != o.root || o.panel == nil || h.Body.Seq == 0 ||
			!slices.ContainsFunc(o.panel.Body.Members, func(m Member) bool { return m.LogKey == h.Signer }) {
			continue // of a panel that is not known here yet
		}
		seq := int64(min(h.Body.Seq, 1<<62))
		err = s.store.write(ctx, []statement{
			{"INSERT OR IGNORE INTO head (owner, custodian, seq, head, raw) SELECT ?, ?, ?, ?, ? WHERE " +
				"(SELECT count(*) FROM head WHERE owner = ? AND custodian = ? AND seq = ?) < ?",
				[]any{o.root[:], h.Signer[:], seq, h.Body.Head[:], raw, o.root[:], h.Signer[:], seq, twoHeads}},
			{"DELETE FROM head WHERE owner = ? AND custodian = ? AND seq < (SELECT min(seq) FROM " +
				"(SELECT DISTINCT seq FROM head WHERE owner = ? AND custodian = ? ORDER BY seq DESC LIMIT ?))",
				[]any{o.root[:], h.Signer[:], o.root[:], h.Signer[:], keptHeads}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// maxLogBytes bounds the records of one answer, so that with the heads it stays
// a document.
const maxLogBytes = 512 << 10

// Log gives an owner's device a part of its log.
func (s *Service) Log(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	var q LogQuery
	if err := custody.Unmarshal(raw, &q); err != nil {
		return nil, refused(err)
	}
	o, err := s.attend(ctx, from, q.Owner)
	if err != nil {
		return nil, err
	}
	defer o.mu.Unlock()
	head, err := o.log.Sign(o.sign, max(s.judge(o).Now, 0))
	if err != nil {
		return nil, err
	}
	a := LogAnswer{Head: head.Raw}
	records, err := s.store.records(ctx, o.root, q.After, maxRecords)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, r := range records {
		if size += len(r.Entry) + 48; size > maxLogBytes {
			break
		}
		a.Records = append(a.Records, r)
	}
	if a.Heads, err = s.heads(ctx, o); err != nil {
		return nil, err
	}
	return custody.Marshal(a)
}

// heads are the fellows' heads that are remembered, newest first.
func (s *Service) heads(ctx context.Context, o *owner) ([][]byte, error) {
	return s.store.raws(ctx, "SELECT raw FROM head WHERE owner = ? ORDER BY seq DESC LIMIT 512", o.root[:])
}
