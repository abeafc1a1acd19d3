// SPDX-License-Identifier: MPL-2.0

package backup

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
)

// told writes down what a stream holds.
type told struct{ lines []string }

func (s *told) add(format string, args ...any) error {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
	return nil
}

func (s *told) Schema(n int) error                   { return s.add("schema %d", n) }
func (s *told) Note(name string, value []byte) error { return s.add("note %s %x", name, value) }
func (s *told) Table(name string, c []string) error  { return s.add("table %s %q", name, c) }
func (s *told) Row(v []any) error                    { return s.add("row %#v", v) }

func sample(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, 8)
	err := errors.Join(
		w.Note("circle", []byte("[]")),
		w.Table("t", []string{"a", "b", "c", "d", "e"}),
		w.Row([]any{nil, int64(-2), []byte{1, 2}, "text", 0.5}),
		w.Row([]any{[]byte{}, int64(1 << 40), "", "", -1.0}),
		w.Close(),
	)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStreamVector(t *testing.T) {
	raw := sample(t)
	// The bytes of docs/formats.md.
	const want = "707265657a6d20636174616c6f672073747265616d20310a" + "010108" + "020906636972636c655b5d" +
		"030d017405016101620163016401" + "65" + "0416000103020201020304746578" + "7404000000000000e03f" +
		"0416020001808080808040030003000400000000" + "0000f0bf" + "050105"
	if got := hex.EncodeToString(raw); got != want {
		t.Errorf("%s", got)
	}
	var s told
	if err := Read(bytes.NewReader(raw), &s); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.lines, "\n"); got != `schema 8
note circle 5b5d
table t ["a" "b" "c" "d" "e"]
row []interface {}{interface {}(nil), -2, []uint8{0x1, 0x2}, "text", 0.5}
row []interface {}{[]uint8{}, 1099511627776, "", "", -1}` {
		t.Error(got)
	}
}

func TestStreamRefuses(t *testing.T) {
	raw := sample(t)
	for n := range len(raw) {
		if err := Read(bytes.NewReader(raw[:n]), &told{}); !errors.Is(err, ErrStream) {
			t.Fatalf("cut after %d: %v", n, err)
		}
	}
	if err := Read(bytes.NewReader(append(bytes.Clone(raw), 0)), &told{}); !errors.Is(err, ErrStream) {
		t.Errorf("something behind it: %v", err)
	}
	// A record announces more than comes.
	huge := append(bytes.Clone(raw[:len(magic)]), kindSchema, 0xff, 0xff, 0xff, 0x1f)
	if err := Read(bytes.NewReader(huge), &told{}); !errors.Is(err, ErrStream) {
		t.Errorf("huge: %v", err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(sample(f))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var again bytes.Buffer
		s := &copying{}
		if Read(bytes.NewReader(raw), s) != nil {
			return
		}
		// What was taken is written the same way.
		w := NewWriter(&again, s.schema)
		for _, step := range s.steps {
			if err := step(w); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || !bytes.Equal(again.Bytes(), raw) {
			t.Errorf("a second spelling: %x and %x, %v", raw, again.Bytes(), err)
		}
	})
}

// copying notes how to write the same stream.
type copying struct {
	schema int
	steps  []func(*Writer) error
}

func (c *copying) Schema(n int) error { c.schema = n; return nil }

func (c *copying) Note(name string, value []byte) error {
	v := bytes.Clone(value)
	c.steps = append(c.steps, func(w *Writer) error { return w.Note(name, v) })
	return nil
}

func (c *copying) Table(name string, columns []string) error {
	c.steps = append(c.steps, func(w *Writer) error { return w.Table(name, columns) })
	return nil
}

func (c *copying) Row(values []any) error {
	v := append([]any{}, values...)
	c.steps = append(c.steps, func(w *Writer) error { return w.Row(v) })
	return nil
}

// owner is a person with a certified machine.
func owner(t testing.TB) (s identity.Secrets, sign ed25519.PrivateKey, cert []byte) {
	t.Helper()
	s = identity.FromMaster([32]byte{1})
	sign = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	root := s.RootKey()
	c, err := custody.Sign(root, custody.DeviceCert{
		Root: custody.KeyOf(root), Device: custody.KeyOf(sign), Role: custody.OwnerDevice, Label: "owner", NotBefore: 1, NotAfter: 1 << 31,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, sign, c.Raw
}

func TestHead(t *testing.T) {
	s, sign, cert := owner(t)
	h := Head{Device: peers.DeviceID{3}, Number: 9, At: 1000, Vector: []Known{}, Keepers: []Keeper{}, Rows: []byte("rows"), Parts: []byte{1}, Files: 5, Cert: cert}
	for range MaxKeepers {
		h.Keepers = append(h.Keepers, Keeper{Device: peers.DeviceID{4}, Name: "keeper", Addresses: []string{strings.Repeat("a", 200) + ":1"}})
	}
	sealed, err := h.Seal(&s, sign)
	if err != nil || len(sealed) > peers.MaxHead || len(sealed)%headGrain != 0 {
		t.Fatalf("%d bytes, %v", len(sealed), err)
	}
	got, err := Open(&s, &peers.Head{Device: h.Device, Number: h.Number, Sealed: sealed})
	if err != nil || got.Files != 5 || string(got.Rows) != "rows" || len(got.Keepers) == 0 || len(got.Keepers) == MaxKeepers {
		t.Fatalf("%+v, %v", got, err)
	}
	other := identity.FromMaster([32]byte{2})
	flipped := bytes.Clone(sealed)
	flipped[100] ^= 1
	for name, try := range map[string]struct {
		s    *identity.Secrets
		head peers.Head
	}{
		"another person": {&other, peers.Head{Device: h.Device, Number: h.Number, Sealed: sealed}},
		"another number": {&s, peers.Head{Device: h.Device, Number: 10, Sealed: sealed}},
		"another device": {&s, peers.Head{Device: peers.DeviceID{5}, Number: h.Number, Sealed: sealed}},
		"flipped":        {&s, peers.Head{Device: h.Device, Number: h.Number, Sealed: flipped}},
		"cut":            {&s, peers.Head{Device: h.Device, Number: h.Number, Sealed: sealed[:40]}},
	} {
		if _, err := Open(try.s, &try.head); !errors.Is(err, ErrHead) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A machine that this person did not certify.
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	if sealed, err = h.Seal(&s, stranger); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(&s, &peers.Head{Device: h.Device, Number: h.Number, Sealed: sealed}); !errors.Is(err, ErrHead) {
		t.Errorf("a stranger's: %v", err)
	}
}

func TestLocatorVector(t *testing.T) {
	s := identity.FromMaster([32]byte{1})
	l, err := LocatorOf(&s)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(l[:]); got != "f5caf299491dd145ad40e39a88549d2dfd131d34062e7443d1b2d1de9744456d" {
		t.Error(got)
	}
}

func FuzzOpen(f *testing.F) {
	s, sign, cert := owner(f)
	h := Head{Device: peers.DeviceID{3}, Number: 9, At: 5, Cert: cert}
	sealed, err := h.Seal(&s, sign)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, uint64(9))
	f.Fuzz(func(t *testing.T, raw []byte, number uint64) {
		if got, err := Open(&s, &peers.Head{Device: h.Device, Number: number, Sealed: raw}); err == nil && got.Number != 9 {
			t.Errorf("opened %+v", got)
		}
	})
}
