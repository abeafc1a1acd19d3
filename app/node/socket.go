// SPDX-License-Identifier: MPL-2.0

package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath is what fits into sockaddr_un everywhere: 104 bytes on macOS
// and the BSDs, 108 on Linux and Windows, with the final NUL.
const maxSocketPath = 103

// socketPath is where the node of a home listens: in the home, or, when that
// path is too long for the system, in a folder of the temporary directory
// named after the home.
func socketPath(home string) string {
	path := filepath.Join(home, socketFile)
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte("preezm socket folder\x00" + home))
	return filepath.Join(os.TempDir(), "preezm-"+hex.EncodeToString(sum[:12]), socketFile)
}

// canonicalHome makes different spellings of one home equal: absolute and
// without symbolic links. A home that does not exist yet is only made
// absolute.
func canonicalHome(home string) (string, error) {
	abs, err := filepath.Abs(home)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	return abs, nil
}

// listenLocal binds the home's socket, for this user only. The caller holds
// the home's lock, so a socket that is there already is a dead node's.
func listenLocal(home string) (*net.UnixListener, error) {
	path := socketPath(home)
	if filepath.Dir(path) != home {
		if err := privateFolder(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case fi.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is not a socket and is in the way of one: move it elsewhere", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("left-over socket: %w", err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("local socket: %w", err)
	}
	l.SetUnlinkOnClose(true)
	// Between bind and here only the folder's mode (0700) keeps others out.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// privateFolder makes dir with mode 0700, or checks that it is that: a folder
// in the shared temporary directory could be somebody else's trap.
func privateFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("folder for the local socket: %w", err)
	}
	return checkPrivate(dir)
}

// checkPrivate refuses a folder for sockets that others could have made.
func checkPrivate(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() || !ownedPrivately(fi) {
		return fmt.Errorf("%s should be a folder only you can open, and is not: remove it, or use a home with a shorter path", dir)
	}
	return nil
}
