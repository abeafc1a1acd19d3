// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/sqlite"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/witness"
)

// maxSealed bounds a file of an old home that is sealed as it is.
const maxSealed = 64 << 20

// Seal says what keeps a home's key.
type Seal struct {
	By         vault.By // empty: the keychain where there is one, else a key file
	Passphrase []byte   // for vault.ByPassphrase
	// Unattended lets the machine's part open from a key file although the
	// owner's has a passphrase: the node can start and keep for others by
	// itself.
	Unattended bool
}

// SystemKeychain is the system's keychain, or nil when PREEZM_KEYCHAIN=off in
// the environment says to do without.
func SystemKeychain(getenv func(string) string) vault.Keychain {
	if getenv("PREEZM_KEYCHAIN") == "off" {
		return nil
	}
	return vault.System{}
}

// KeyKeptBy tells what keeps the key of the owner's part of a home.
func KeyKeptBy(home string) (vault.By, error) {
	home, err := canonicalHome(home)
	if err != nil {
		return "", err
	}
	v, err := vault.Open(home, nil)
	if err != nil {
		return "", err
	}
	return v.By(vault.Owner), nil
}

// hows spells a Seal out for both parts of a home.
func (s Seal) hows(chain vault.Keychain) map[vault.Part]vault.How {
	if s.By == "" {
		s.By = vault.ByKeyFile
		if vault.Works(chain) {
			s.By = vault.ByKeychain
		}
	}
	owner := vault.How{By: s.By, Passphrase: s.Passphrase}
	machine := owner
	if s.Unattended && s.By == vault.ByPassphrase {
		machine = vault.How{By: vault.ByKeyFile}
	}
	return map[vault.Part]vault.How{vault.Owner: owner, vault.Machine: machine}
}

// openVault opens the home's vault and the parts it can: the owner's stays
// shut when it needs a passphrase that nobody gave and the node serves. A home
// from before there were vaults is sealed first.
func (n *Node) openVault(ctx context.Context, o Options) error {
	v, err := vault.Open(n.home, o.Keychain)
	if errors.Is(err, fs.ErrNotExist) {
		v, err = n.newVault(o)
	}
	if err != nil {
		return err
	}
	n.vault = v
	if r := o.reopened; r != nil {
		n.box, n.ownerBox, n.shut = r.box, r.owner, r.owner == nil
		return nil
	}
	boxes, err := v.Unlock(o.Passphrase, vault.Machine, vault.Owner)
	if errors.Is(err, vault.ErrNeedPassphrase) && n.role == RoleServe {
		if boxes, err = v.Unlock(nil, vault.Machine); err == nil && v.Sealing() {
			err = vault.ErrNeedPassphrase
		}
		n.shut = err == nil
	}
	if errors.Is(err, vault.ErrNeedPassphrase) {
		return ErrLocked
	}
	if err != nil {
		return err
	}
	n.box, n.ownerBox = boxes[vault.Machine], boxes[vault.Owner]
	if v.Sealing() {
		step := o.step
		if step == nil {
			step = func(string) error { return nil }
		}
		if err := n.sealOld(ctx, step); err != nil {
			return fmt.Errorf("seal the home: %w", err)
		}
		if err := v.Sealed(boxes); err != nil {
			return err
		}
	}
	if err := v.Tidy(); err != nil { // a key too many keeps nobody from the files
		n.log.Warn("keys that were given up are removed at another start", "err", err)
	}
	return nil
}

// newVault makes one for a home from before there were any.
func (n *Node) newVault(o Options) (*vault.Vault, error) {
	for _, name := range []string{keyFile, ownerFile} {
		sealed, err := vault.IsSealed(filepath.Join(n.home, name))
		if err != nil {
			return nil, err
		}
		if sealed {
			return nil, fmt.Errorf("%s is missing, and without it nothing in the home %s opens: put it back from a copy", vault.File, n.home)
		}
	}
	v, _, err := vault.Create(n.home, o.Keychain, Seal{}.hows(o.Keychain), true)
	return v, err
}

// sealOld seals everything in an old home. It can be cut off at any point and
// goes on at the next opening.
func (n *Node) sealOld(ctx context.Context, step func(string) error) error {
	at := func(name string) string { return filepath.Join(n.home, name) }
	n.log.Info("sealing the home", "home", n.home)
	for _, part := range []struct {
		box   *vault.Box
		files []string
		dbs   []string
	}{
		{n.box, []string{keyFile, circleFile, gatewayFile, identity.SignFile, identity.KEMFile, helper.File}, []string{witness.File, gatewayDB, caretaker.File}},
		{n.ownerBox, []string{ownerFile, watchFile}, []string{catalogFile}},
	} {
		for _, name := range part.files {
			if err := part.box.SealFile(at(name), maxSealed); err != nil {
				return err
			}
			if err := step(name); err != nil {
				return err
			}
		}
		for _, name := range part.dbs {
			if err := sealDB(ctx, part.box, at(name), step); err != nil {
				return err
			}
		}
	}
	if err := witness.SealFolder(n.box, at(witness.Folder)); err != nil {
		return err
	}
	if err := step(witness.Folder); err != nil {
		return err
	}
	err := filepath.WalkDir(at(brandFolder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := n.ownerBox.SealFile(path, maxSealed); err != nil {
			return err
		}
		return step(d.Name())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sealDB puts an encrypted database in place of a plain one.
func sealDB(ctx context.Context, box *vault.Box, path string, step func(string) error) error {
	plain, err := sqlite.Plain(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !plain {
		return err
	}
	sealed, err := sqlite.Seal(ctx, path, box.DBKey(filepath.Base(path)))
	if err != nil {
		return err
	}
	if err := step(sealed); err != nil {
		return err
	}
	// The plain one's log was emptied. Whatever is left of it must not meet
	// the new file.
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := step(path + suffix); err != nil {
			return err
		}
	}
	if err := os.Rename(sealed, path); err != nil {
		return err
	}
	if err := step(path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}
