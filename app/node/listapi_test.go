// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/preezm/preezm/engine"
)

func TestLongListsComeWhole(t *testing.T) {
	ctx := testContext(t)
	var entries []engine.Entry
	c := dialFake(t, &fakeAPI{list: func(context.Context, engine.ListOptions) ([]engine.Entry, error) { return entries, nil }})
	for _, n := range []int{0, 1, listPage, listPage + 1, 2 * listPage, 2*listPage + 7} {
		entries = make([]engine.Entry, n)
		for i := range entries {
			entries[i] = engine.Entry{Path: engine.Path(fmt.Sprint("a/", i)), Kind: engine.File, Size: int64(i)}
		}
		got, err := c.List(ctx, engine.ListOptions{})
		if err != nil || len(got) != n {
			t.Fatalf("%d entries: %d came, %v", n, len(got), err)
		}
		for i := range got {
			if got[i].Path != entries[i].Path || got[i].Size != int64(i) {
				t.Fatalf("entry %d of %d: %+v", i, n, got[i])
			}
		}
	}
}

func TestListSaysWhatWentWrong(t *testing.T) {
	c := dialFake(t, &fakeAPI{list: func(context.Context, engine.ListOptions) ([]engine.Entry, error) {
		return nil, engine.ErrNotFound
	}})
	if got, err := c.List(testContext(t), engine.ListOptions{}); !errors.Is(err, engine.ErrNotFound) || len(got) > 0 {
		t.Errorf("%d entries, %v", len(got), err)
	}
}
