// SPDX-License-Identifier: MPL-2.0

package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write testdata again (only for a new format version)")

const vectorFile = "testdata/seal.json"

// vectors is the form of testdata/seal.json, which docs/formats.md explains.
type vectors struct {
	About  []string `json:"about"`
	Seal   []vector `json:"seal"`
	Ranges []ranged `json:"open_range"`
	Refuse []refuse `json:"refuse"`
}

// vector is a message and its sealed form. Byte i of a plaintext is i mod 251.
type vector struct {
	Name         string `json:"name"`
	Key          hexed  `json:"key"`
	AD           hexed  `json:"ad"`
	PlainLength  int    `json:"plain_length"`
	CipherKey    hexed  `json:"cipher_key"`
	Commitment   hexed  `json:"commitment"`
	SealedLength int    `json:"sealed_length"`
	Sealed       hexed  `json:"sealed,omitempty"` // of short ones
	SealedSHA256 hexed  `json:"sealed_sha256"`
}

// ranged is a run of sealed bytes [from, to) of the message called Of.
type ranged struct {
	Of         string `json:"of"`
	FirstFrame int    `json:"first_frame"`
	From       int    `json:"from"`
	To         int    `json:"to"`
	PlainFrom  int    `json:"plain_from"`
	PlainTo    int    `json:"plain_to"`
}

// refuse is a change to the message called Of that must make it fail to open.
// Of the fields, those that are set apply, in this order.
type refuse struct {
	Why         string `json:"why"`
	Of          string `json:"of"`
	Frames      []int  `json:"frames,omitempty"`       // the message is these frames, one after the other
	Truncate    int    `json:"truncate,omitempty"`     // this many bytes are taken from the end
	Append      hexed  `json:"append,omitempty"`       // then these are added
	FlipAt      *int   `json:"flip_at,omitempty"`      // the lowest bit of this byte is flipped
	Key         hexed  `json:"key,omitempty"`          // opened with this key
	AD          *hexed `json:"ad,omitempty"`           // opened with this associated data
	FirstFrame  *int   `json:"first_frame,omitempty"`  // opened as a range from this frame on
	PlainLength *int   `json:"plain_length,omitempty"` // ... of a message this long
	Commitment  bool   `json:"commitment,omitempty"`   // nothing to open: the commitment of Of must not match key
}

type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexed) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var vs vectors
	if err := dec.Decode(&vs); err != nil {
		t.Fatal(err)
	}
	if len(vs.Seal) < 8 || len(vs.Ranges) < 4 || len(vs.Refuse) < 12 {
		t.Fatalf("only %d, %d and %d vectors", len(vs.Seal), len(vs.Ranges), len(vs.Refuse))
	}

	type message struct {
		vector
		sealed []byte
	}
	byName := make(map[string]message)
	for _, v := range vs.Seal {
		key, plain := Key(v.Key), pattern(v.PlainLength)
		sealed := Seal(nil, key, v.AD, plain)
		byName[v.Name] = message{v, sealed}
		if enc := expand(&key, labelKey); !bytes.Equal(enc[:], v.CipherKey) {
			t.Errorf("%s: cipher key %x", v.Name, enc)
		}
		if c := Commit(key); !bytes.Equal(c[:], v.Commitment) {
			t.Errorf("%s: commitment %x", v.Name, c)
		}
		if sum := sha256.Sum256(sealed); !bytes.Equal(sum[:], v.SealedSHA256) || len(sealed) != v.SealedLength {
			t.Errorf("%s: sealed to %d bytes with SHA-256 %x", v.Name, len(sealed), sum)
		}
		if v.Sealed != nil && !bytes.Equal(v.Sealed, sealed) {
			t.Errorf("%s: sealed to %x", v.Name, sealed)
		}
		if got, err := Open(nil, key, v.AD, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: does not open: %v", v.Name, err)
		}
	}
	for _, r := range vs.Ranges {
		m := byName[r.Of]
		got, err := OpenRange(nil, Key(m.Key), m.AD, m.PlainLength, r.FirstFrame, m.sealed[r.From:r.To])
		if err != nil || !bytes.Equal(got, pattern(m.PlainLength)[r.PlainFrom:r.PlainTo]) {
			t.Errorf("range %+v: %d bytes, %v", r, len(got), err)
		}
	}
	for _, r := range vs.Refuse {
		m, known := byName[r.Of]
		if !known {
			t.Errorf("%s: no message %q", r.Why, r.Of)
			continue
		}
		sealed, key, ad := bytes.Clone(m.sealed), Key(m.Key), []byte(m.AD)
		if r.Frames != nil {
			sealed = nil
			for _, f := range r.Frames {
				sealed = append(sealed, m.sealed[f*sealedFrame:min((f+1)*sealedFrame, len(m.sealed))]...)
			}
		}
		sealed = append(sealed[:len(sealed)-r.Truncate], r.Append...)
		if r.FlipAt != nil {
			sealed[*r.FlipAt] ^= 1
		}
		if r.Key != nil {
			key = Key(r.Key)
		}
		if r.AD != nil {
			ad = *r.AD
		}
		if r.Commitment {
			if Commitment(m.Commitment) == Commit(key) {
				t.Errorf("%s: the commitment matches", r.Why)
			}
			continue
		}
		if r.FirstFrame != nil {
			_, err = OpenRange(nil, key, ad, *r.PlainLength, *r.FirstFrame, sealed)
		} else {
			_, err = Open(nil, key, ad, sealed)
		}
		if !errors.Is(err, ErrAuthentic) {
			t.Errorf("%s: %v", r.Why, err)
		}
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	vs := vectors{About: []string{
		"Vectors of the sealed form, docs/formats.md. Byte i of every plaintext is i mod 251.",
		"seal: the message must seal to these bytes and open again.",
		"open_range: sealed[from:to] must open to plain[plain_from:plain_to].",
		"refuse: the message called `of` with these changes, in the order frames, truncate, append, flip_at (lowest bit), must not open; with `commitment`, the commitment must not match the key.",
	}}
	key := func(first byte) Key {
		var k Key
		for i := range k {
			k[i] = first + byte(i)
		}
		return k
	}
	for i, m := range []struct {
		name string
		ad   string
		n    int
	}{
		{"empty", "", 0},
		{"empty with associated data", "ad", 0},
		{"one byte", "ad", 1},
		{"short", "associated data", 200},
		{"frame less one", "ad", FrameSize - 1},
		{"one full frame", "ad", FrameSize},
		{"frame and one", "ad", FrameSize + 1},
		{"two full frames", "ad", 2 * FrameSize},
		{"many frames", "ad", 5*FrameSize + 1000},
	} {
		k := key(byte(i * 16))
		enc, c := expand(&k, labelKey), Commit(k)
		sealed := Seal(nil, k, []byte(m.ad), pattern(m.n))
		sum := sha256.Sum256(sealed)
		v := vector{
			Name: m.name, Key: k[:], AD: hexed(m.ad), PlainLength: m.n, CipherKey: enc[:],
			Commitment: c[:], SealedLength: len(sealed), SealedSHA256: sum[:],
		}
		if len(sealed) <= 256 {
			v.Sealed = sealed
		}
		vs.Seal = append(vs.Seal, v)
	}
	const sf = sealedFrame
	vs.Ranges = []ranged{
		{"empty", 0, 0, Tag, 0, 0},
		{"many frames", 0, 0, sf, 0, FrameSize},
		{"many frames", 2, 2 * sf, 4 * sf, 2 * FrameSize, 4 * FrameSize},
		{"many frames", 5, 5 * sf, 5*sf + 1000 + Tag, 5 * FrameSize, 5*FrameSize + 1000},
		{"two full frames", 1, sf, 2 * sf, FrameSize, 2 * FrameSize},
	}
	at := func(n int) *int { return &n }
	other, none := key(1), hexed{}
	vs.Refuse = []refuse{
		{Why: "a bit of the ciphertext", Of: "short", FlipAt: at(7)},
		{Why: "a bit of the tag", Of: "short", FlipAt: at(215)},
		{Why: "a bit of an empty message", Of: "empty", FlipAt: at(0)},
		{Why: "another key", Of: "short", Key: other[:]},
		{Why: "no associated data", Of: "short", AD: &none},
		{Why: "associated data where there was none", Of: "empty", AD: &hexed{0}},
		{Why: "nothing at all", Of: "empty", Truncate: Tag},
		{Why: "a byte less", Of: "short", Truncate: 1},
		{Why: "a byte more", Of: "short", Append: hexed{0}},
		{Why: "shorter than a tag", Of: "short", Truncate: 201},
		{Why: "the last frame is missing", Of: "two full frames", Frames: []int{0}},
		{Why: "the first frame is missing", Of: "two full frames", Frames: []int{1}},
		{Why: "frames exchanged", Of: "two full frames", Frames: []int{1, 0}},
		{Why: "a frame twice", Of: "many frames", Frames: []int{0, 1, 1, 2, 3, 4, 5}},
		{Why: "a middle frame is missing", Of: "many frames", Frames: []int{0, 1, 3, 4, 5}},
		{Why: "a tag alone after a full last frame", Of: "one full frame", Append: make(hexed, Tag)},
		{Why: "a range at another place", Of: "many frames", Frames: []int{2}, FirstFrame: at(1), PlainLength: at(5*FrameSize + 1000)},
		{Why: "a last frame where the message goes on", Of: "two full frames", Frames: []int{1}, FirstFrame: at(1), PlainLength: at(3 * FrameSize)},
		{Why: "a middle frame as the last", Of: "many frames", Frames: []int{0, 1}, FirstFrame: at(0), PlainLength: at(2 * FrameSize)},
		{Why: "half a frame", Of: "many frames", Frames: []int{0}, Truncate: 1000, FirstFrame: at(0), PlainLength: at(5*FrameSize + 1000)},
		{Why: "more than the message", Of: "two full frames", Frames: []int{0, 1, 1}, FirstFrame: at(0), PlainLength: at(2 * FrameSize)},
		{Why: "the commitment of another key", Of: "short", Key: other[:], Commitment: true},
	}
	b, err := json.MarshalIndent(vs, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
