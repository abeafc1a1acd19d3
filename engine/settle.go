// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/catalog"
)

// Settling says what becomes of a name that two machines put at once. What is
// not shown from now on stays in the history.
type Settling struct {
	Path   Path     `json:"path"`
	Show   int64    `json:"show"` // the number of the version to show
	Beside []Beside `json:"beside,omitempty"`
}

// Beside is a version that gets a name of its own.
type Beside struct {
	Number int64 `json:"version"`
	As     Path  `json:"as"` // must not exist
}

// Settle decides about a name that two machines put at once.
func (e *Engine) Settle(ctx context.Context, o Settling) error {
	if err := checkPath(o.Path); err != nil {
		return err
	}
	now := e.now().UnixNano()
	var all []*catalog.Version
	add := func(number int64, as Path) error {
		v, err := e.cat.Numbered(ctx, string(o.Path), number)
		if err != nil {
			return fmt.Errorf("%q, version %d: %w", o.Path, number, err)
		}
		if v.Kind == catalog.Folder {
			return errFolderNumber
		}
		v.Path, v.GID, v.Kept, v.Origin, v.Source = string(as), [16]byte{}, now, e.device, catalog.Source{}
		all = append(all, &v)
		return nil
	}
	for _, b := range o.Beside {
		if err := checkPath(b.As); err != nil {
			return err
		}
		if _, err := e.cat.Version(ctx, string(b.As)); err == nil {
			return fmt.Errorf("%q: %w", b.As, ErrExists)
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := add(b.Number, b.As); err != nil {
			return err
		}
	}
	if err := add(o.Show, o.Path); err != nil {
		return err
	}
	return e.cat.Settle(ctx, string(o.Path), all)
}
