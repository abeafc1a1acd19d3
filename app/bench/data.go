// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// writeRandom writes size bytes that no compression shrinks, the same in
// every run.
func writeRandom(name string, size int64) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	src := rand.NewChaCha8([32]byte([]byte("preezm bench: one random file...")))
	if _, err := io.CopyN(w, src, size); err != nil {
		return err
	}
	return w.Flush()
}

// writeSmall writes n random files of smallSize, a hundred to a folder.
func writeSmall(ctx context.Context, root string, n int) error {
	src := rand.NewChaCha8([32]byte([]byte("preezm bench: many small files..")))
	buf := make([]byte, smallSize)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(root, fmt.Sprintf("%03d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		src.Read(buf) // never fails
		if err := os.WriteFile(filepath.Join(dir, smallName(i)), buf, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func smallName(i int) string { return fmt.Sprintf("%06d", i) }

// sameBytes compares two files; the ceiling keeps nothing but bytes.
func sameBytes(a, b string) error {
	fa, err := os.Open(a)
	if err != nil {
		return err
	}
	defer fa.Close() // only read from
	fb, err := os.Open(b)
	if err != nil {
		return err
	}
	defer fb.Close() // only read from
	ba, bb := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		na, ea := io.ReadFull(fa, ba)
		nb, eb := io.ReadFull(fb, bb)
		if !bytes.Equal(ba[:na], bb[:nb]) {
			return fmt.Errorf("%s and %s differ", a, b)
		}
		if ea != nil || eb != nil {
			if done(ea) && done(eb) {
				return nil
			}
			return errors.Join(ea, eb)
		}
	}
}

func done(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
