// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/preezm/preezm/engine/watch"
)

// WatchAPI is the part of API about folders that are kept put.
type WatchAPI interface {
	// Watch begins to watch a folder; Dir and IgnoreFile are absolute.
	Watch(ctx context.Context, f watch.Folder) (watch.State, error)
	// Watched lists the watched folders and how far each is.
	Watched(ctx context.Context) ([]watch.State, error)
	// Unwatch watches a folder no longer; what was kept stays kept.
	Unwatch(ctx context.Context, dir string) (watch.State, error)
	// PauseWatch stops the work on a folder, or goes on with it.
	PauseWatch(ctx context.Context, o PauseOrder) (watch.State, error)
}

// PauseOrder names a watched folder to pause, or to go on with.
type PauseOrder struct {
	Dir   string
	Pause bool
}

// openWatch reads what is watched. A damaged file of it is no reason not to
// open the home.
func (n *Node) openWatch() {
	n.watcher, n.watchErr = watch.Open(watch.Config{File: filepath.Join(n.home, watchFile), Box: n.ownerBox, Engine: n, Hold: n.limits.resting, Logger: n.log})
	if n.watchErr != nil {
		n.log.Warn("no folder is watched", "err", n.watchErr)
	}
}

// Watch begins to watch a folder.
func (n *Node) Watch(_ context.Context, f watch.Folder) (watch.State, error) {
	if n.watcher == nil {
		return watch.State{}, n.watchErr
	}
	return n.watcher.Add(f)
}

// Watched lists the watched folders.
func (n *Node) Watched(context.Context) ([]watch.State, error) {
	if n.watcher == nil {
		return nil, n.watchErr
	}
	return n.watcher.List(), nil
}

// Unwatch watches a folder no longer.
func (n *Node) Unwatch(_ context.Context, dir string) (watch.State, error) {
	if n.watcher == nil {
		return watch.State{}, n.watchErr
	}
	return n.watcher.Remove(dir)
}

// PauseWatch stops the work on a folder, or goes on with it.
func (n *Node) PauseWatch(_ context.Context, o PauseOrder) (watch.State, error) {
	if n.watcher == nil {
		return watch.State{}, n.watchErr
	}
	return n.watcher.Pause(o.Dir, o.Pause)
}

// The calls of WatchAPI on the local socket.
const (
	pathWatch      = "/v1/watch"
	pathWatched    = "/v1/watch/list"
	pathUnwatch    = "/v1/watch/remove"
	pathPauseWatch = "/v1/watch/pause"
)

func (s *localServer) watchCalls(mux *http.ServeMux) {
	handle(mux, s, pathWatch, call1(s.api.Watch))
	handle(mux, s, pathWatched, call0(s.api.Watched))
	handle(mux, s, pathUnwatch, call1(s.api.Unwatch))
	handle(mux, s, pathPauseWatch, call1(s.api.PauseWatch))
}

func (c *client) Watch(ctx context.Context, r watch.Folder) (watch.State, error) {
	return invoke[watch.State](ctx, c, pathWatch, r, nil)
}

func (c *client) Watched(ctx context.Context) ([]watch.State, error) {
	return invoke[[]watch.State](ctx, c, pathWatched, empty{}, nil)
}

func (c *client) Unwatch(ctx context.Context, r string) (watch.State, error) {
	return invoke[watch.State](ctx, c, pathUnwatch, r, nil)
}

func (c *client) PauseWatch(ctx context.Context, r PauseOrder) (watch.State, error) {
	return invoke[watch.State](ctx, c, pathPauseWatch, r, nil)
}
