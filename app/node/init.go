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
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/witness"
)

// InitOptions is what a new home is told.
type InitOptions struct {
	Name    string   // for other people; empty: the machine's name
	Listen  []string // host:port each; empty: DefaultPort on every interface
	Offer   int64    // bytes for the circle; 0: DefaultOffer, OfferNothing: none
	MinFree int64    // bytes of free disk to leave; 0 or less: the depot chooses
}

// Init makes a new home: the device's certificate, the owner's key and the
// settings. It never touches a home that is there (ErrHomeExists) nor a
// folder with other things in it. The settings are written last, so that an
// interrupted Init can be repeated: it keeps the keys it finds.
func Init(home string, o InitOptions) error {
	s := Settings{Format: settingsFormat, Name: o.Name, Listen: o.Listen, Offer: o.Offer, MinFree: o.MinFree}
	if s.Name == "" {
		s.Name = hostName()
	}
	if s.Offer == 0 {
		s.Offer = DefaultOffer
	}
	if s.MinFree <= 0 {
		s.MinFree = -1
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("home folder: %w", err)
	}
	home, err := canonicalHome(home)
	if err != nil {
		return err
	}
	if err := onlyOurs(home); err != nil {
		return err
	}
	if err := os.Chmod(home, 0o700); err != nil {
		return fmt.Errorf("home folder: %w", err)
	}
	lock, err := lockHome(context.Background(), home, RoleCommand, 0)
	if err != nil {
		return err
	}
	return errors.Join(initLocked(home, s), lock.Unlock())
}

func initLocked(home string, s Settings) error {
	if _, err := os.Lstat(filepath.Join(home, settingsFile)); err == nil {
		return fmt.Errorf("%s: %w", home, ErrHomeExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeKeys(home); err != nil {
		return err
	}
	return s.write(home)
}

// makeKeys creates the device's identity and the owner's key where they are
// missing.
func makeKeys(home string) error {
	if err := makeIdentity(home); err != nil {
		return err
	}
	_, err := identity.Create(filepath.Join(home, ownerFile))
	if errors.Is(err, fs.ErrExist) {
		_, err = identity.Load(filepath.Join(home, ownerFile))
	}
	return err
}

// makeIdentity keeps a device identity that is whole. Half of one, of an
// interrupted Init, is replaced, but only while nothing can depend on it.
func makeIdentity(home string) error {
	cert, key := filepath.Join(home, certFile), filepath.Join(home, keyFile)
	_, err := transport.CreateIdentity(cert, key)
	if !errors.Is(err, transport.ErrIdentityExists) {
		return err
	}
	_, broken := transport.LoadIdentity(cert, key)
	if broken == nil {
		return nil
	}
	for _, used := range []string{circleFile, catalogFile, depotFolder} {
		if _, err := os.Lstat(filepath.Join(home, used)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s was in use and its identity is damaged: %w", home, broken)
		}
	}
	for _, half := range []string{cert, key} {
		if err := os.Remove(half); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_, err = transport.CreateIdentity(cert, key)
	return err
}

// onlyOurs refuses a folder that holds anything but parts of a home.
func onlyOurs(home string) error {
	entries, err := os.ReadDir(home)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case lockFile, certFile, keyFile, ownerFile, circleFile, depotFolder, socketFile, settingsFile,
			catalogFile, catalogFile + "-wal", catalogFile + "-shm", identity.SignFile, identity.KEMFile,
			gatewayFile, brandFolder,
			witness.File, witness.File + "-wal", witness.File + "-shm", witness.Folder:
		default:
			return fmt.Errorf("%s holds other things (%q): choose an empty or new folder", home, e.Name())
		}
	}
	return nil
}
