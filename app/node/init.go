// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/witness"
)

// InitOptions is what a new home is told.
type InitOptions struct {
	Name    string   // for other people; empty: the machine's name
	Listen  []string // host:port each; empty: DefaultPort on every interface
	Offer   int64    // bytes for the circle; 0: DefaultOffer, OfferNothing: none
	MinFree int64    // bytes of free disk to leave; 0 or less: the depot chooses
	Seal    Seal     // what keeps the home's key
	// Keychain may keep the home's key; nil: there is none.
	Keychain vault.Keychain
	// WordsLanguage is that of the 24 words from then on; empty: English.
	WordsLanguage identity.Lang
	// Master is the secret that 24 words gave, for a new machine of a person
	// who has them; nil: a new secret.
	Master *[32]byte
	// Owner is the key of a person who has another machine already.
	Owner *identity.OwnerKey
}

// Init makes a new home: the device's certificate, the owner's key and the
// settings. It never touches a home that is there (ErrHomeExists) nor a
// folder with other things in it. The settings are written last, so that an
// interrupted Init can be repeated: it keeps the keys it finds.
func Init(home string, o InitOptions) error {
	s := newSettings(o)
	if err := s.check(); err != nil {
		return err
	}
	home, unlock, err := beginHome(home)
	if err != nil {
		return err
	}
	if _, err = makeKeys(home, o); err == nil {
		err = s.write(home)
	}
	return errors.Join(err, unlock())
}

// newSettings are those of a new home.
func newSettings(o InitOptions) Settings {
	s := Settings{Format: settingsFormat, Name: o.Name, Listen: o.Listen, Offer: o.Offer, MinFree: o.MinFree, WordsLanguage: o.WordsLanguage}
	if s.Name == "" {
		s.Name = hostName()
	}
	if s.Offer == 0 {
		s.Offer = DefaultOffer
	}
	if s.MinFree <= 0 {
		s.MinFree = -1
	}
	return s
}

// beginHome makes and locks a folder that is to become a home.
func beginHome(home string) (dir string, unlock func() error, err error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", nil, fmt.Errorf("home folder: %w", err)
	}
	if home, err = canonicalHome(home); err != nil {
		return "", nil, err
	}
	// A home that was used holds more than a new one does.
	if _, err := os.Lstat(filepath.Join(home, settingsFile)); err == nil {
		return "", nil, fmt.Errorf("%s: %w", home, ErrHomeExists)
	}
	if err := onlyOurs(home); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(home, 0o700); err != nil {
		return "", nil, fmt.Errorf("home folder: %w", err)
	}
	lock, err := lockHome(context.Background(), home, RoleCommand, 0)
	if err != nil {
		return "", nil, err
	}
	if _, err := os.Lstat(filepath.Join(home, settingsFile)); err == nil {
		return "", nil, errors.Join(fmt.Errorf("%s: %w", home, ErrHomeExists), lock.Unlock())
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", nil, errors.Join(err, lock.Unlock())
	}
	return home, lock.Unlock, nil
}

// makeKeys creates the vault, the device's identity and the owner's key where
// they are missing.
func makeKeys(home string, o InitOptions) (map[vault.Part]*vault.Box, error) {
	boxes, err := makeVault(home, o)
	if err != nil {
		return nil, err
	}
	if err := makeIdentity(boxes[vault.Machine], home); err != nil {
		return nil, err
	}
	path := filepath.Join(home, ownerFile)
	owner := identity.NewOwner()
	if o.Master != nil {
		// Whoever typed the words has them.
		owner = identity.OwnerOf(*o.Master)
		owner = owner.WithoutMaster()
	}
	if o.Owner != nil {
		owner = *o.Owner
	}
	err = owner.WriteNew(boxes[vault.Owner], path)
	if !errors.Is(err, fs.ErrExist) {
		return boxes, err
	}
	there, err := identity.ReadOwner(boxes[vault.Owner], path)
	if err == nil && o.Master != nil && !there.Is(*o.Master) {
		return nil, fmt.Errorf("%s: %w", home, ErrOtherOwner)
	}
	if err == nil && o.Owner != nil && there.Root() != o.Owner.Root() {
		return nil, fmt.Errorf("%s: %w", home, ErrOtherOwner)
	}
	return boxes, err
}

// makeVault makes the vault, or opens that of an interrupted Init.
func makeVault(home string, o InitOptions) (map[vault.Part]*vault.Box, error) {
	v, err := vault.Open(home, o.Keychain)
	if errors.Is(err, fs.ErrNotExist) {
		_, boxes, err := vault.Create(home, o.Keychain, o.Seal.hows(o.Keychain), false)
		return boxes, err
	}
	if err != nil {
		return nil, err
	}
	return v.Unlock(func() ([]byte, error) { return o.Seal.Passphrase, nil }, vault.Parts...)
}

// makeIdentity keeps a device identity that is whole. Half of one, of an
// interrupted Init, is replaced, but only while nothing can depend on it.
func makeIdentity(box *vault.Box, home string) error {
	_, broken := loadIdentity(box, home)
	if broken == nil {
		return nil
	}
	cert, key := filepath.Join(home, certFile), filepath.Join(home, keyFile)
	for _, used := range []string{circleFile, catalogFile, depotFolder} {
		if _, err := os.Lstat(filepath.Join(home, used)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s was in use and its identity is damaged: %w", home, broken)
		}
	}
	id, err := transport.NewIdentity()
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := id.PEM()
	if err != nil {
		return err
	}
	if err := box.Replace(key, keyPEM); err != nil {
		return fmt.Errorf("create identity: %w", err)
	}
	// The certificate is public, but nobody else needs it.
	if err := durable.Replace(cert, certPEM); err != nil {
		return fmt.Errorf("create identity: %w", err)
	}
	return nil
}

// onlyOurs refuses a folder that holds anything but parts of a home.
func onlyOurs(home string) error {
	entries, err := os.ReadDir(home)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// What a crash leaves of a file that was being replaced has a dot and
		// then that file's name.
		if name, ok := strings.CutPrefix(e.Name(), "."); ok && (strings.HasPrefix(name, circleFile+".") ||
			strings.HasPrefix(name, settingsFile+".") || strings.HasPrefix(name, "helpers.") || strings.HasPrefix(name, brandCopyFile+".") || strings.HasPrefix(name, "device.") || strings.HasPrefix(name, ownerFile+".") ||
			strings.HasPrefix(name, vault.File+".") || strings.HasPrefix(name, engine.RebuildPrefix[1:])) || vault.IsKeyFile(e.Name()) {
			continue
		}
		switch e.Name() {
		case vault.File, lockFile, certFile, keyFile, ownerFile, circleFile, depotFolder, socketFile, settingsFile,
			catalogFile, catalogFile + "-wal", catalogFile + "-shm", identity.SignFile, identity.KEMFile,
			gatewayFile, brandFolder, brandCopyFile, headsFolder, helper.File, attemptFile,
			witness.File, witness.File + "-wal", witness.File + "-shm", witness.Folder:
		default:
			return said.Error("home-holds", "{path} holds other things (\"{name}\"): choose an empty or new folder", "path", home, "name", e.Name())
		}
	}
	return nil
}
