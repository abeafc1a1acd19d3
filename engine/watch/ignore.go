// SPDX-License-Identifier: MPL-2.0

package watch

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/git-pkgs/gitignore"

	"github.com/preezm/preezm/peers/said"
)

// maxIgnore bounds a file of patterns, in bytes.
const maxIgnore = 1 << 20

// rules are what is left out of a folder: patterns as git reads them.
type rules struct {
	root string
	of   []rule
}

// rule is one pattern. The matcher has a pattern for folders match all that
// lies in them, also where it takes something back; git does not. So each is
// matched by itself, without its slash, and skip looks at the folders.
type rule struct {
	m       *gitignore.Matcher
	folders bool // only those
}

// add reads patterns, one a line.
func (r *rules) add(text string) error {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		// Spaces at the end do not count, unless a backslash is before them.
		for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
			line = line[:len(line)-1]
		}
		x := rule{m: &gitignore.Matcher{}}
		line, x.folders = strings.CutSuffix(line, "/")
		x.m.AddPatterns([]byte(line), "")
		if errs := x.m.Errors(); len(errs) > 0 {
			return said.Error("pattern", "the pattern \"{pattern}\" cannot be read: {reason}", "pattern", errs[0].Pattern, "reason", errs[0].Message)
		}
		r.of = append(r.of, x)
	}
	return nil
}

// matches applies the last pattern that fits.
func (r *rules) matches(rel string, folder bool) bool {
	for i := len(r.of) - 1; i >= 0; i-- {
		if r.of[i].folders && !folder {
			continue
		}
		if got := r.of[i].m.MatchDetail(rel); got.Matched {
			return !got.Negate
		}
	}
	return false
}

// newRules reads a folder's patterns, those of its file after the others.
func newRules(f *Folder) (*rules, error) {
	r := &rules{root: f.Dir}
	if err := r.add(strings.Join(f.Ignore, "\n")); err != nil {
		return nil, err
	}
	if f.IgnoreFile != "" {
		file, err := os.Open(f.IgnoreFile)
		if err != nil {
			return nil, said.Wrap(err, "patterns", "its file of patterns: {why}")
		}
		defer file.Close()
		b, err := io.ReadAll(io.LimitReader(file, maxIgnore+1))
		if err != nil {
			return nil, said.Wrap(err, "patterns", "its file of patterns: {why}")
		}
		if len(b) > maxIgnore {
			return nil, fmt.Errorf("its file of patterns %q is longer than %d bytes", f.IgnoreFile, maxIgnore)
		}
		return r, r.add(string(b))
	}
	return r, nil
}

// skip tells whether a path in the folder is left out: it or a folder above
// it matches. As in git nothing comes back from a folder that is left out.
func (r *rules) skip(local string, folder bool) bool {
	rel, err := filepath.Rel(r.root, local)
	if err != nil || rel == "." {
		return false
	}
	rel = filepath.ToSlash(rel)
	for i, c := range rel {
		if c == '/' && r.matches(rel[:i], true) {
			return true
		}
	}
	return r.matches(rel, folder)
}
