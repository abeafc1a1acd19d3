// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
)

// tickBox changes the check box of that name.
func (b *bench) tickBox(name string) {
	b.t.Helper()
	for _, o := range b.objects() {
		if check, ok := o.(*widget.Check); ok && check.Text == name {
			if check.Disabled() {
				b.t.Fatalf("the box %q is disabled", name)
			}
			check.SetChecked(!check.Checked)
			return
		}
	}
	b.t.Fatalf("there is no box %q; on screen: %q", name, b.text())
}

// entries are the fields on screen, from top to bottom.
func (b *bench) entries() []*widget.Entry {
	var all []*widget.Entry
	for _, o := range b.objects() {
		if e, ok := o.(*widget.Entry); ok {
			all = append(all, e)
		}
	}
	return all
}

func notified(t *testing.T, text string, do func()) {
	t.Helper()
	test.AssertNotificationSent(t, fyne.NewNotification("Preezm", text), do)
}

// await waits for what happens without an event.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// webURI is what a browser drops.
func webURI(t *testing.T) fyne.URI {
	t.Helper()
	uri, err := storage.ParseURI("https://example.org/x")
	if err != nil {
		t.Fatal(err)
	}
	return uri
}
