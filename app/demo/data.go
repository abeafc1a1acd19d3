// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// keepersLeave is the free space that keepers never use, in bytes.
const keepersLeave = 1 << 30

// sampleSize is the size of the generated file in bytes.
const sampleSize = 200_000_000

// source gives the absolute path to put and what it is in words.
func (d *demo) source(ctx context.Context, file string) (path, what string, err error) {
	if file != "" {
		path, err = filepath.Abs(file)
		if err != nil {
			return "", "", err
		}
		if path == filepath.Dir(path) {
			return "", "", fmt.Errorf("%s is everything there is: name a file or folder", path)
		}
		if rel, err := filepath.Rel(path, d.root); err == nil && filepath.IsLocal(rel) {
			return "", "", fmt.Errorf("%s holds the demo's own folder %s: set TMPDIR to somewhere else", path, d.root)
		}
		return path, "yours", nil
	}
	path = filepath.Join(d.root, "sample")
	if err := errors.Join(copySources(ctx, filepath.Join(path, "sources")), oddities(filepath.Join(path, "odd"))); err != nil {
		return "", "", err
	}
	if err := generate(ctx, filepath.Join(path, "generated.bin")); err != nil {
		return "", "", err
	}
	return path, "the project's sources, some odd files, and a generated one", nil
}

// checkSpace tells before anything is written that the disk is too small for
// the shards and the restored copy.
func (d *demo) checkSpace(size int64) error {
	free, ok := freeSpace(d.root)
	need := size + size*5/3 + 64<<20 + keepersLeave
	if ok && free < need {
		return fmt.Errorf("needs about %s in %s and there are %s: set TMPDIR to a larger disk", bytes(need), d.root, bytes(free))
	}
	return nil
}

// copySources copies what git tracks here, or everything that is not built or
// hidden where there is no repository.
func copySources(ctx context.Context, to string) error {
	var names []string
	out, err := exec.CommandContext(ctx, "git", "ls-files", "-z").Output()
	if err == nil && len(out) > 0 {
		names = strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	} else {
		err := filepath.WalkDir(".", func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && p != "." && (strings.HasPrefix(e.Name(), ".") || p == "bin" || p == "build") {
				return fs.SkipDir
			}
			if e.Type().IsRegular() {
				names = append(names, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, name := range names {
		err := copyFile(name, filepath.Join(to, name))
		// Deleted but still tracked, or a link: not worth a copy.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotRegular) {
			return err
		}
	}
	return nil
}

var errNotRegular = errors.New("not a regular file")

func copyFile(from, to string) error {
	fi, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return errNotRegular
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, data, fi.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, fi.ModTime())
}

// oddities makes the few files that backups like to get wrong.
func oddities(dir string) error {
	old := time.Date(1999, 12, 31, 23, 59, 59, 123456789, time.UTC)
	if err := os.MkdirAll(filepath.Join(dir, "empty folder"), 0o700); err != nil {
		return err
	}
	for name, mode := range map[string]fs.FileMode{
		"empty":                  0o644,
		"read-only":              0o444,
		"été à Ōsaka 🌻.txt":      0o640,
		strings.Repeat("l", 250): 0o600,
	} {
		p := filepath.Join(dir, name)
		var text []byte
		if name != "empty" {
			text = []byte("the name is " + name + "\n")
		}
		if err := errors.Join(os.WriteFile(p, text, 0o600), os.Chmod(p, mode), os.Chtimes(p, old, old)); err != nil {
			return err
		}
	}
	return os.Symlink("read-only", filepath.Join(dir, "link"))
}

// generate writes sampleSize bytes, by turns random (which nothing can
// shrink) and text (which shrinks well), as a person's files are. It is the
// same in every run.
func generate(ctx context.Context, name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	src := rand.NewChaCha8([32]byte([]byte("preezm demo: the generated file.")))
	w := bufio.NewWriterSize(f, 1<<20)
	for left := int64(sampleSize); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(left, 5_000_000)
		if (left/5_000_000)%2 == 0 {
			_, err = io.CopyN(w, src, n)
		} else {
			err = writeText(w, rand.New(src), n)
		}
		if err != nil {
			return err
		}
		left -= n
	}
	return w.Flush()
}

// writeText writes n bytes of lines that look like a ledger.
func writeText(w io.Writer, r *rand.Rand, n int64) error {
	words := strings.Fields("bread rent water light school shoes garden letter train coffee paint wood glass wool paper salt")
	line := make([]byte, 0, 128)
	for n > 0 {
		line = strconv.AppendInt(line[:0], 1_000_000+r.Int64N(9_000_000), 10)
		for range 4 + r.IntN(6) {
			line = append(append(line, ' '), words[r.IntN(len(words))]...)
		}
		line = append(line, '\n')
		line = line[:min(int64(len(line)), n)]
		if _, err := w.Write(line); err != nil {
			return err
		}
		n -= int64(len(line))
	}
	return nil
}
