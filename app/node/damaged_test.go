// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/witness"
)

// What a custodian or a gateway keeps may be damaged: the home is served all
// the same, without that role, says so, and writes nothing over it.
func TestDamagedRolesDoNotShutTheHome(t *testing.T) {
	for name, files := range map[string][]string{
		"gateway": {gatewayFile},
		"witness": {witness.File},
		"ratchet": {witness.Folder + "/1.key", witness.Folder + "/1.box"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			home := testHome(t, "desk")
			junk := bytes.Repeat([]byte("junk"), 2000)
			for _, f := range files {
				path := filepath.Join(home, filepath.FromSlash(f))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, junk, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			n, err := Open(ctx, home, Options{Role: RoleServe, NoDiscovery: true, Logger: slog.New(slog.NewTextHandler(&said, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said.String(), "level=ERROR") || !strings.Contains(said.String(), "cannot be opened") {
				t.Errorf("it was not said: %q", said.String())
			}
			desk, _ := serveHome(t, home)
			laptop, _ := serveHome(t, testHome(t, "laptop"))
			inv, err := laptop.Invite(ctx, InviteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := desk.Join(ctx, inv.Code); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := laptop.Put(ctx, engine.PutOptions{Sources: []string{file}}, nil); err != nil {
				t.Errorf("put: %v", err)
			}
			_, err = laptop.AddCustodian(ctx, "desk")
			if name == "gateway" {
				if err != nil {
					t.Errorf("no custodian: %v", err)
				}
			} else if !errors.Is(err, peers.ErrNoCustodian) {
				t.Errorf("a damaged custodian: %v", err)
			}
			for _, f := range files {
				if b, err := os.ReadFile(filepath.Join(home, filepath.FromSlash(f))); err != nil || !bytes.Equal(b, junk) {
					t.Errorf("%s was written over: %v", f, err)
				}
			}
		})
	}
}
