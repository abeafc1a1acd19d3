// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"testing"

	"github.com/zeebo/blake3"
)

var update = flag.Bool("update", false, "write testdata again (only for a new format version)")

const vectorFile = "testdata/cuts.json"

// vectors is the form of testdata/cuts.json, which docs/formats.md explains.
type vectors struct {
	About []string    `json:"about"`
	Files []cutVector `json:"files"`
}

// cutVector is a file of length bytes, zeros up to zeros, then random, and
// what becomes of it.
type cutVector struct {
	Seed       string        `json:"seed"`
	Zeros      int           `json:"zeros"`
	Length     int           `json:"length"`
	ChunkerKey hexed         `json:"chunker_key"`
	GearBLAKE3 hexed         `json:"gear_blake3"`
	DedupKey   hexed         `json:"dedup_key"`
	Chunks     []chunkVector `json:"chunks"`
}

type chunkVector struct {
	Length int   `json:"length"`
	ID     hexed `json:"id"`
}

type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexed) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// content is the file of a vector: the output of BLAKE3 for the seed, as long
// as asked for, with zeros over its beginning.
func (v *cutVector) content() []byte {
	h := blake3.New()
	h.WriteString(v.Seed)
	b := make([]byte, v.Length)
	h.Digest().Read(b)
	clear(b[:v.Zeros])
	return b
}

// gearHash is the BLAKE3 hash of the Gear table, each word little-endian.
func gearHash(t *testing.T, key [32]byte) []byte {
	t.Helper()
	gear, err := gearTable(key)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, word := range gear {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	sum := blake3.Sum256(b)
	return sum[:]
}

// split gives the chunks of the vector's file as this package makes them.
func (v *cutVector) split(t *testing.T) []chunkVector {
	t.Helper()
	s := splitter(t, [32]byte(v.ChunkerKey))
	n := NewNamer([32]byte(v.DedupKey))
	s.Reset(bytes.NewReader(v.content()))
	out := []chunkVector{}
	for {
		b, err := s.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		id := n.Name(b)
		out = append(out, chunkVector{len(b), id[:]})
	}
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
	if len(vs.Files) < 6 {
		t.Fatalf("only %d vectors", len(vs.Files))
	}
	for i, v := range vs.Files {
		if got := gearHash(t, [32]byte(v.ChunkerKey)); !bytes.Equal(got, v.GearBLAKE3) {
			t.Errorf("file %d: Gear table with hash %x", i, got)
		}
		got := v.split(t)
		if len(got) != len(v.Chunks) {
			t.Errorf("file %d: %d chunks, want %d", i, len(got), len(v.Chunks))
			continue
		}
		for j := range got {
			if got[j].Length != v.Chunks[j].Length || !bytes.Equal(got[j].ID, v.Chunks[j].ID) {
				t.Errorf("file %d, chunk %d: %d bytes, %x", i, j, got[j].Length, got[j].ID)
			}
		}
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	vs := vectors{About: []string{
		"Vectors of cuts and chunk names, docs/formats.md.",
		"The file is the first `length` bytes of BLAKE3's extendable output for the string `seed`, of which the first `zeros` bytes are then set to 0.",
		"gear_blake3 is the BLAKE3 hash of the 256 words of the keyed Gear table, little-endian.",
	}}
	key := func(first byte) []byte {
		k := make([]byte, 32)
		for i := range k {
			k[i] = first + byte(i)
		}
		return k
	}
	for _, f := range []struct {
		zeros, length int
		key           byte
	}{
		{0, 0, 0}, {0, 1, 0}, {0, Min, 0}, {0, Min + 1, 0}, {0, 12 << 20, 0}, {0, 12 << 20, 1},
		{9 << 20, 9<<20 + 5, 1}, {5 << 20, 16 << 20, 100},
	} {
		v := cutVector{Seed: "preezm cuts", Zeros: f.zeros, Length: f.length, ChunkerKey: key(f.key), DedupKey: key(f.key + 64)}
		v.GearBLAKE3 = gearHash(t, [32]byte(v.ChunkerKey))
		v.Chunks = v.split(t)
		vs.Files = append(vs.Files, v)
	}
	b, err := json.MarshalIndent(vs, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
