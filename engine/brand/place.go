// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/preezm/preezm/engine"
)

// targets gives each file a place of its own in a folder, and refuses one that
// is taken before anybody is asked: an opening counts.
func (r *Received) targets(which []int, to string) ([]string, error) {
	var out []string
	taken := map[string]bool{}
	for _, i := range which {
		name := localName(r.Names.Names[i], i)
		try := name
		// Case does not tell files apart everywhere.
		for n := 2; taken[strings.ToLower(try)]; n++ {
			try = numbered(name, n)
		}
		taken[strings.ToLower(try)] = true
		path := filepath.Join(to, try)
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%q %w: nothing was opened; choose another folder", path, engine.ErrExists)
		}
		out = append(out, path)
	}
	return out, nil
}

// numbered is the n-th name for files of one name.
func numbered(name string, n int) string {
	ext := filepath.Ext(name)
	return fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ext), n, ext)
}

// maxTries bounds how many names are tried for one file.
const maxTries = 1000

// place moves a whole file to path, or to a name beside it when somebody made
// one there meanwhile: what was opened counts and is not thrown away.
//
// Announce is called with each name before it is used, so that a crash in
// between leaves a trace of it.
func place(from, path string, announce func(at string) error) (at string, err error) {
	for n := 1; n <= maxTries; n++ {
		at = path
		if n > 1 {
			at = filepath.Join(filepath.Dir(path), numbered(filepath.Base(path), n))
		}
		if _, err := os.Lstat(at); err == nil {
			continue
		}
		if err := announce(at); err != nil {
			return "", err
		}
		// A file of our own to replace: a rename alone takes whatever is there.
		f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if err := f.Close(); err != nil {
			return "", err
		}
		if err := os.Rename(from, at); err != nil {
			return "", errors.Join(err, os.Remove(at))
		}
		return at, nil
	}
	return "", fmt.Errorf("%q %w", path, engine.ErrExists)
}

// localName makes a foreign name one of a file in a folder.
func localName(name string, i int) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if strings.Trim(clean, ". ") == "" {
		clean = fmt.Sprintf("file %d", i+1)
	}
	return clean
}
