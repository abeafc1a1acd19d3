// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

const (
	// maxCopied bounds the tickets and records in a copy, in bytes; MaxCopy is
	// what a copy may come to.
	maxCopied = 16 << 20
	MaxCopy   = 40 << 20
	copyForm  = 1
)

var (
	// ErrCopy: a text is no copy of an organisation, or was damaged.
	ErrCopy = said.Error("company-copy", "is no copy of a company, or was damaged")

	// copied are the files that a copy may hold beside the keys, the register
	// and the list of those shut out. What is under way when it is made is not
	// in it: one-time keys have no business elsewhere.
	copied = regexp.MustCompile(`^(received/[0-9a-f]{32}\.ticket|requests/[0-9a-f]{32}\.(request|consent|refusal|countersigned))$`)
)

// backup is all that an office needs to go on elsewhere.
type backup struct {
	Format int          `json:"format"`
	At     int64        `json:"at"` // of the newest change in it, Unix seconds
	Left   int          `json:"left,omitempty"`
	Files  []copiedFile `json:"files"` // by name; brand.json first
}

type copiedFile struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// Copier makes copies of the office in a folder, anew only when it changed. It is
// not safe for concurrent use.
type Copier struct {
	box  *vault.Box
	dir  string
	seen string // how the files looked
	last []byte
}

// NewCopier prepares copies of a brand's folder.
func NewCopier(box *vault.Box, dir string) *Copier { return &Copier{box: box, dir: dir} }

// Copy is all that an office needs to go on elsewhere: keys, members, tickets,
// requests; when there are too many of those, the newest. The same state gives the
// same bytes. ErrNoBrand when there is no office here.
func (c *Copier) Copy() ([]byte, error) {
	names, seen, err := c.look()
	if err != nil {
		return nil, err
	}
	if c.last != nil && seen == c.seen {
		return c.last, nil
	}
	keys, err := c.box.ReadFile(filepath.Join(c.dir, keyFile), maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoBrand
	}
	if err != nil {
		return nil, err
	}
	out := backup{Format: copyForm, Files: []copiedFile{{keyFile, keys}}}
	for _, name := range []string{keyFile, listFile} {
		out.touched(filepath.Join(c.dir, name))
	}
	if err := c.addRegister(&out); err != nil {
		return nil, err
	}
	if raw, err := c.box.ReadFile(filepath.Join(c.dir, listFile), maxKeyFile); err == nil {
		out.Files = append(out.Files, copiedFile{listFile, raw})
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	size := 0
	first := len(out.Files)
	for _, name := range names {
		path := filepath.Join(c.dir, filepath.FromSlash(name))
		raw, err := c.box.ReadFile(path, maxTicket)
		if err != nil || size+len(raw) > maxCopied {
			out.Left++ // one that cannot be read is not worth more than all others
			continue
		}
		size += len(raw)
		out.Files = append(out.Files, copiedFile{name, raw})
		out.touched(path)
	}
	slices.SortFunc(out.Files[first:], func(a, b copiedFile) int { return strings.Compare(a.Name, b.Name) })
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	c.seen, c.last = seen, raw
	return raw, nil
}

// Look says how the files look that a copy is made of, and reads none of them.
// ErrNoBrand when there is no office here.
func (c *Copier) Look() (string, error) {
	_, seen, err := c.look()
	return seen, err
}

// look lists the tickets and records, the newest first, and says how everything
// looks.
func (c *Copier) look() (names []string, seen string, err error) {
	var b strings.Builder
	at := map[string]time.Time{}
	note := func(name string, fi fs.FileInfo) {
		fmt.Fprintf(&b, "%q %d %d\n", name, fi.Size(), fi.ModTime().UnixNano())
	}
	for _, name := range []string{keyFile, membersFile, listFile} {
		if fi, err := os.Stat(filepath.Join(c.dir, name)); err == nil {
			note(name, fi)
		} else if name == keyFile {
			if errors.Is(err, fs.ErrNotExist) {
				err = ErrNoBrand
			}
			return nil, "", err
		}
	}
	for _, folder := range []string{received, requestsFolder} {
		entries, err := os.ReadDir(filepath.Join(c.dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
		for _, e := range entries {
			name := folder + "/" + e.Name()
			fi, err := e.Info()
			if err != nil || !copied.MatchString(name) {
				continue // it went away meanwhile
			}
			note(name, fi)
			at[name] = fi.ModTime()
			names = append(names, name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return at[b].Compare(at[a]) })
	return names, b.String(), nil
}

// touched counts a file's time in.
func (b *backup) touched(path string) {
	if fi, err := os.Stat(path); err == nil {
		b.At = max(b.At, fi.ModTime().Unix())
	}
}

// addRegister adds the members, without what changes with each visit.
func (c *Copier) addRegister(out *backup) error {
	r := NewRegister(c.box, c.dir)
	if err := r.load(); err != nil {
		return err
	}
	if len(r.now.Members) == 0 {
		return nil
	}
	lean := register{Format: 1, Members: slices.Clone(r.now.Members), Invites: []invite{}}
	for i := range lean.Members {
		m := &lean.Members[i]
		m.Seen = m.Joined
		out.At = max(out.At, m.Joined, m.Revoked)
	}
	raw, err := json.MarshalIndent(lean, "", "  ")
	out.Files = append(out.Files, copiedFile{membersFile, raw})
	return err
}

// readCopy reads what Copy wrote; it may come from anywhere.
func readCopy(raw []byte) (*backup, *keys, error) {
	var in backup
	if len(raw) > MaxCopy || json.Unmarshal(raw, &in) != nil || in.Format != copyForm || in.At < 0 || len(in.Files) == 0 || in.Files[0].Name != keyFile {
		return nil, nil, fmt.Errorf("this %w", ErrCopy)
	}
	for i, f := range in.Files {
		known := f.Name == membersFile || f.Name == listFile || copied.MatchString(f.Name)
		if i > 0 && !known || slices.ContainsFunc(in.Files[:i], func(o copiedFile) bool { return o.Name == f.Name }) {
			return nil, nil, fmt.Errorf("this %w (%q)", ErrCopy, f.Name)
		}
	}
	var k keys
	if err := json.Unmarshal(in.Files[0].Data, &k); err != nil || k.Format != 1 || len(k.Root) != ed25519.SeedSize {
		return nil, nil, fmt.Errorf("this %w (its keys)", ErrCopy)
	}
	return &in, &k, nil
}

// CopyInfo says what a copy holds.
type CopyInfo struct {
	Name    string `json:"name"`
	Key     string `json:"key"`
	At      int64  `json:"at"` // of the newest change in it, Unix seconds
	Tickets int    `json:"tickets"`
	Members int    `json:"members"` // machines that have to join again
	Left    int    `json:"left"`    // tickets and requests that had no room in it
}

// LookAtCopy says what a copy holds.
func LookAtCopy(raw []byte) (CopyInfo, error) {
	in, k, err := readCopy(raw)
	if err != nil {
		return CopyInfo{}, err
	}
	out := CopyInfo{Name: k.Name, Key: custody.KeyOf(ed25519.NewKeyFromSeed(k.Root)).String(), At: in.At, Left: in.Left}
	for _, f := range in.Files {
		if strings.HasPrefix(f.Name, received+"/") {
			out.Tickets++
		}
		var r register
		if f.Name == membersFile && json.Unmarshal(f.Data, &r) == nil {
			for _, m := range r.Members {
				if m.Revoked == 0 {
					out.Members++
				}
			}
		}
	}
	return out, nil
}

// Restore makes this home the office that a copy was made of. Who was shut out
// after that is not in the copy: so all members are shut out, under a list newer
// than any before, and each joins again with a code. It can be cut off and
// repeated; the keys come last. A home that holds other keys is ErrExists, and so is
// a member of another organisation.
func (r *Register) Restore(raw []byte, now time.Time) (CopyInfo, error) {
	info, err := LookAtCopy(raw)
	if err != nil {
		return info, err
	}
	in, k, err := readCopy(raw)
	if err != nil {
		return info, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &Brand{box: r.box, dir: r.dir, Name: k.Name, Label: k.Label, root: ed25519.NewKeyFromSeed(k.Root), now: func() time.Time { return now }}
	b.org = custody.KeyOf(b.root)
	old, err := OpenIn(r.box, r.dir, nil, b.device, b.now)
	switch {
	case errors.Is(err, ErrNoBrand):
	case err != nil:
		return info, err
	case old.Office() || old.org != b.org:
		return info, ErrExists
	}
	reg := register{Format: 1, Members: []Member{}, Invites: []invite{}}
	for _, folder := range []string{received, requestsFolder} {
		if err := os.MkdirAll(filepath.Join(r.dir, folder), 0o700); err != nil {
			return info, err
		}
	}
	for _, f := range in.Files[1:] {
		if f.Name == membersFile {
			if err := json.Unmarshal(f.Data, &reg); err != nil || reg.Format != 1 || len(reg.Members) > maxMembers {
				return info, fmt.Errorf("this %w (its members)", ErrCopy)
			}
			continue
		}
		if f.Name == listFile {
			if _, err := custody.CheckMemberRevocations(f.Data, b.org); err != nil {
				return info, fmt.Errorf("this %w (the list of those shut out)", ErrCopy)
			}
		}
		if err := r.box.Replace(filepath.Join(r.dir, filepath.FromSlash(f.Name)), f.Data); err != nil {
			return info, err
		}
	}
	reg.Invites = []invite{}
	for i := range reg.Members {
		if m := &reg.Members[i]; m.Revoked == 0 {
			m.Revoked = now.Unix()
		}
	}
	if err := r.shutOut(b, &reg); err != nil {
		return info, err
	}
	if err := r.box.WriteNew(filepath.Join(r.dir, keyFile), in.Files[0].Data); err != nil {
		return info, err
	}
	r.now = nil
	// It may have been a member; the office comes first wherever both are there.
	for _, name := range []string{memberFile, certFile} {
		if err := os.Remove(filepath.Join(r.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return info, err
		}
	}
	return info, nil
}

// shutOut writes a register whose members are all shut out, and the list.
func (r *Register) shutOut(b *Brand, reg *register) error {
	raw, err := json.MarshalIndent(reg, "", "  ")
	if err != nil {
		return err
	}
	if err := r.box.Replace(filepath.Join(r.dir, membersFile), raw); err != nil || len(reg.Members) == 0 {
		return err
	}
	// The office refuses all of them; where a list has no room for all, it
	// names those whose certificates last longest.
	slices.SortStableFunc(reg.Members, func(a, b Member) int { return int(min(max(b.Until-a.Until, -1), 1)) })
	named := register{Members: reg.Members[:min(len(reg.Members), custody.MaxRevokedMembers)]}
	return b.writeList(&named)
}
