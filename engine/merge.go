// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
)

// mergePrefix begins the names of the folders in which another machine's
// catalog lies while it is taken over.
const mergePrefix = RebuildPrefix + "merge-"

// SetTogether tells the engine which others of the owner's machines there are.
func (e *Engine) SetTogether(others []peers.DeviceID) {
	e.together.Store(len(others) > 0)
	e.cat.SetTogether(e.device, others)
}

// Merge takes over what another of the owner's machines did, up to the backup
// that w leads to, and returns the notes in that. knew is the number of this
// machine's own backup that the other one knew then. One merge at a time.
func (e *Engine) Merge(ctx context.Context, w *Way, name string, knew uint64) (out catalog.Merged, notes map[string][]byte, err error) {
	dir, err := workFolder(e.dir, mergePrefix)
	if err != nil {
		return out, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := Config{Dir: dir, Key: e.key, Secrets: e.secrets, Device: e.device, Keepers: e.keepers, Logger: e.log}
	path := filepath.Join(dir, "catalog.db")
	if notes, err = Rebuild(ctx, cfg, w, path, nil); err != nil {
		return out, nil, err
	}
	theirs, err := catalog.OpenSealed(ctx, path, e.key)
	if err != nil {
		return out, nil, err
	}
	defer func() { err = errors.Join(err, theirs.Close()) }()
	if err := e.lockPut(ctx, func() {}); err != nil {
		return out, nil, err
	}
	defer e.unlockPut()
	out, err = e.cat.Merge(ctx, catalog.MergeOrder{Theirs: theirs, Device: w.Device, Name: name, Number: w.Number, Made: w.At, Knew: knew})
	if err != nil {
		return out, nil, fmt.Errorf("take over what %s did: %w", name, err)
	}
	_, err = e.collect(ctx)
	return out, notes, err
}

// Conflicts lists the versions that two machines put under one name at once and
// that are not the shown ones.
func (e *Engine) Conflicts(ctx context.Context) ([]Conflict, error) {
	all, err := e.cat.Conflicts(ctx)
	if err != nil {
		return nil, err
	}
	out := []Conflict{}
	for i := range all {
		out = append(out, Conflict{Entry: entryOf(&all[i].Version), Version: all[i].Number, Origin: all[i].Origin})
	}
	return out, nil
}

// Conflict is a version that lies beside the shown one.
type Conflict struct {
	Entry
	Version int64          `json:"version"` // its number, for 'restore --version'
	Origin  peers.DeviceID `json:"origin"`  // the machine it was put on
}
