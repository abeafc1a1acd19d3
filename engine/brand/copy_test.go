// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// An office that is lost comes back elsewhere with its key and tickets. Its
// members, one of whom was shut out after the copy was made, are all shut out until
// they join again.
func TestOfficeComesBackFromACopy(t *testing.T) {
	f := newFirm(t, 3)
	good, bad := f.member(2, "desk"), f.member(3, "thief")
	r, err := f.b.Receive(t.Context(), f.grant(0, 1, 1))
	f.must(err)
	c := NewCopier(nil, f.dir)
	raw, err := c.Copy()
	f.must(err)
	f.w.Now += 3600
	if _, err := good.open().Sync(t.Context()); err != nil { // the office sees it
		t.Fatal(err)
	}
	again, err := c.Copy()
	f.must(err)
	if !bytes.Equal(raw, again) {
		t.Error("a visit of a member alone makes another copy")
	}
	_, err = f.b.Revoke(f.reg, "thief")
	f.must(err)
	if last, err := c.Copy(); err != nil || bytes.Equal(raw, last) {
		t.Errorf("who was shut out is not in the next copy: %v", err)
	}
	lost, err := f.b.revoked()
	f.must(err)

	was := f.b.org
	f.dir = filepath.Join(t.TempDir(), "brand")
	f.reg = NewRegister(nil, f.dir)
	f.w.Now += 60
	// A run that was cut off before the keys leaves no brand, and is repeated.
	f.must(os.MkdirAll(filepath.Join(f.dir, received), 0o700))
	f.must(os.WriteFile(filepath.Join(f.dir, membersFile), []byte("half"), 0o600))
	info, err := f.reg.Restore(raw, f.now())
	f.must(err)
	if info.Name != "ACME" || info.Tickets != 1 || info.Members != 2 {
		t.Errorf("%+v", info)
	}
	f.b = f.open()
	if got, err := f.b.Find(ticket.ShortID(r.Ticket.Grant.Body.ID)); err != nil || f.b.org != was || got.Names.Names[0] != "file 1.txt" {
		t.Errorf("%v, %v", got, err)
	}
	if list, err := f.b.revoked(); err != nil || list.Body.Number <= lost.Body.Number || len(list.Body.Devices) != 2 {
		t.Errorf("the list after it is not newer: %+v, %v", list, err)
	}
	for _, m := range []*machine{good, bad} {
		if _, err := m.open().Sync(t.Context()); !errors.Is(err, ErrOfficeRefused) {
			t.Errorf("a member is served without joining again: %v", err)
		}
	}
	code, _, err := f.b.Invite(f.reg, "desk", nil)
	f.must(err)
	if _, err = good.join(code); err != nil {
		t.Fatal(err)
	}
	if _, err := good.open().Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := f.reg.Restore(raw, f.now()); !errors.Is(err, ErrExists) {
		t.Errorf("over an office that is there: %v", err)
	}
}

// A member becomes the office when that is lost.
func TestMemberBecomesTheOffice(t *testing.T) {
	f := newFirm(t, 3)
	m := f.member(2, "desk")
	raw, err := NewCopier(nil, f.dir).Copy()
	f.must(err)
	if _, err := NewCopier(nil, m.dir).Copy(); !errors.Is(err, ErrNoBrand) {
		t.Errorf("a member has a copy: %v", err)
	}
	_, err = NewRegister(nil, m.dir).Restore(raw, f.now())
	f.must(err)
	if b := m.open(); !b.Office() || b.org != f.b.org {
		t.Error("it is no office")
	}
	stranger := filepath.Join(t.TempDir(), "brand")
	f.must(Create(stranger, "Other", "x"))
	if _, err := NewRegister(nil, stranger).Restore(raw, f.now()); !errors.Is(err, ErrExists) {
		t.Errorf("over another company: %v", err)
	}
}

func TestCopyFileOpensWithItsKeyOnly(t *testing.T) {
	var key, other [32]byte
	rand.Read(key[:])
	rand.Read(other[:])
	file, err := SealCopy(key, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenCopy(key, file); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := OpenCopy(other, file); !errors.Is(err, ErrCopyKey) {
		t.Errorf("with another key: %v", err)
	}
	for i := len(copyHeader); i < len(file); i++ {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		if _, err := OpenCopy(key, bad); !errors.Is(err, ErrCopyKey) {
			t.Fatalf("changed at %d: %v", i, err)
		}
	}
	for _, bad := range [][]byte{nil, file[:10], file[:len(copyHeader)+5], []byte("hello")} {
		if _, err := OpenCopy(key, bad); !errors.Is(err, ErrCopy) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzCopy: whatever a copy holds, nothing leaves the folder of the brand.
func FuzzCopy(f *testing.F) {
	f.Add([]byte(`{"format":1,"at":1,"files":[{"name":"brand.json","data":""}]}`))
	f.Add([]byte(`{"format":1,"at":1,"files":[{"name":"brand.json","data":"e30="},{"name":"received/../../x","data":""}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, k, err := readCopy(raw)
		if err != nil {
			if !errors.Is(err, ErrCopy) {
				t.Fatal(err)
			}
			return
		}
		for _, file := range in.Files {
			if !filepath.IsLocal(file.Name) || len(k.Root) != 32 {
				t.Fatalf("%q is taken", file.Name)
			}
		}
		if _, err := json.Marshal(in); err != nil {
			t.Fatal(err)
		}
	})
}

// Tickets that have no room are left out, the oldest first, and counted.
func TestCopyHasRoomForTheNewest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "brand")
	if err := Create(dir, "ACME", "office"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		path := filepath.Join(dir, received, string("abc"[i])+"0000000000000000000000000000000.ticket")
		if err := os.WriteFile(path, make([]byte, maxCopied/2), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_700_000_000+int64(i), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := NewCopier(nil, dir).Copy()
	if err != nil {
		t.Fatal(err)
	}
	info, err := LookAtCopy(raw)
	if err != nil || info.Tickets != 2 || info.Left != 1 || bytes.Contains(raw, []byte("received/a0")) {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = Open(dir, ct.Key(t), peers.DeviceID{1}, time.Now)
	if err != nil {
		t.Error(err)
	}
}
