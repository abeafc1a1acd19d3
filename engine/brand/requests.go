// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

const (
	requestsFolder = "requests"
	maxRecord      = 256 << 10
)

// Sent is a request of this company, with the answer to it.
type Sent struct {
	Text    string // to send
	Request *custody.Signed[consent.AccessRequest]
	Consent *custody.Signed[consent.Consent]
	Refusal *custody.Signed[consent.Refusal]
	// Countersigned is this company's word that it holds the answer; nil: none is
	// there, or it was kept by an earlier program.
	Countersigned *custody.Signed[consent.Countersignature]
}

// answer is the hash of the answer, and whether it is a consent.
func (s *Sent) answer() (custody.Hash, bool) {
	if s.Consent != nil {
		return s.Consent.Hash, true
	}
	return s.Refusal.Hash, false
}

// Receipt writes the record of the request and its answer.
func (s *Sent) Receipt() ([]byte, error) {
	r := &consent.Receipt{Request: s.Request, Consent: s.Consent, Refusal: s.Refusal, Countersigned: s.Countersigned, Displayed: consent.Display(&s.Request.Body)}
	if s.Consent != nil {
		r.Refusal = nil
	}
	if s.Consent == nil && s.Refusal == nil {
		return nil, ErrUnanswered
	}
	return r.JSON()
}

// Request asks a person for files: it signs a request and keeps it. ID, times,
// key and certificate are filled in, and the company's name where there is no
// legal name.
func (b *Brand) Request(ctx context.Context, r consent.AccessRequest, life int64) (*Sent, error) {
	m, err := b.asking(ctx)
	if err != nil {
		return nil, err
	}
	card, _, err := b.Card()
	if err != nil {
		return nil, err
	}
	rand.Read(r.ID[:])
	r.Controller.Root, r.Cert, r.At = b.org, m.Cert, b.now().Unix()
	r.Expires = r.At + life
	if r.Controller.LegalName == "" {
		r.Controller.LegalName = b.Name
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	s, err := custody.Sign(b.sign, r)
	if err != nil {
		return nil, err
	}
	text, err := consent.Text(card, s)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(b.dir, requestsFolder), 0o700); err != nil {
		return nil, err
	}
	if err := b.box.WriteNew(b.recordPath(r.ID, ".request"), []byte(text+"\n")); err != nil {
		return nil, err
	}
	return &Sent{Text: text, Request: s}, nil
}

func (b *Brand) recordPath(id [16]byte, ending string) string {
	return filepath.Join(b.dir, requestsFolder, fmt.Sprintf("%x%s", id, ending))
}

// Requests lists the requests of this machine, the newest first, and what is
// wrong with those that cannot be read.
func (b *Brand) Requests() (out []*Sent, bad []error, err error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, requestsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	out = []*Sent{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".request") {
			continue
		}
		s, err := b.sent(filepath.Join(b.dir, requestsFolder, e.Name()))
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", e.Name(), err))
			continue
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(x, y *Sent) int { return int(y.Request.Body.At - x.Request.Body.At) })
	return out, bad, nil
}

func (b *Brand) sent(path string) (*Sent, error) {
	raw, err := b.box.ReadFile(path, maxRecord)
	if err != nil {
		return nil, err
	}
	a, err := consent.Parse(string(raw))
	if err != nil {
		return nil, err
	}
	s := &Sent{Text: strings.TrimSpace(string(raw)), Request: a.Request}
	raw, err = b.box.ReadFile(b.recordPath(a.Request.Body.ID, ".consent"), maxRecord)
	if err == nil {
		s.Consent, err = custody.Parse[consent.Consent](raw)
	} else if errors.Is(err, fs.ErrNotExist) {
		if raw, err = b.box.ReadFile(b.recordPath(a.Request.Body.ID, ".refusal"), maxRecord); err == nil {
			s.Refusal, err = consent.CheckRefusal(raw, a.Request)
		} else if errors.Is(err, fs.ErrNotExist) {
			return s, nil
		}
	}
	if err != nil {
		return nil, err
	}
	raw, err = b.box.ReadFile(b.recordPath(a.Request.Body.ID, ".countersigned"), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	hash, yes := s.answer()
	c, err := consent.CheckCountersignature(raw, s.Request, hash, yes)
	if err == nil {
		s.Countersigned = c
	}
	// One of an answer that another took the place of is written anew.
	return s, nil
}

// ErrUnanswered: a request has no answer yet.
var ErrUnanswered = said.Error("request-unanswered", "the request has no answer yet")

// countersign signs that this company holds the answer to a request, and keeps
// that. Once: the person has one.
func (b *Brand) countersign(ctx context.Context, request, grant custody.Hash) (*Sent, error) {
	s, err := b.requestOf(request)
	if err != nil || s.Countersigned != nil {
		return s, err
	}
	m, err := b.asking(ctx)
	if err != nil {
		return nil, err
	}
	hash, _ := s.answer()
	c, err := consent.Countersign(b.sign, m.Cert, request, hash, grant, b.now().Unix())
	if err != nil {
		return nil, err
	}
	if err := b.box.Replace(b.recordPath(s.Request.Body.ID, ".countersigned"), c.Raw); err != nil {
		return nil, err
	}
	s.Countersigned = c
	return s, nil
}

// Answered keeps a person's answer to a request of this machine. A consent must
// be by the owner of a grant that was received and names it. What is kept is
// countersigned.
func (b *Brand) Answered(ctx context.Context, text string) (*Sent, error) {
	if raw, err := consent.AnswerBytes(consent.RefusalPrefix, text); err == nil {
		n, err := custody.Parse[consent.Refusal](raw)
		if err != nil {
			return nil, err
		}
		s, err := b.requestOf(n.Body.Request)
		if err != nil {
			return nil, err
		}
		if _, err := consent.CheckRefusal(raw, s.Request); err != nil {
			return nil, err
		}
		if s.Consent != nil {
			return s, nil
		}
		if err := b.box.Replace(b.recordPath(s.Request.Body.ID, ".refusal"), raw); err != nil {
			return nil, err
		}
		return b.countersign(ctx, s.Request.Hash, custody.Hash{})
	}
	raw, err := consent.AnswerBytes(consent.ConsentPrefix, text)
	if err != nil {
		return nil, err
	}
	c, err := custody.Parse[consent.Consent](raw)
	if err != nil {
		return nil, err
	}
	s, err := b.requestOf(c.Body.Request)
	if err != nil {
		return nil, err
	}
	all, _, err := b.All()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(r *Received) bool { return r.Ticket.Grant.Body.Consent == c.Hash })
	if i < 0 {
		return nil, said.Wrap(ErrUnknown, "consent-ticket", "the consent {why}: keep the ticket that came with it first")
	}
	if _, err := consent.CheckConsent(raw, s.Request, all[i].Ticket.Grant.Body.Owner); err != nil {
		return nil, err
	}
	if err := b.box.Replace(b.recordPath(s.Request.Body.ID, ".consent"), raw); err != nil {
		return nil, err
	}
	return b.countersign(ctx, s.Request.Hash, all[i].Ticket.Grant.Hash)
}

func (b *Brand) requestOf(h custody.Hash) (*Sent, error) {
	all, _, err := b.Requests()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(s *Sent) bool { return s.Request.Hash == h })
	if i < 0 {
		return nil, said.Wrap(ErrUnknown, "answer-unknown", "the request that this answers {why} on this machine")
	}
	return all[i], nil
}
