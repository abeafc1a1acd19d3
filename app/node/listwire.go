// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"fmt"
	"net/http"

	"github.com/preezm/preezm/engine"
)

// listPiece is how many entries of a listing go into one frame. A longer one
// is sent in pieces: as one message it would stand in memory four times over.
const listPiece = 2000

func (s *localServer) listCalls(mux *http.ServeMux) {
	serveCall(mux, s, pathList, func(ctx context.Context, o engine.ListOptions, a *answer) ([]engine.Entry, error) {
		entries, err := s.api.List(ctx, o)
		for err == nil && len(entries) > listPiece {
			var piece []byte
			if piece, err = s.codec.enc.Marshal(entries[:listPiece]); err == nil {
				_, err = frameWriter{a}.Write(piece)
			}
			entries = entries[listPiece:]
		}
		return entries, err
	})
}

func (c *client) List(ctx context.Context, o engine.ListOptions) ([]engine.Entry, error) {
	var all, rest []engine.Entry
	err := exchange(ctx, c, pathList, o, maxAnswer, &rest, func(f *frame) (bool, error) {
		if f.Result != nil || f.Error != nil {
			return true, nil
		}
		var piece []engine.Entry
		if err := c.codec.dec.Unmarshal(f.Data, &piece); err != nil {
			return false, fmt.Errorf("%w: %w", ErrOtherVersion, err)
		}
		all = append(all, piece...)
		return false, nil
	})
	if err != nil || all == nil {
		return rest, err
	}
	return append(all, rest...), nil
}
