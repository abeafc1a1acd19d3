// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/preezm/preezm/peers/account"
)

const (
	bookVersion = 1
	// maxBook bounds what is read: a full circle is well below it.
	maxBook = 16 << 20
)

// bookFile is circle.json.
type bookFile struct {
	Version int      `json:"version"`
	Peers   []Peer   `json:"peers"`
	Invites []invite `json:"invites"`
	// Accounts and Own are missing in a file of before there were any.
	Accounts []Account `json:"accounts,omitempty"`
	Own      []byte    `json:"own,omitempty"`
}

func (b *Book) load() error {
	raw, err := b.box.ReadFile(b.path, maxBook)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	in, err := decodeBook(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(b.path), err)
	}
	b.peers, b.invites, b.accounts, b.own = in.Peers, in.Invites, in.Accounts, in.Own
	for _, p := range b.peers {
		b.saved[p.Device] = p.LastSeen
	}
	return nil
}

func decodeBook(raw []byte) (bookFile, error) {
	if len(raw) > maxBook {
		return bookFile{}, fmt.Errorf("%w: too large", ErrBook)
	}
	var in bookFile
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return bookFile{}, fmt.Errorf("%w: %w", ErrBook, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bookFile{}, fmt.Errorf("%w: something follows its end", ErrBook)
	}
	if in.Version != bookVersion {
		return bookFile{}, fmt.Errorf("%w: version %d, this program reads %d", ErrBook, in.Version, bookVersion)
	}
	if len(in.Peers) > MaxPeers {
		return bookFile{}, fmt.Errorf("%w: %d peers", ErrBook, len(in.Peers))
	}
	for i, p := range in.Peers {
		clean, err := p.clean()
		if err != nil {
			return bookFile{}, fmt.Errorf("%w: %w", ErrBook, err)
		}
		in.Peers[i] = clean
	}
	for i := range in.Invites {
		n, err := hex.Decode(in.Invites[i].Hash[:], []byte(in.Invites[i].HashHex[:min(64, len(in.Invites[i].HashHex))]))
		if err != nil || n != 32 || len(in.Invites[i].HashHex) != 64 {
			return bookFile{}, fmt.Errorf("%w: bad invite", ErrBook)
		}
	}
	for i := range in.Accounts {
		if err := in.Accounts[i].load(); err != nil {
			return bookFile{}, fmt.Errorf("%w: %w", ErrBook, err)
		}
	}
	if len(in.Own) > 0 {
		if _, err := account.Parse(in.Own); err != nil {
			return bookFile{}, fmt.Errorf("%w: %w", ErrBook, err)
		}
	}
	return in, nil
}

// save replaces the file.
func (b *Book) save(ps []Peer, invites []invite) error {
	out := bookFile{Version: bookVersion, Peers: ps, Invites: make([]invite, len(invites)), Accounts: b.accounts, Own: b.own}
	if out.Peers == nil {
		out.Peers = []Peer{}
	}
	copy(out.Invites, invites)
	for i := range out.Invites {
		out.Invites[i].HashHex = hex.EncodeToString(out.Invites[i].Hash[:])
	}
	raw, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	return b.box.Replace(b.path, append(raw, '\n'))
}
