// SPDX-License-Identifier: MPL-2.0

package helper

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
)

// maxRecord bounds a record, in bytes.
const maxRecord = 256 << 10

// ErrRecord: a record is not what Record wrote.
var ErrRecord = errors.New("the record of helpers is damaged")

// Record is what the person's other machines, and the next one after a loss, may
// know of the helpers: who they are and which have their part. No part is in it,
// nor anything that leads to one. nil: there never were any.
func (s *Service) Record() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Mine == nil {
		return nil, nil
	}
	m := *s.now.clone().Mine
	for i := range m.Helpers {
		m.Helpers[i].Problem = said.Note{} // changes with each try
	}
	return json.Marshal(m)
}

// Adopt takes the record of another machine of this person over when it is newer.
func (s *Service) Adopt(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	m, err := readRecord(raw)
	if err != nil {
		return err
	}
	return s.change(func(st *state) error {
		switch {
		case st.Mine == nil || st.Mine.Number < m.Number:
			// What this machine still had to hand out is of no use any more.
			st.Letters = slices.DeleteFunc(st.Letters, func(l letter) bool { return l.Verb == VerbKeep })
			st.Mine = &m
		case st.Mine.Number == m.Number:
			for i := range st.Mine.Helpers {
				h := &st.Mine.Helpers[i]
				j := slices.IndexFunc(m.Helpers, func(o MineHelper) bool { return o.Device == h.Device })
				if h.Kept.IsZero() && j >= 0 {
					h.Kept = m.Helpers[j].Kept
				}
			}
		}
		return nil
	})
}

// readRecord reads what Record wrote; it may come from a keeper.
func readRecord(raw []byte) (m Mine, err error) {
	if len(raw) > maxRecord {
		return m, ErrRecord
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	good := len(m.Helpers) == 0 || len(m.Helpers) >= helpers.MinHelpers && len(m.Helpers) <= helpers.MaxHelpers && m.K >= 2 && m.K <= len(m.Helpers)
	if !good || m.Number == 0 || m.Delay < 0 || m.Delay > int64(365*24*time.Hour/time.Second) {
		return m, ErrRecord
	}
	for i := range m.Helpers {
		m.Helpers[i].Name, m.Helpers[i].Problem = circle.CleanName(m.Helpers[i].Name), said.Note{}
	}
	return m, nil
}

// Handing says whether this machine still brings a helper its part.
func (s *Service) Handing(d peers.DeviceID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.now.Letters, func(l letter) bool { return l.Verb == VerbKeep && l.To == d })
}
