// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

var update = flag.Bool("update", false, "write testdata/header.json anew")

// vector is one header: see docs/formats.md, "Shard file on a keeper".
type vector struct {
	ID       string `json:"id"`
	Owner    string `json:"owner"`
	Size     int64  `json:"size"`   // byte i of the body is i mod 251
	Stored   int64  `json:"stored"` // Unix seconds
	Root     string `json:"root"`
	Start    string `json:"start"`    // the block up to the end of the leaves
	Checksum string `json:"checksum"` // its last 32 bytes; zeros between
}

func makeVector(t *testing.T, v vector) vector {
	t.Helper()
	b := make([]byte, v.Size)
	for i := range b {
		b[i] = byte(i % 251)
	}
	h := depot.Header{Size: v.Size, Stored: v.Stored, Root: erasure.ShardRoot(b), Leaves: erasure.Leaves(nil, b)}
	id, err := hex.DecodeString(v.ID)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := hex.DecodeString(v.Owner)
	if err != nil {
		t.Fatal(err)
	}
	h.ID, h.Owner = peers.ShardID(id), peers.DeviceID(owner)
	var block [depot.HeaderSize]byte
	if err := h.Encode(&block); err != nil {
		t.Fatal(err)
	}
	end := 128 + 32*len(h.Leaves)
	v.Root = hex.EncodeToString(h.Root[:])
	v.Start = hex.EncodeToString(block[:end])
	v.Checksum = hex.EncodeToString(block[4064:])
	if !bytes.Equal(block[end:4064], make([]byte, 4064-end)) {
		t.Error("no zeros after the leaves")
	}
	return v
}

func TestHeaderVectors(t *testing.T) {
	path := filepath.Join("testdata", "header.json")
	if *update {
		var out []vector
		for i, size := range []int64{1, 65536, 65537, 200_000, peers.MaxShard} {
			id, owner := id(uint64(i)), peers.DeviceID(id(uint64(100+i)))
			out = append(out, makeVector(t, vector{
				ID: id.String(), Owner: hex.EncodeToString(owner[:]), Size: size, Stored: 1_800_000_000 + int64(i),
			}))
		}
		text, err := json.MarshalIndent(out, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		if got := makeVector(t, v); got != v {
			t.Errorf("%d bytes: the block is not the published one", v.Size)
		}
	}
}
