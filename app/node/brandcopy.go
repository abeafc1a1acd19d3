// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/vault"
)

// brandCopyFile is the copy of a company whose office is, or was, another
// machine of this person.
const brandCopyFile = "brand.copy"

// BrandCopyAPI is the part of API about a company whose machine may be lost.
type BrandCopyAPI interface {
	// SaveBrand writes a copy of the company of this home to a new file. It
	// opens with the owner's 24 words only.
	SaveBrand(ctx context.Context, to string) (BrandSaved, error)
	// RestoreBrand makes this home the office of a company that was lost.
	RestoreBrand(ctx context.Context, o BrandRestore) (BrandSaved, error)
}

// BrandRestore says which copy: of a file, or with none named the one that this
// person's machines keep for each other. Words open a copy of another person's.
type BrandRestore struct {
	From  string   `json:"from"`
	Words []string `json:"words,omitempty"`
}

// BrandSaved tells what a copy holds.
type BrandSaved struct {
	brand.CopyInfo
	File string    `json:"file,omitempty"`
	Made time.Time `json:"made"` // as of when it is
}

const (
	pathSaveBrand    = "/v1/brand/save"
	pathRestoreBrand = "/v1/brand/restore"
)

// brandCopies makes and keeps the copy of a company.
type brandCopies struct {
	mu   sync.Mutex
	made *brand.Copier
}

// brandCopy is the copy that goes into this machine's backups: of the office that
// is here, else that of another machine. nil: there is none.
func (n *Node) brandCopy() ([]byte, error) {
	n.copies.mu.Lock()
	defer n.copies.mu.Unlock()
	raw, err := n.copier().Copy()
	if !errors.Is(err, brand.ErrNoBrand) {
		return raw, err
	}
	return readBrandCopy(n.ownerBox, n.home)
}

// copier is the one that remembers what it made; the caller holds copies.mu.
func (n *Node) copier() *brand.Copier {
	if n.copies.made == nil {
		n.copies.made = brand.NewCopier(n.ownerBox, filepath.Join(n.home, brandFolder))
	}
	return n.copies.made
}

// brandLook says how the files look from which brandCopy would be made, and reads
// none of them: tickets are large.
func (n *Node) brandLook() (string, error) {
	n.copies.mu.Lock()
	defer n.copies.mu.Unlock()
	seen, err := n.copier().Look()
	if !errors.Is(err, brand.ErrNoBrand) {
		return seen, err
	}
	fi, err := os.Stat(filepath.Join(n.home, brandCopyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d", fi.Size(), fi.ModTime().UnixNano()), nil
}

func readBrandCopy(box *vault.Box, home string) ([]byte, error) {
	raw, err := box.ReadFile(filepath.Join(home, brandCopyFile), brand.MaxCopy)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// keepCopy keeps what another machine noted of its company.
func (n *Node) keepCopy(raw []byte) error {
	n.copies.mu.Lock()
	defer n.copies.mu.Unlock()
	return keepBrandCopy(n.ownerBox, n.home, raw)
}

// keepBrandCopy keeps the copy that came with another machine's backup, if it is
// newer than the one here.
func keepBrandCopy(box *vault.Box, home string, raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	next, err := brand.LookAtCopy(raw)
	if err != nil {
		return err
	}
	if had, err := readBrandCopy(box, home); err == nil && len(had) > 0 {
		if old, err := brand.LookAtCopy(had); err == nil && old.At >= next.At {
			return nil
		}
	}
	return box.Replace(filepath.Join(home, brandCopyFile), raw)
}

// SaveBrand is part of BrandCopyAPI.
func (n *Node) SaveBrand(_ context.Context, to string) (BrandSaved, error) {
	if !filepath.IsAbs(to) {
		return BrandSaved{}, fmt.Errorf("%w: %q is not an absolute path", ErrBadRequest, to)
	}
	b, err := n.openBrand()
	if err != nil {
		return BrandSaved{}, err
	}
	office := b.Office()
	b.Close()
	if !office {
		return BrandSaved{}, brand.ErrNotOffice
	}
	n.copies.mu.Lock()
	raw, err := brand.NewCopier(n.ownerBox, filepath.Join(n.home, brandFolder)).Copy()
	n.copies.mu.Unlock()
	if err != nil {
		return BrandSaved{}, err
	}
	info, err := brand.LookAtCopy(raw)
	if err != nil {
		return BrandSaved{}, err
	}
	n.ownerMu.Lock()
	s := n.owner.Secrets()
	n.ownerMu.Unlock()
	sealed, err := brand.SealCopy(s.Copies, raw)
	if err != nil {
		return BrandSaved{}, err
	}
	if err := durable.WriteNew(to, sealed, 0o600); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s is there already: name a new file", to)
		}
		return BrandSaved{}, err
	}
	return BrandSaved{CopyInfo: info, File: to, Made: time.Unix(info.At, 0)}, nil
}

// RestoreBrand is part of BrandCopyAPI.
func (n *Node) RestoreBrand(_ context.Context, o BrandRestore) (BrandSaved, error) {
	n.ownerMu.Lock()
	s := n.owner.Secrets()
	n.ownerMu.Unlock()
	if len(o.Words) > 0 {
		master, _, err := identity.MasterOf(o.Words)
		if err != nil {
			return BrandSaved{}, err
		}
		s = identity.FromMaster(master)
	}
	// Before anybody is asked for words.
	if b, err := n.openBrand(); err == nil {
		b.Close()
		if b.Office() {
			return BrandSaved{}, brand.ErrExists
		}
	} else if !errors.Is(err, brand.ErrNoBrand) {
		return BrandSaved{}, err
	}
	var raw []byte
	var err error
	if o.From == "" {
		if raw, err = readBrandCopy(n.ownerBox, n.home); err == nil && len(raw) == 0 {
			err = errors.New("no machine of yours left a copy of a company here: name the file that 'preezm brand save' wrote")
		}
	} else {
		raw, err = openBrandFile(s.Copies, o.From)
	}
	if err != nil {
		return BrandSaved{}, err
	}
	info, err := n.company.members.Restore(raw, n.now())
	if err != nil {
		return BrandSaved{}, err
	}
	return BrandSaved{CopyInfo: info, File: o.From, Made: time.Unix(info.At, 0)}, nil
}

func openBrandFile(key [32]byte, path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%w: %q is not an absolute path", ErrBadRequest, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, int64(brand.MaxCopyFile)+1))
	if err != nil {
		return nil, err
	}
	return brand.OpenCopy(key, raw)
}

func (s *localServer) brandCopyCalls(mux *http.ServeMux) {
	handle(mux, s, pathSaveBrand, call1(s.api.SaveBrand))
	handle(mux, s, pathRestoreBrand, call1(s.api.RestoreBrand))
}

func (c *client) SaveBrand(ctx context.Context, to string) (BrandSaved, error) {
	return invoke[BrandSaved](ctx, c, pathSaveBrand, to, nil)
}

func (c *client) RestoreBrand(ctx context.Context, o BrandRestore) (BrandSaved, error) {
	return invoke[BrandSaved](ctx, c, pathRestoreBrand, o, nil)
}
