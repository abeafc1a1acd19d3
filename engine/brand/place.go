// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
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
			return nil, said.Wrap(engine.ErrExists, "opened-there", "\"{path}\" {why}: nothing was opened; choose another folder", "path", path)
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

// maxLocal bounds a name, in bytes, with room for a number: some systems hold no
// more than 255, and a file that cannot be put into place was opened all the same.
const maxLocal = 200

// localName makes a foreign name one of a file in a folder. The person that
// granted it may mean ill: such a name hides nothing from who looks at the folder,
// is no setting that a program reads by itself, and says its ending as it is.
func localName(name string, i int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == utf8.RuneError, strings.ContainsRune(`/\:*?"<>|`, r):
			return '_'
		case r == 0x61c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '_' // they turn the direction of what follows
		}
		return r
	}, name)
	clean = strings.TrimRight(clean, ". ")
	if strings.Trim(clean, ". ") == "" {
		return fmt.Sprintf("file %d", i+1)
	}
	if clean[0] == '.' || reserved(clean) {
		clean = "_" + clean
	}
	if len(clean) <= maxLocal {
		return clean
	}
	ext := filepath.Ext(clean)
	if len(ext) > 20 {
		ext = ""
	}
	return strings.ToValidUTF8(clean[:maxLocal-len(ext)], "") + ext
}

// reserved tells whether Windows takes a name for a device.
func reserved(name string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch stem = strings.TrimRight(stem, " "); stem {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(stem) == 4 && (stem[:3] == "COM" || stem[:3] == "LPT") && stem[3] >= '0' && stem[3] <= '9'
}
