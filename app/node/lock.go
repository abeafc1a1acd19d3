// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Role is what a process does with the home it has open.
type Role string

// The roles.
const (
	RoleCommand Role = "command" // one command, then it closes the home
	RoleServe   Role = "serve"   // preezm serve
	RoleWindow  Role = "window"
)

const (
	// lockRetry is how often a busy lock is tried again.
	lockRetry = 20 * time.Millisecond
	// lockSettle is how long a note that names a serving node is doubted: it
	// may be that of a killed one, and the new holder about to write its own.
	lockSettle = 200 * time.Millisecond
)

// The holder writes who it is behind the first byte of the lock file. The
// first byte itself stays out of it: on Windows it is the locked range, and
// nobody else could read it.
const (
	lockNoteAt  = 1
	lockNoteLen = 32
)

// lockHome takes the home's lock. While another process holds it, it is tried
// again until ctx ends or wait is over; a home served by another process is
// refused sooner, since that one will not go away. The error is a
// [BusyError].
func lockHome(ctx context.Context, home string, role Role, wait time.Duration) (*flock.Flock, error) {
	path := filepath.Join(home, lockFile)
	l := flock.New(path, flock.SetPermissions(0o600))
	start := time.Now()
	for {
		ok, err := l.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock of the home: %w", err)
		}
		if ok {
			break
		}
		busy := &BusyError{Home: home}
		busy.PID, busy.Role = readLockNote(path)
		waited := time.Since(start)
		stays := busy.Role == RoleServe || busy.Role == RoleWindow
		if waited >= wait || (stays && waited >= lockSettle) {
			return nil, busy
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockRetry):
		}
	}
	if err := writeLockNote(path, os.Getpid(), role); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

func writeLockNote(path string, pid int, role Role) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%-*s\n", lockNoteLen-1, fmt.Sprintf("%d %s", pid, role))
	_, err = f.WriteAt([]byte(note), lockNoteAt)
	return errors.Join(err, f.Close())
}

// readLockNote gives zero values when the note cannot be read: it only serves
// messages and the choice to wait.
func readLockNote(path string) (int, Role) {
	f, err := os.Open(path)
	if err != nil {
		return 0, ""
	}
	defer f.Close()
	buf := make([]byte, lockNoteLen)
	n, _ := f.ReadAt(buf, lockNoteAt)
	pid, role, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
	id, err := strconv.Atoi(pid)
	if err != nil || id <= 0 {
		return 0, ""
	}
	switch r := Role(role); r {
	case RoleCommand, RoleServe, RoleWindow:
		return id, r
	}
	return id, ""
}
