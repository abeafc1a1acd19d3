// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/sqlite"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

// oldHome puts a home from before homes were sealed into a new folder.
// testdata/oldhome has its files as text: databases as SQL, bytes as hex.
func oldHome(t *testing.T, which string) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), which)
	from := filepath.Join("testdata", "oldhome", which)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(home, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if name, ok := strings.CutSuffix(to, ".sql"); ok {
			db, err := sqlite.Open(name, sqlite.Options{Exclusive: true})
			if err != nil {
				return err
			}
			_, err = db.ExecContext(t.Context(), "PRAGMA foreign_keys=OFF;"+string(raw))
			return errors.Join(err, db.Close())
		}
		if name, ok := strings.CutSuffix(to, ".hex"); ok {
			if raw, err = hex.DecodeString(strings.TrimSpace(string(raw))); err != nil {
				return err
			}
			to = name
		}
		return os.WriteFile(to, raw, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return home
}

// telling is what a copy of the old owner's home must not tell.
func telling(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, s := range []string{"Cathedral plans", "nave.txt", "crypt.txt", "Verdigris Insurance", "roof claim", "keeper1", "keeper2", "preezm1"} {
		out[s] = []byte(s)
	}
	for _, name := range []string{"owner.key", "device.sign", "device.kem"} {
		raw, err := os.ReadFile(filepath.Join("testdata", "oldhome", "owner", name))
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(raw), "\n")
		key, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		out["the key in "+name] = key
	}
	return out
}

// forms are the ways in which bytes may be written.
func forms(b []byte) map[string][]byte {
	wide := utf16.Encode([]rune(string(b)))
	le, be := []byte{}, []byte{}
	for _, u := range wide {
		le, be = binary.LittleEndian.AppendUint16(le, u), binary.BigEndian.AppendUint16(be, u)
	}
	return map[string][]byte{
		"as it is": b, "UTF-16LE": le, "UTF-16BE": be, "hex": []byte(hex.EncodeToString(b)),
		"HEX": []byte(strings.ToUpper(hex.EncodeToString(b))), "base64": []byte(base64.StdEncoding.EncodeToString(b)),
		"base64url": []byte(base64.RawURLEncoding.EncodeToString(b)),
	}
}

// leaks lists what the raw bytes of a home tell, its key file aside.
func leaks(t *testing.T, home string, secrets map[string][]byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || vault.IsKeyFile(d.Name()) {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		raw = append([]byte(path[len(home):]+"\n"), raw...)
		for what, secret := range secrets {
			for form, b := range forms(secret) {
				if bytes.Contains(raw, b) {
					found = append(found, fmt.Sprintf("%s tells %s, %s", d.Name(), what, form))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func checkOldOwner(t *testing.T, n *Node) {
	t.Helper()
	list, err := n.List(t.Context(), engine.ListOptions{Folder: "Cathedral plans", Recursive: true})
	if err != nil || len(list) < 2 {
		t.Fatalf("%d files, %v", len(list), err)
	}
	cs, err := n.Custodians(t.Context())
	if err != nil || len(cs) != 2 {
		t.Fatalf("%d custodians, %v", len(cs), err)
	}
	b, err := n.Brand(t.Context())
	if err != nil || b.Name != "Verdigris Insurance" {
		t.Fatalf("%+v, %v", b, err)
	}
	// The document in the ticket is of a version that is read no more.
	if rs, err := n.Received(t.Context()); err != nil || len(rs) != 1 {
		t.Fatalf("%+v, %v", rs, err)
	}
	words, err := n.Words(t.Context(), identity.English)
	if err != nil || len(words) != identity.WordCount {
		t.Fatalf("%d words, %v", len(words), err)
	}
}

// An old home opens, keeps everything, and tells nothing any more; also while
// it is open, with the databases' logs.
func TestOldHomeIsSealed(t *testing.T) {
	home, secrets := oldHome(t, "owner"), telling(t)
	if got := leaks(t, home, secrets); len(got) < len(secrets) {
		t.Fatalf("the search finds too little in a plain home: %v", got)
	}
	for range 2 {
		n, err := Open(t.Context(), home, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkOldOwner(t, n)
		if got := leaks(t, home, secrets); len(got) > 0 {
			t.Errorf("an open home: %v", got)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if got := leaks(t, home, secrets); len(got) > 0 {
			t.Errorf("a closed home: %v", got)
		}
	}
	// A plain file is not taken any more.
	if err := os.WriteFile(filepath.Join(home, circleFile), []byte(`{"version":1,"peers":[],"invites":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), home, Options{}); !errors.Is(err, vault.ErrPlain) {
		t.Errorf("a plain circle in a sealed home: %v", err)
	}
}

func TestOldKeeperIsSealed(t *testing.T) {
	home := oldHome(t, "keeper")
	n, err := Open(t.Context(), home, Options{Role: RoleServe, Listen: []string{"127.0.0.1:0"}, NoDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	if n.witness == nil || n.gateway == nil {
		t.Error("the custodian or the gateway did not open")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"witness.db", "catalog.db"} {
		if plain, err := sqlite.Plain(filepath.Join(home, name)); plain || err != nil {
			t.Errorf("%s: plain %v, %v", name, plain, err)
		}
	}
	boxes := vaulttest.Boxes(t, home)
	keys, err := filepath.Glob(filepath.Join(home, "witness.ratchet", "*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	if b, err := boxes[vault.Machine].ReadFile(keys[0], 1000); err != nil || len(b) != 32 {
		t.Errorf("the ratchet's key: %d bytes, %v", len(b), err)
	}
}

// The sealing of an old home may be cut off anywhere.
func TestSealingIsCutOff(t *testing.T) {
	died := errors.New("cut off")
	secrets := telling(t)
	for stop := 1; stop < 100; stop++ {
		home, left := oldHome(t, "owner"), stop
		n, err := Open(t.Context(), home, Options{step: func(string) error {
			if left--; left == 0 {
				return died
			}
			return nil
		}})
		if err == nil {
			if stop < 15 {
				t.Errorf("only %d points to cut it off", stop-1)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, died) {
			t.Fatal(err)
		}
		if n, err = Open(t.Context(), home, Options{}); err != nil {
			t.Fatalf("after %d steps: %v", stop, err)
		}
		checkOldOwner(t, n)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if got := leaks(t, home, secrets); len(got) > 0 {
			t.Errorf("after %d steps: %v", stop, got)
		}
	}
	t.Error("it never ends")
}
