// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestDeviceKeysStay(t *testing.T) {
	dir := t.TempDir()
	made, err := OpenDevice(nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	read, err := OpenDevice(nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	if !made.Sign.Equal(read.Sign) || !bytes.Equal(made.KEM.PublicKey().Bytes(), read.KEM.PublicKey().Bytes()) {
		t.Fatal("the keys differ after reading them back")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Fatalf("%d files, want 2", len(entries))
	}
	for _, name := range []string{SignFile, KEMFile} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, fi.Mode())
		}
	}
}

func TestDeviceKeysAreNotReplaced(t *testing.T) {
	for name, text := range map[string]string{
		"empty":   "",
		"another": header + "\n" + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" + "\n",
		"short":   signHeader + "\n0001\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, SignFile)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenDevice(nil, dir); !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v, want ErrFormat", err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Fatal("the file was changed")
			}
		})
	}
}
