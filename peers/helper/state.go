// SPDX-License-Identifier: MPL-2.0

// Package helper is the part of a machine that helps persons who lost their
// words: it keeps shares of their secret, hears who asks for one, and gives it
// only after its person agreed and a delay passed in which nobody forbade it. It
// stands in the machine's part of a home, so that it works while that is locked.
package helper

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
)

// File is the name of the state in a home.
const File = "helpers.json"

const (
	maxFile     = 4 << 20
	maxKept     = 64 // owners
	maxRequests = 64
	maxOf       = 3 // requests of one device, and warnings, that are remembered
	maxAlerts   = 256
	maxLetters  = 512
	maxVetoes   = 256
	maxTries    = 3
	// askedFor is how long a request waits for a yes, and how long one that is
	// over is shown.
	askedFor = 14 * 24 * time.Hour
	// letterFor is how long a message to another machine is tried.
	letterFor = 30 * 24 * time.Hour
	idLabel   = "preezm/v1/helper-request"
)

// ID names the attempt of one machine to bring an owner back: the same with every
// helper, and another one for another key.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short is what people type.
func (id ID) Short() string { return hex.EncodeToString(id[:4]) }

func requestID(owner custody.Key, from peers.DeviceID, kem []byte) (id ID) {
	h := sha256.New()
	h.Write([]byte(idLabel))
	h.Write(owner[:])
	h.Write(from[:])
	h.Write(kem)
	copy(id[:], h.Sum(nil))
	return id
}

// State is how far a request is.
type State string

// The states of a request. All but Asked and Agreed are final.
const (
	Asked   State = "asked"
	Agreed  State = "agreed"
	Given   State = "given"
	Refused State = "refused" // the words were wrong too often
	Vetoed  State = "vetoed"
	// Unknown and Unclear are answers only: this machine helps nobody of that
	// name, or several.
	Unknown State = "unknown"
	Unclear State = "unclear"
)

// Kept is a share that this machine keeps.
type Kept struct {
	Raw   []byte    `json:"raw"`
	Share []byte    `json:"share"`
	Since time.Time `json:"since"`

	doc *helpers.Share
}

// Request is somebody who asks for a share that this machine keeps.
type Request struct {
	ID       ID             `json:"id"`
	Owner    custody.Key    `json:"owner"`
	Set      [16]byte       `json:"set"`
	From     peers.DeviceID `json:"from"`
	Name     string         `json:"name"`
	KEM      []byte         `json:"kem"`
	Nonce    [16]byte       `json:"nonce"`
	State    State          `json:"state"`
	Tries    int            `json:"tries,omitempty"`
	At       time.Time      `json:"at"`
	Agreed   time.Time      `json:"agreed,omitzero"`
	Until    time.Time      `json:"until,omitzero"`
	VetoedBy string         `json:"vetoed_by,omitempty"`
}

// Alert says that another helper agreed to a request.
type Alert struct {
	ID    ID             `json:"id"`
	Owner custody.Key    `json:"owner"`
	By    peers.DeviceID `json:"by"`
	Name  string         `json:"name"` // of the one who asks
	Until time.Time      `json:"until"`
	At    time.Time      `json:"at"`
	Over  bool           `json:"over,omitempty"` // vetoed
}

type veto struct {
	ID    ID          `json:"id"`
	Owner custody.Key `json:"owner"`
	By    string      `json:"by"`
	At    time.Time   `json:"at"`
}

// letter is a message that waits for another machine.
type letter struct {
	To        peers.DeviceID `json:"to"`
	Addresses []string       `json:"addresses,omitempty"`
	Verb      string         `json:"verb"`
	Raw       []byte         `json:"raw"`
	At        time.Time      `json:"at"`
}

// Mine is the set of helpers of this machine's own person.
type Mine struct {
	Number  uint64       `json:"number"`
	K       int          `json:"k"`
	Kind    uint8        `json:"kind"`
	Delay   int64        `json:"delay"`
	At      time.Time    `json:"at"`
	Helpers []MineHelper `json:"helpers"` // none: there were some, and are no more
	// Devices are the person's machines that helpers warn, as of then.
	Devices []peers.DeviceID `json:"devices,omitempty"`
}

// MineHelper is one of them.
type MineHelper struct {
	helpers.Helper
	Kept    time.Time `json:"kept,omitzero"` // it has its share and found it good
	Problem said.Note `json:"problem,omitzero"`
}

type state struct {
	Kept     []Kept    `json:"kept"`
	Requests []Request `json:"requests"`
	Alerts   []Alert   `json:"alerts"`
	Vetoes   []veto    `json:"vetoes"`
	Letters  []letter  `json:"letters"`
	Mine     *Mine     `json:"mine,omitempty"`
}

func (s *state) clone() (c state) {
	c = state{
		Kept: slices.Clone(s.Kept), Requests: slices.Clone(s.Requests), Alerts: slices.Clone(s.Alerts),
		Vetoes: slices.Clone(s.Vetoes), Letters: slices.Clone(s.Letters),
	}
	if s.Mine != nil {
		m := *s.Mine
		m.Helpers, m.Devices = slices.Clone(m.Helpers), slices.Clone(m.Devices)
		c.Mine = &m
	}
	return c
}

func (s *Service) load() error {
	raw, err := s.o.Box.ReadFile(s.o.Path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &s.now); err != nil {
		return fmt.Errorf("%s: %w", s.o.Path, err)
	}
	for i := range s.now.Kept {
		k := &s.now.Kept[i]
		if k.doc, err = helpers.ParseShare(k.Raw); err != nil || len(k.Share) != 32 {
			return fmt.Errorf("%s: a share that is kept: %w", s.o.Path, errors.Join(err, helpers.ErrBadShare))
		}
	}
	return nil
}

// change lets f change the state and writes it; what is not on the disk did not
// happen.
func (s *Service) change(f func(*state) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.now.clone()
	if err := f(&next); err != nil {
		return err
	}
	now := s.o.Now()
	next.Requests = slices.DeleteFunc(next.Requests, func(r Request) bool {
		end := r.At
		if r.Until.After(end) {
			end = r.Until
		}
		return now.Sub(end) > askedFor
	})
	next.Alerts = slices.DeleteFunc(next.Alerts, func(a Alert) bool { return now.Sub(a.At) > letterFor && now.Sub(a.Until) > askedFor })
	next.Letters = slices.DeleteFunc(next.Letters, func(l letter) bool { return now.Sub(l.At) > letterFor })
	if n := len(next.Vetoes); n > maxVetoes {
		next.Vetoes = next.Vetoes[n-maxVetoes:]
	}
	raw, err := json.Marshal(&next)
	if err != nil {
		return err
	}
	if len(raw) > maxFile {
		return fmt.Errorf("%s: no more fits", s.o.Path)
	}
	if err := s.o.Box.Replace(s.o.Path, raw); err != nil {
		return err
	}
	s.now = next
	return nil
}

func (s *state) kept(owner custody.Key) *Kept {
	for i := range s.Kept {
		if s.Kept[i].doc.Owner == owner {
			return &s.Kept[i]
		}
	}
	return nil
}

func (s *state) request(id ID) *Request {
	for i := range s.Requests {
		if s.Requests[i].ID == id {
			return &s.Requests[i]
		}
	}
	return nil
}

func (s *state) vetoed(id ID) *veto {
	for i := range s.Vetoes {
		if s.Vetoes[i].ID == id {
			return &s.Vetoes[i]
		}
	}
	return nil
}

// send puts a message into the outbox.
func (s *state) send(l letter) {
	if len(s.Letters) < maxLetters {
		s.Letters = append(s.Letters, l)
	}
}

// Words are the four words of a request: they stand for the machine that asks,
// the one that is asked, and the key that a share would be sealed to. The nonce is
// the helper's, so that nobody can choose a key by its words.
func Words(helper, newcomer peers.DeviceID, id ID, nonce [16]byte) (circle.Pairing, error) {
	h := sha256.New()
	h.Write([]byte(idLabel + "/words"))
	h.Write(id[:])
	h.Write(nonce[:])
	return circle.NewPairing(helper, newcomer, [16]byte(h.Sum(nil)[:16]))
}

// Places are the two words that are asked back, from 0, in order.
func Places(nonce [16]byte) (a, b int) {
	a = int(nonce[0]) % circle.Words
	b = (a + 1 + int(nonce[1])%(circle.Words-1)) % circle.Words
	return min(a, b), max(a, b)
}
