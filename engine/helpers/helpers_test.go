// SPDX-License-Identifier: MPL-2.0

package helpers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

var update = flag.Bool("update", false, "make the vectors anew")

// circleOf is a plan of n helpers and their keys.
func circleOf(t testing.TB, k, n int) (*Plan, []hpke.PrivateKey, ed25519.PrivateKey) {
	t.Helper()
	p := &Plan{Name: "Anna", Number: 7, Kind: Words, K: k, Delay: DefaultDelay, At: 1_800_000_000, Devices: []peers.DeviceID{{99}}}
	for i := range p.Secret {
		p.Secret[i] = byte(i)
	}
	var keys []hpke.PrivateKey
	for i := range n {
		key, err := hpke.MLKEM768X25519().NewPrivateKey(bytes.Repeat([]byte{byte(i + 1)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		p.Keys = append(p.Keys, key.PublicKey().Bytes())
		p.Helpers = append(p.Helpers, Helper{Device: peers.DeviceID{byte(i + 1)}, Name: fmt.Sprint("helper", i+1), Addresses: []string{"192.0.2.1:24930"}})
	}
	return p, keys, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{42}, 32))
}

func released(t testing.TB, docs [][]byte, keys []hpke.PrivateKey) (out []Released) {
	t.Helper()
	newcomer, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for i, raw := range docs {
		d, err := ParseShare(raw)
		if err != nil {
			t.Fatal(err)
		}
		v, err := d.Open(keys[i])
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := d.Reseal(v, newcomer.PublicKey().Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if v, err = d.OpenReleased(newcomer, sealed); err != nil {
			t.Fatal(err)
		}
		if _, err := d.OpenReleased(keys[i], sealed); !errors.Is(err, ErrBadShare) {
			t.Errorf("another key opens what was given: %v", err)
		}
		out = append(out, Released{d, v})
	}
	return out
}

func TestAnyKOfN(t *testing.T) {
	for _, kn := range [][2]int{{2, 3}, {3, 4}, {3, 5}, {4, 7}, {5, 9}} {
		p, keys, root := circleOf(t, kn[0], kn[1])
		docs, err := Split(root, p)
		if err != nil {
			t.Fatal(err)
		}
		all := released(t, docs, keys)
		for set := range 1 << kn[1] {
			var some []Released
			for i := range all {
				if set&(1<<i) != 0 {
					some = append(some, all[i])
				}
			}
			got, bad, err := Combine(some)
			switch {
			case len(some) < kn[0]:
				if !errors.Is(err, ErrTooFew) || got != ([32]byte{}) {
					t.Fatalf("%d shares of %v: %v", len(some), kn, err)
				}
			case err != nil || got != p.Secret || len(bad) > 0:
				t.Fatalf("%d shares of %v: %v, bad %v", len(some), kn, err, bad)
			}
			if kn[1] > 5 && set > 1<<6 {
				break
			}
		}
	}
}

func TestBadAndDoubled(t *testing.T) {
	p, keys, root := circleOf(t, 3, 5)
	docs, err := Split(root, p)
	if err != nil {
		t.Fatal(err)
	}
	all := released(t, docs, keys)
	lied := all[1]
	lied.Value[0] ^= 1
	got, bad, err := Combine([]Released{all[0], lied, all[2], all[2], all[4]})
	if err != nil || got != p.Secret || len(bad) != 1 || bad[0] != "helper2" {
		t.Errorf("with a liar and one twice: %v %v", err, bad)
	}
	if _, bad, err = Combine([]Released{all[0], lied, all[2], all[2], all[0]}); !errors.Is(err, ErrTooFew) || len(bad) != 1 {
		t.Errorf("two good ones, doubled, and a liar: %v", err)
	}
	huge := all[3]
	for i := range huge.Value {
		huge.Value[i] = 0xff // not a scalar
	}
	if _, bad, err = Combine([]Released{huge, all[0]}); !errors.Is(err, ErrTooFew) || len(bad) != 1 {
		t.Errorf("not a scalar: %v", err)
	}
	again, err := Split(root, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Combine([]Released{all[0], all[1], released(t, again, keys)[2]}); !errors.Is(err, ErrMixed) {
		t.Errorf("two sets: %v", err)
	}
	d, err := ParseShare(docs[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(keys[1]); !errors.Is(err, ErrBadShare) {
		t.Errorf("another helper opens a share: %v", err)
	}
}

// A dealer who lies is found out by the helper it lies to.
func TestBadShareOnReceipt(t *testing.T) {
	p, keys, root := circleOf(t, 2, 3)
	docs, err := Split(root, p)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ParseShare(docs[0])
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Open(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	v[0] ^= 1
	if d.Sealed, err = seal(p.Keys[0], d.info(labelShare), v[:]); err != nil {
		t.Fatal(err)
	}
	forged, err := custody.Sign(root, *d)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = ParseShare(forged.Raw); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(keys[0]); !errors.Is(err, ErrBadShare) {
		t.Errorf("a bad share was taken: %v", err)
	}
}

type vectorFile struct {
	Note   string     `json:"note"`
	Secret []byte     `json:"secret"`
	Seeds  [][]byte   `json:"helper_kem_seeds"`
	Docs   [][]byte   `json:"documents"`
	Drop   []byte     `json:"drop"`
	Refuse []negative `json:"refuse"`
}

type negative struct {
	Why string `json:"why"`
	Raw []byte `json:"raw"`
}

var vectorPath = filepath.Join("testdata", "vectors.json")

func vectors(tb testing.TB) *vectorFile {
	tb.Helper()
	raw, err := os.ReadFile(vectorPath)
	if err != nil {
		tb.Fatal(err)
	}
	var v vectorFile
	if err := json.Unmarshal(raw, &v); err != nil {
		tb.Fatal(err)
	}
	return &v
}

func TestMakeVectors(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	p, keys, root := circleOf(t, 3, 5)
	docs, err := Split(root, p)
	if err != nil {
		t.Fatal(err)
	}
	drop, err := custody.Sign(root, Drop{Owner: custody.KeyOf(root), Number: 7, At: p.At})
	if err != nil {
		t.Fatal(err)
	}
	v := vectorFile{Note: "any three of these documents give the secret back; those below are refused", Secret: p.Secret[:], Docs: docs, Drop: drop.Raw}
	for _, k := range keys {
		b, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		v.Seeds = append(v.Seeds, b)
	}
	good, err := ParseShare(docs[0])
	if err != nil {
		t.Fatal(err)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{43}, 32))
	foreign, err := custody.Sign(other, *good)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(docs[0])
	flipped[len(flipped)-1] ^= 1
	v.Refuse = []negative{
		{"not signed by its owner", foreign.Raw}, {"a wrong signature", flipped}, {"one byte more", append(bytes.Clone(docs[0]), 0)},
		{"cut off", docs[0][:len(docs[0])-1]}, {"empty", []byte{}}, {"another type", drop.Raw},
	}
	for _, c := range []struct {
		why    string
		change func(*Share)
	}{
		{"a commitment too few", func(s *Share) { s.Commits = s.Commits[:2] }},
		{"one of five is enough", func(s *Share) { s.K, s.Commits = 1, s.Commits[:1] }},
		{"index 6 of 5", func(s *Share) { s.Index = 6 }},
		{"index 0", func(s *Share) { s.Index = 0 }},
		{"one machine twice", func(s *Share) { s.Helpers = append([]Helper{s.Helpers[1]}, s.Helpers[1:]...) }},
		{"no delay", func(s *Share) { s.Delay = 0 }},
		{"a secret of an unknown kind", func(s *Share) { s.Kind = 3 }},
	} {
		s := *good
		c.change(&s)
		raw, err := custody.Sign(root, unchecked{s})
		if err != nil {
			t.Fatal(err)
		}
		v.Refuse = append(v.Refuse, negative{c.why, raw.Raw})
	}
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorPath, append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unchecked lets a document that no honest program writes be signed.
type unchecked struct{ Share }

func (unchecked) Check() error                   { return nil }
func (u unchecked) MarshalCBOR() ([]byte, error) { return custody.Marshal(u.Share) }

func TestVectors(t *testing.T) {
	v := vectors(t)
	var all []Released
	for i, raw := range v.Docs {
		d, err := ParseShare(raw)
		if err != nil {
			t.Fatal(err)
		}
		key, err := hpke.MLKEM768X25519().NewPrivateKey(v.Seeds[i])
		if err != nil {
			t.Fatal(err)
		}
		value, err := d.Open(key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Released{d, value})
	}
	for _, some := range [][]Released{all[:3], all[2:], {all[4], all[0], all[2]}} {
		got, _, err := Combine(some)
		if err != nil || !bytes.Equal(got[:], v.Secret) {
			t.Errorf("the vectors' secret: %v", err)
		}
	}
	if _, err := ParseDrop(v.Drop); err != nil {
		t.Error(err)
	}
	for _, n := range v.Refuse {
		if _, err := ParseShare(n.Raw); !errors.Is(err, custody.ErrMalformed) {
			t.Errorf("%s: %v", n.Why, err)
		}
	}
}

// FuzzShare reads foreign bytes as a helper's document.
func FuzzShare(f *testing.F) {
	v := vectors(f)
	for _, d := range v.Docs {
		f.Add(d)
	}
	for _, n := range v.Refuse {
		f.Add(n.Raw)
	}
	key, err := hpke.MLKEM768X25519().NewPrivateKey(v.Seeds[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := ParseShare(raw)
		if err != nil {
			if !errors.Is(err, custody.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		_, _ = d.Open(key)
		d.Good([32]byte{1})
	})
}

// FuzzDrop reads foreign bytes as the end of a set.
func FuzzDrop(f *testing.F) {
	v := vectors(f)
	f.Add(v.Drop)
	f.Add(v.Docs[0])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := ParseDrop(raw); err != nil && !errors.Is(err, custody.ErrMalformed) {
			t.Fatalf("%v is not ErrMalformed", err)
		}
	})
}

// FuzzCommitments looks for a share or commitments that break the arithmetic.
func FuzzCommitments(f *testing.F) {
	f.Add(uint8(1), make([]byte, 96), make([]byte, 32))
	f.Fuzz(func(_ *testing.T, index uint8, commits, value []byte) {
		s := Share{Index: index, K: uint8(min(len(commits)/32, 9))}
		for i := range int(s.K) {
			s.Commits = append(s.Commits, [32]byte(commits[32*i:]))
		}
		var v [32]byte
		copy(v[:], value)
		if s.K > 1 && index > 0 {
			s.Good(v)
		}
	})
}
