// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// lendFiles is how many files the brand is granted, if there are so many.
	lendFiles = 2
	// lendSize is up to which size files are preferred, in bytes: the grant is
	// short, and its end is what is shown.
	lendSize = 4_000_000
)

// paper is a file that is granted.
type paper struct {
	source string // on this disk
	kept   string // its name among what the owner keeps
	size   int64
}

func (p paper) base() string { return path.Base(p.kept) }

// pickPapers chooses the files to grant from what was put: the largest up to
// lendSize, or else the smallest; none when there is no file.
func pickPapers(ctx context.Context, source string) ([]paper, error) {
	var all []paper
	err := filepath.WalkDir(source, func(p string, e fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			return nil
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.Dir(source), p)
		if err != nil {
			return err
		}
		// A name that JSON or an argument would change is left out.
		if utf8.ValidString(rel) && !strings.HasPrefix(rel, "-") {
			all = append(all, paper{p, filepath.ToSlash(rel), fi.Size()})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b paper) int {
		small, tiny := a.size <= lendSize, b.size <= lendSize
		switch {
		case small != tiny && small:
			return -1
		case small != tiny:
			return 1
		case small:
			return cmp.Compare(b.size, a.size)
		}
		return cmp.Compare(a.size, b.size)
	})
	// Both lie in one folder once they are opened.
	var out []paper
	for _, p := range all {
		if len(out) < lendFiles && !slices.ContainsFunc(out, func(o paper) bool { return strings.EqualFold(o.base(), p.base()) }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// sameBytes compares two files by their SHA-256.
func sameBytes(a, b string) error {
	ha, err := hash(a)
	if err != nil {
		return err
	}
	hb, err := hash(b)
	if err != nil {
		return err
	}
	if ha != hb {
		return fmt.Errorf("%s and %s differ", a, b)
	}
	return nil
}

func hash(name string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close() // only read from
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
