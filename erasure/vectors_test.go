// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write testdata again (only for a new format version)")

const vectorFile = "testdata/root.json"

// vectors is the form of testdata/root.json, which docs/formats.md explains.
// Byte i of a shard is (i + first) mod 251.
type vectors struct {
	About []string     `json:"about"`
	Roots []rootVector `json:"roots"`
	Codes []codeVector `json:"codes"`
}

type rootVector struct {
	First  int     `json:"first"`
	Length int     `json:"length"`
	Leaves []hexed `json:"leaves"`
	Root   hexed   `json:"root"`
}

type codeVector struct {
	K      int     `json:"k"`
	N      int     `json:"n"`
	Data   []hexed `json:"data"`
	Parity []hexed `json:"parity"`
}

type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexed) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

func pattern(first, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((i + first) % 251)
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
	if len(vs.Roots) < 6 || len(vs.Codes) < 6 {
		t.Fatalf("only %d and %d vectors", len(vs.Roots), len(vs.Codes))
	}
	for _, v := range vs.Roots {
		shard := pattern(v.First, v.Length)
		if got := ShardRoot(shard); !bytes.Equal(got[:], v.Root) {
			t.Errorf("%d bytes: root %v", v.Length, got)
		}
		leaves := Leaves(nil, shard)
		if len(leaves) != len(v.Leaves) {
			t.Errorf("%d bytes: %d leaves", v.Length, len(leaves))
			continue
		}
		for i := range leaves {
			if !bytes.Equal(leaves[i][:], v.Leaves[i]) {
				t.Errorf("%d bytes: leaf %d is %x", v.Length, i, leaves[i])
			}
		}
	}
	for _, v := range vs.Codes {
		c := codec(t, Geometry{v.K, v.N})
		var shards [][]byte
		for _, d := range v.Data {
			shards = append(shards, bytes.Clone(d))
		}
		for range v.N - v.K {
			shards = append(shards, make([]byte, len(v.Data[0])))
		}
		if err := c.Encode(shards); err != nil {
			t.Errorf("%d-of-%d: %v", v.K, v.N, err)
			continue
		}
		for i, p := range v.Parity {
			if !bytes.Equal(shards[v.K+i], p) {
				t.Errorf("%d-of-%d: shard %d is %x", v.K, v.N, v.K+i, shards[v.K+i])
			}
		}
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	vs := vectors{About: []string{
		"Vectors of the shard root and of the erasure code, docs/formats.md.",
		"roots: byte i of the shard is (i + first) mod 251.",
		"codes: parity are the shards k to n-1 that follow from the data shards 0 to k-1.",
	}}
	for _, r := range [][2]int{{0, 0}, {0, 1}, {1, 1025}, {0, LeafSize - 1}, {0, LeafSize}, {2, LeafSize + 1}, {0, 5*LeafSize + 77}, {3, 4 << 20}} {
		shard := pattern(r[0], r[1])
		root := ShardRoot(shard)
		v := rootVector{First: r[0], Length: r[1], Root: root[:], Leaves: []hexed{}}
		for _, l := range Leaves(nil, shard) {
			v.Leaves = append(v.Leaves, l[:])
		}
		vs.Roots = append(vs.Roots, v)
	}
	for _, g := range []Geometry{{1, 2}, {2, 3}, {2, 4}, {3, 5}, {4, 6}, {5, 7}, {5, 9}, {6, 10}} {
		shards := encoded(t, codec(t, g), 16)
		v := codeVector{K: g.K, N: g.N}
		for i, s := range shards {
			if i < g.K {
				v.Data = append(v.Data, s)
			} else {
				v.Parity = append(v.Parity, s)
			}
		}
		vs.Codes = append(vs.Codes, v)
	}
	b, err := json.MarshalIndent(vs, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
