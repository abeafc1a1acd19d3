// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"

	"github.com/preezm/preezm/engine"
)

// BackupAPI is the part of API about copies of the catalog in the circle.
type BackupAPI interface {
	// Backup makes one now, unless nothing has changed.
	Backup(ctx context.Context, progress func(engine.Progress)) (*BackupState, error)
	// BackupState tells how far the newest has come.
	BackupState(ctx context.Context) (*BackupState, error)
}

const (
	pathBackup      = "/v1/backup"
	pathBackupState = "/v1/backup/state"
)

func (s *localServer) backupCalls(mux *http.ServeMux) {
	handle(mux, s, pathBackup, func(ctx context.Context, _ empty, progress func(engine.Progress)) (*BackupState, error) {
		return s.api.Backup(ctx, progress)
	})
	handle(mux, s, pathBackupState, call0(s.api.BackupState))
}

func (c *client) Backup(ctx context.Context, progress func(engine.Progress)) (*BackupState, error) {
	return invoke[*BackupState](ctx, c, pathBackup, empty{}, progress)
}

func (c *client) BackupState(ctx context.Context) (*BackupState, error) {
	return invoke[*BackupState](ctx, c, pathBackupState, empty{}, nil)
}
