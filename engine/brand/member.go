// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

const (
	memberFile = "member.json"
	certFile   = "member.cert"
	// syncEvery is how old a member's news of its office may be when it opens
	// something; syncTime is what it waits for them then.
	syncEvery = 15 * time.Minute
	syncTime  = 3 * time.Second
	joinTime  = 15 * time.Second
	// officeTime bounds one question to the office. A ticket may be large.
	officeTime = 60 * time.Second
	// newsTime bounds the question what is new, for which other commands wait.
	newsTime   = joinTime
	memberLock = "member.lock"
	lockRetry  = 10 * time.Millisecond
)

// ErrOffice: the office cannot be asked, and is needed.
var ErrOffice = said.Error("office-away", "the company's office cannot be reached")

// membership is member.json.
type membership struct {
	Format    int      `json:"format"`
	Name      string   `json:"name"` // of the organisation
	Label     string   `json:"label"`
	Org       string   `json:"key"`
	Card      string   `json:"card"`
	Office    string   `json:"office"` // device
	Addresses []string `json:"addresses"`
	Synced    int64    `json:"synced"` // when the office was heard last
	Revoked   bool     `json:"revoked,omitempty"`

	office peers.DeviceID
}

func (b *Brand) openMember() error {
	m, org, err := b.readMember()
	if err != nil {
		return err
	}
	b.org = org
	b.Name, b.Label, b.member = m.Name, m.Label, m
	return nil
}

// readMember reads member.json. ErrNoBrand when there is none.
func (b *Brand) readMember() (*membership, custody.Key, error) {
	path := filepath.Join(b.dir, memberFile)
	raw, err := b.box.ReadFile(path, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, custody.Key{}, ErrNoBrand
	}
	if err != nil {
		return nil, custody.Key{}, err
	}
	var m membership
	damaged := fmt.Errorf("%s is damaged", path)
	if err := json.Unmarshal(raw, &m); err != nil || m.Format != 1 {
		return nil, custody.Key{}, damaged
	}
	org, err := hex.DecodeString(m.Org)
	if err != nil || len(org) != len(custody.Key{}) {
		return nil, custody.Key{}, damaged
	}
	if m.office, err = peers.ParseDeviceID(m.Office); err != nil {
		return nil, custody.Key{}, damaged
	}
	return &m, custody.Key(org), nil
}

// known is what this member knows of its office.
func (b *Brand) known() membership {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.member
}

// keep writes down what this member knows of its office.
func (b *Brand) keep(m membership) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.box.Replace(filepath.Join(b.dir, memberFile), append(raw, '\n')); err != nil {
		return err
	}
	b.know(m)
	return nil
}

// know takes over what member.json says; the caller holds mu.
func (b *Brand) know(m membership) {
	if b.line != nil && (m.office != b.member.office || !slices.Equal(m.Addresses, b.member.Addresses)) {
		b.line.Close()
		b.line = nil
	}
	*b.member = m
}

// reread takes over what another command of this home heard.
func (b *Brand) reread() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, org, err := b.readMember()
	if err != nil {
		return err
	}
	if org != b.org {
		return ErrNoBrand
	}
	b.know(*m)
	return nil
}

// alone runs f while no other command of this home asks the office what is new or
// joins: of two answers the older one must not be written last. The lock ends
// with the process.
func (b *Brand) alone(ctx context.Context, f func() error) error {
	if err := os.MkdirAll(filepath.Join(b.dir, unfinished), 0o700); err != nil {
		return err
	}
	l := flock.New(filepath.Join(b.dir, unfinished, memberLock), flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, lockRetry); err != nil {
		return fmt.Errorf("wait for another command that asks the company's office: %w", err)
	}
	return errors.Join(f(), l.Unlock())
}

// Joining is what a machine needs to become a member.
type Joining struct {
	Box    *vault.Box // nil: plain
	Dir    string
	Name   string // of the machine
	Sign   ed25519.PrivateKey
	Device peers.DeviceID
	Now    func() time.Time
	Reach  func(device peers.DeviceID, addresses []string) Line
}

// Join makes this machine a member with a code of the office, which must
// answer. One that is a member of that organisation already gets a new role and
// the office's new address.
func Join(ctx context.Context, j Joining, code string) (*Brand, error) {
	in, err := parseCode(code)
	if err != nil {
		return nil, err
	}
	now := j.Now()
	if now.Unix() >= in.Expires {
		return nil, &OfficeError{reasonCode}
	}
	b := &Brand{box: j.Box, dir: j.Dir, org: in.Org, sign: j.Sign, device: j.Device, now: j.Now, Reach: j.Reach}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	if err := b.alone(ctx, func() error { return b.enter(ctx, j, in) }); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Brand) enter(ctx context.Context, j Joining, in *invitation) error {
	now := j.Now()
	if old, err := OpenIn(j.Box, j.Dir, j.Sign, j.Device, j.Now); err == nil && (old.Office() || old.org != in.Org) || err != nil && !errors.Is(err, ErrNoBrand) {
		return errors.Join(ErrExists, err)
	}
	q, err := custody.Sign(j.Sign, MemberRequest{Org: in.Org, Office: in.Office, Device: j.Device, Token: in.Token, Name: j.Name, At: now.Unix()})
	if err != nil {
		return err
	}
	b.member = &membership{Format: 1, Name: in.Name, Org: in.Org.String(), Office: in.Office.String(), Addresses: in.Addresses, Synced: now.Unix(), office: in.Office}
	raw, err := b.askOffice(ctx, VerbJoin, q.Raw)
	if err != nil {
		return err
	}
	var a joinAnswer
	if err := custody.Unmarshal(raw, &a); err != nil {
		return err
	}
	if err := officeError(a.Reason); err != nil {
		return err
	}
	card, err := custody.ParseCard(a.Card)
	if err != nil || card.Body.Root != in.Org {
		return fmt.Errorf("the office: %w (its card is another company's)", peers.ErrProtocol)
	}
	m := b.known()
	m.Name, m.Card = card.Body.Name, a.Card
	if err := os.MkdirAll(filepath.Join(j.Dir, received), 0o700); err != nil {
		return err
	}
	if m.Label, err = b.takeCert(a.Cert); err != nil {
		return err
	}
	if err := b.takeList(a.List); err != nil {
		return err
	}
	b.Name = m.Name
	// Last: from here on this home is a member's.
	return b.keep(m)
}

// askOffice asks the office one thing.
func (b *Brand) askOffice(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	if b.Reach == nil {
		return nil, ErrOffice
	}
	ctx, cancel := context.WithTimeout(ctx, officeTime)
	defer cancel()
	answer, err := b.lineTo().Office(ctx, verb, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOffice, err)
	}
	return answer, nil
}

// lineTo is the connection to the office, which is kept: a member asks for each
// file that it opens.
func (b *Brand) lineTo() Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line == nil {
		b.line = b.Reach(b.member.office, b.member.Addresses)
	}
	return b.line
}

// Close closes the connection to the office, if there is one. The next question
// makes another.
func (b *Brand) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line != nil {
		b.line.Close()
		b.line = nil
	}
}

// takeCert keeps a certificate that the office gave this machine, and gives the
// role that it says.
func (b *Brand) takeCert(raw []byte) (label string, err error) {
	c, err := custody.Certified(raw, b.org, custody.KeyOf(b.sign), custody.OrgMember, b.now().Unix())
	if err != nil {
		return "", fmt.Errorf("the office's certificate: %w", err)
	}
	if err := b.box.Replace(filepath.Join(b.dir, certFile), raw); err != nil {
		return "", err
	}
	b.Label = c.Label
	return c.Label, nil
}

// takeList keeps a list of revoked members, unless a newer one is here.
func (b *Brand) takeList(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	l, err := custody.CheckMemberRevocations(raw, b.org)
	if err != nil {
		return err
	}
	old, err := b.revoked()
	if err != nil {
		return err
	}
	if old != nil && old.Body.Number >= l.Body.Number {
		return nil
	}
	return b.box.Replace(filepath.Join(b.dir, listFile), raw)
}

// cert is this member's certificate, as it is.
func (b *Brand) cert() (*custody.Signed[custody.DeviceCert], error) {
	raw, err := b.box.ReadFile(filepath.Join(b.dir, certFile), maxKeyFile)
	if err != nil {
		return nil, err
	}
	return custody.Parse[custody.DeviceCert](raw)
}

// Until is when this machine's certificate ends; for an office it never does.
func (b *Brand) Until() (time.Time, error) {
	if b.member == nil {
		return time.Time{}, nil
	}
	c, err := b.cert()
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(c.Body.NotAfter, 0), nil
}

// asMember is a member's certificate and list, after asking the office for news
// when it is time. The office need not answer as long as the certificate lasts.
func (b *Brand) asMember(ctx context.Context) (*custody.Member, error) {
	err := b.reread()
	if err == nil && b.due() {
		inner, cancel := context.WithTimeout(ctx, syncTime)
		_, err = b.sync(inner, b.due)
		cancel()
	}
	var no *OfficeError
	if errors.As(err, &no) {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c, err := b.cert()
	if err != nil {
		return nil, err
	}
	if b.known().Revoked {
		return nil, &OfficeError{string(custody.MemberRevoked)}
	}
	return b.asker(c)
}

// due says whether it is time to ask the office for news.
func (b *Brand) due() bool {
	c, err := b.cert()
	now, synced := b.now().Unix(), b.known().Synced
	return err == nil && c.Body.NotAfter < now+renewBefore || synced < now-int64(syncEvery/time.Second) || synced > now
}

// Sync asks the office what is new: a certificate, the list of those shut out,
// tickets. It gives how many tickets came.
func (b *Brand) Sync(ctx context.Context) (int, error) {
	if b.member == nil {
		return 0, nil
	}
	return b.sync(ctx, func() bool { return true })
}

// sync asks for news if they are due then: another command may just have heard
// them.
func (b *Brand) sync(ctx context.Context, due func() bool) (n int, err error) {
	var tickets []custody.Hash
	if err := b.alone(ctx, func() error {
		err := b.reread()
		if err == nil && due() {
			tickets, err = b.news(ctx)
		}
		return err
	}); err != nil {
		return 0, err
	}
	for _, g := range tickets {
		if err := b.fetch(ctx, g); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// news asks the office what is new, keeps it, and gives the tickets that are
// not here.
func (b *Brand) news(ctx context.Context) ([]custody.Hash, error) {
	ask := syncAsk{Have: []custodyPair{}}
	if c, err := b.cert(); err == nil {
		ask.Until = c.Body.NotAfter
	}
	if l, err := b.revoked(); err == nil && l != nil {
		ask.List = l.Body.Number
	}
	all, _, err := b.All()
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if len(ask.Have) < maxHave {
			ask.Have = append(ask.Have, custodyPair{t.Ticket.Grant.Hash, t.Ticket.Package.Hash})
		}
	}
	q, err := custody.Marshal(ask)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, newsTime)
	defer cancel()
	raw, err := b.askOffice(ctx, VerbSync, q)
	if err != nil {
		return nil, err
	}
	var a syncAnswer
	if err := custody.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("the office: %w: %w", peers.ErrProtocol, err)
	}
	if err := b.takeList(a.List); err != nil {
		return nil, err
	}
	m := b.known()
	m.Revoked = a.Reason == string(custody.MemberRevoked)
	if err := officeError(a.Reason); err != nil {
		return nil, errors.Join(err, b.keep(m))
	}
	if len(a.Cert) > 0 {
		if m.Label, err = b.takeCert(a.Cert); err != nil {
			return nil, err
		}
	}
	if len(a.Addresses) > 0 && len(a.Addresses) <= maxAddresses {
		m.Addresses = a.Addresses
	}
	m.Synced = b.now().Unix()
	return a.Tickets, b.keep(m)
}

// fetch gets one ticket that the office has.
func (b *Brand) fetch(ctx context.Context, g custody.Hash) error {
	q, err := custody.Marshal(ticketAsk{g})
	if err != nil {
		return err
	}
	raw, err := b.askOffice(ctx, VerbTicket, q)
	if err != nil {
		return err
	}
	_, err = b.takeTicket(raw)
	return err
}

// handIn gives a ticket to the office and keeps it.
func (b *Brand) handIn(ctx context.Context, text string) (*Received, error) {
	// What is no ticket for this company need not travel.
	t, err := ticket.Parse(text)
	if err != nil {
		return nil, err
	}
	if t.Grant.Body.Grantee != b.org {
		return nil, fmt.Errorf("the ticket %s %w", ticket.ShortID(t.Grant.Body.ID), ErrNotOurs)
	}
	if kept, err := b.load(b.path(t.Grant.Body.ID)); err == nil && kept.Ticket.Package.Hash == t.Package.Hash {
		return kept, nil
	}
	raw, err := b.askOffice(ctx, VerbHandIn, []byte(strings.Join(strings.Fields(text), "")))
	if err != nil {
		return nil, err
	}
	return b.takeTicket(raw)
}

func (b *Brand) takeTicket(raw []byte) (*Received, error) {
	var head ticketHead
	text, err := unframe(raw, &head)
	if err != nil {
		return nil, fmt.Errorf("the office: %w: %w", peers.ErrProtocol, err)
	}
	if err := officeError(head.Reason); err != nil {
		return nil, err
	}
	r, err := b.read(text, head.Names)
	if err != nil {
		return nil, err
	}
	return b.receive(text, r)
}

// askSecondLock asks the office for its part of one entry's key.
func (b *Brand) askSecondLock(ctx context.Context, t *custody.Ticket, e *custody.Entry) ([]byte, error) {
	q, err := custody.Marshal(lockAsk{Grant: t.Grant.Raw, Enc: t.Package.Body.Enc, File: e.File, Version: e.Version})
	if err != nil {
		return nil, err
	}
	raw, err := b.askOffice(ctx, VerbLock, q)
	if err != nil {
		return nil, err
	}
	var a lockAnswer
	if err := custody.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("the office: %w: %w", peers.ErrProtocol, err)
	}
	if err := officeError(a.Reason); err != nil {
		return nil, err
	}
	if len(a.Second) != 32 {
		return nil, fmt.Errorf("the office: %w", peers.ErrProtocol)
	}
	return a.Second, nil
}
