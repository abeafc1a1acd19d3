// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

func TestAudit(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(t.Context(), dir, Options{Offer: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	owner, nonce := peers.DeviceID{1}, peers.Nonce{5}
	shards := [][]byte{bytes.Repeat([]byte("abc"), 90000), []byte("x"), bytes.Repeat([]byte{1}, 64<<10)}
	var ids []peers.ShardID
	for i, b := range shards {
		id := peers.ShardID{byte(i + 1)}
		if err := d.Put(t.Context(), owner, id, erasure.ShardRoot(b), int64(len(b)), bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	ids = append(ids, peers.ShardID{99})
	got, err := d.Audit(t.Context(), owner, nonce, ids, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range shards {
		if !got[i].Check(nonce, ids[i], int64(len(b)), erasure.ShardRoot(b), 4) {
			t.Errorf("shard %d is not proven", i)
		}
	}
	if got[3].Finding != peers.Lacking {
		t.Errorf("one that is not there: %v", got[3].Finding)
	}
	// To another it does not exist.
	if got, err := d.Audit(t.Context(), peers.DeviceID{2}, nonce, ids, 1); err != nil || got[0].Finding != peers.Lacking {
		t.Errorf("%v, %v", got[0].Finding, err)
	}
	// Rot is found by the keeper itself.
	name := filepath.Join(dir, shardsDir, ids[0].String()[:2], ids[0].String())
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := HeaderSize; i < len(b); i += 1000 {
		b[i] ^= 1
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Audit(t.Context(), owner, nonce, ids[:1], 1); err != nil || got[0].Finding != peers.Broken {
		t.Fatalf("%v, %v", got[0].Finding, err)
	}
	if got, err := d.Audit(t.Context(), owner, nonce, ids[:1], 1); err != nil || got[0].Finding != peers.Lacking {
		t.Errorf("afterwards: %v, %v", got[0].Finding, err)
	}
}
