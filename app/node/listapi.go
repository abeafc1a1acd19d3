// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"fmt"
	"net/http"

	"github.com/preezm/preezm/engine"
)

// ListAPI is the part of API that lists without holding the whole list.
type ListAPI interface {
	// ListPages is List page by page, for whoever keeps less of an entry than
	// there is in it. A page is only good until the function returns; its
	// error ends the listing.
	ListPages(ctx context.Context, o engine.ListOptions, page func([]engine.Entry) error) error
}

// listPage is how many entries are on a page. As one message a long listing
// would stand in memory four times over.
const listPage = 1000

// ListPages lists page by page.
func (n *Node) ListPages(ctx context.Context, o engine.ListOptions, page func([]engine.Entry) error) error {
	entries := make([]engine.Entry, 0, listPage)
	err := n.engine.ListEach(ctx, o, func(e *engine.Entry) error {
		entries = append(entries, *e)
		if len(entries) < listPage {
			return nil
		}
		err := page(entries)
		entries = entries[:0]
		return err
	})
	if err == nil && len(entries) > 0 {
		err = page(entries)
	}
	return err
}

func (s *localServer) listCalls(mux *http.ServeMux) {
	serveCall(mux, s, pathList, func(ctx context.Context, o engine.ListOptions, a *answer) (empty, error) {
		return empty{}, s.api.ListPages(ctx, o, func(page []engine.Entry) error {
			raw, err := a.codec.enc.Marshal(page)
			if err == nil {
				_, err = frameWriter{a}.Write(raw)
			}
			return err
		})
	})
}

func (c *client) ListPages(ctx context.Context, o engine.ListOptions, page func([]engine.Entry) error) error {
	return exchange(ctx, c, pathList, o, maxAnswer, &empty{}, func(f *frame) (bool, error) {
		if f.Result != nil || f.Error != nil {
			return true, nil
		}
		var entries []engine.Entry
		if err := c.codec.dec.Unmarshal(f.Data, &entries); err != nil {
			return false, fmt.Errorf("%w: %w", ErrOtherVersion, err)
		}
		return false, page(entries)
	})
}

func (c *client) List(ctx context.Context, o engine.ListOptions) ([]engine.Entry, error) {
	all := []engine.Entry{}
	err := c.ListPages(ctx, o, func(page []engine.Entry) error {
		all = append(all, page...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
