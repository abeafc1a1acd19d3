// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/node"
)

// TestMailWaits sends messages to a machine that is off, and has it read them
// with the sender off. On the two keepers a long one looks like a short one.
func TestMailWaits(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	dir := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	binary := os.Getenv("PREEZM_BIN")
	if binary == "" {
		var err error
		binary, err = Build(t.Context(), dir)
		check(err)
	}
	var homes []*Home
	for _, name := range []string{"sender", "recipient", "one", "two"} {
		h := &Home{Binary: binary, Dir: filepath.Join(dir, name)}
		t.Cleanup(func() {
			if err := h.Kill(); err != nil {
				t.Error(err)
			}
		})
		check(h.Init(t.Context(), name, "1GB"))
		check(h.Start(t.Context()))
		for _, o := range homes {
			check(Pair(t.Context(), o, h))
		}
		homes = append(homes, h)
	}
	sender, recipient := homes[0], homes[1]
	check(recipient.Stop(t.Context()))
	texts := []string{strings.Repeat("short ", 50), strings.Repeat("long long ", 200)}
	for _, text := range texts {
		var s node.NoticeSent
		check(sender.Must(t.Context(), &s, "mail", "send", "recipient", text))
		if s.Delivered || s.Keepers != 2 {
			t.Fatalf("%+v", s)
		}
	}
	for _, k := range homes[2:] {
		files, err := filepath.Glob(filepath.Join(k.Dir, "mail", "held", "*"))
		check(err)
		sizes := map[int]bool{}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			check(err)
			if strings.Contains(string(raw), "short") || strings.Contains(string(raw), "long") {
				t.Error("a keeper can read it")
			}
			sizes[len(raw)] = true
		}
		if len(files) != 2 || len(sizes) != 1 {
			t.Errorf("%d messages of sizes %v", len(files), sizes)
		}
	}
	check(sender.Kill())
	started := time.Now()
	check(recipient.Start(t.Context()))
	var m node.Mail
	for len(m.Notices) < 2 {
		if time.Since(started) > 60*time.Second {
			t.Fatal("not read within a minute")
		}
		m = node.Mail{}
		check(recipient.Must(t.Context(), &m, "mail"))
	}
	t.Logf("read %s after the start", time.Since(started).Round(time.Millisecond))
	got := m.Notices[0].Text + m.Notices[1].Text
	if len(got) != len(strings.TrimSpace(texts[0]))+len(strings.TrimSpace(texts[1])) || m.Notices[0].Name != "sender" {
		t.Errorf("%+v", m.Notices)
	}
}
