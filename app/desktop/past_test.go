// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
)

func TestVersions(t *testing.T) {
	n := busy()
	b := newHome(t, n)
	b.showVersions("Insurance contract.pdf")
	b.settle("the versions are shown", func() bool { return b.shows("3 versions of Insurance contract.pdf are kept") })
	b.reads("1.2 MB · present version · from study laptop")
	b.reads("changed while it was read")
	b.press("Restore") // of the second: the present one has no such button
	b.settle("it is restored", func() bool { return b.shows("1 file restored.") })
	if got := n.fakeMore.restored[0]; got.Number != 2 || got.Names[0] != "Insurance contract.pdf" {
		t.Errorf("restored %+v", got)
	}
	b.getVersion("Insurance contract.pdf", 1, "/tmp/out")
	b.settle("it is saved", func() bool { return b.transfers.running() == 0 })
	if got := n.gets[len(n.gets)-1]; got.Number != 1 || got.To != "/tmp/out" {
		t.Errorf("got %+v", got)
	}
	// Beside the present version there is a file of its name already.
	n.get = func(o engine.GetOptions) (*engine.GetReport, error) {
		if !o.Overwrite {
			return nil, engine.ErrExists
		}
		return &engine.GetReport{Files: 1, Bytes: 1_200_000}, nil
	}
	b.getVersion("Insurance contract.pdf", 1, "/tmp/in")
	b.settle("it asks", func() bool { return b.transfers.running() == 0 })
	b.press("Replace")
	b.settle("it is saved", func() bool { return b.transfers.running() == 0 && b.shows("1 file saved, 1.2 MB") })
	if got := n.gets[len(n.gets)-1]; got.Number != 1 || got.To != "/tmp/in" || !got.Overwrite {
		t.Errorf("got %+v", got)
	}
}

func TestTrash(t *testing.T) {
	n := busy()
	b := newHome(t, n)
	b.press("Trash")
	b.settle("the trash is shown", func() bool { return b.shows("1 removal can be taken back.") })
	b.reads("removed yesterday 10:00, goes for good on 12 Apr 2026")
	b.press("Restore")
	b.settle("it is back", func() bool { return b.shows("3 files restored.") })
	if !slices.Equal(n.back, []string{"t1"}) {
		t.Errorf("restored %v", n.back)
	}
	b.press("Trash")
	b.settle("the trash is shown", func() bool { return b.shows("1 removal can be taken back.") })
	b.press("Empty the trash")
	if n.emptied {
		t.Fatal("emptied without a yes")
	}
	b.press("Empty the trash")
	await(t, "it is emptied", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.emptied })
	b.press("Trash")
	b.settle("it is empty", func() bool { return b.shows("The trash is empty.") })
}

// A file opens in another program from a private folder that goes with the
// window.
func TestOpenAFile(t *testing.T) {
	n := family()
	n.get = func(o engine.GetOptions) (*engine.GetReport, error) {
		return &engine.GetReport{Files: 1}, os.WriteFile(filepath.Join(o.To, "Insurance contract.pdf"), []byte("x"), 0o600)
	}
	b := newHome(t, n)
	b.openFile("Insurance contract.pdf")
	b.settle("it is open", func() bool { return b.transfers.running() == 0 })
	b.reads("Opened")
	info, err := os.Stat(b.lent)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := b.takeBack(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.lent); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestPauseAndResume(t *testing.T) {
	n := family()
	n.put = func(ctx context.Context, _ engine.PutOptions, _ func(engine.Progress)) (*engine.PutReport, error) {
		if len(n.puts) > 1 {
			return &engine.PutReport{Files: 1, Keepers: 5}, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b := newHome(t, n)
	b.drop("/home/laptop/film.mkv")
	b.press("Pause")
	b.settle("it stands", func() bool { return b.shows("Paused. What is done stays done.") })
	b.press("Resume")
	b.settle("it is through", func() bool { return b.shows("1 file kept") })
}

func TestGrantFromTheFiles(t *testing.T) {
	b := newHome(t, lending())
	f := b.frame.files
	f.pick(3, false, false)
	b.press("Grant access…")
	b.settle("the files are known", func() bool { return len(b.frame.granting.draft.files) == 1 })
	b.reads("• Insurance contract.pdf")
	b.historyOf("Insurance contract.pdf")
	a := b.frame.pages["activity"].(*activity)
	b.settle("its history is shown", func() bool { return a.loaded && len(a.shown) == 2 })
}

// A health that takes long to find out is not asked for at every turn, unless
// a machine came or went.
func TestSlowHealthRests(t *testing.T) {
	n := family()
	b := newHome(t, n)
	asked := func() bool {
		at := b.healthAt
		b.healthIfDue()
		b.wg.Wait()
		for len(b.pump.events) > 0 {
			(<-b.pump.events)()
		}
		b.wg.Wait()
		for len(b.pump.events) > 0 {
			(<-b.pump.events)()
		}
		return b.healthAt != at
	}
	if b.healthTook = 0; !asked() {
		t.Error("a quick answer is not asked for")
	}
	if b.healthTook = time.Second; asked() {
		t.Error("a slow answer is asked for at once")
	}
	b.healthTook = time.Second
	n.mu.Lock()
	n.members[0].Online = false
	n.mu.Unlock()
	if !asked() {
		t.Error("a machine that went is not noticed")
	}
	b.healthTook, b.healthAt = time.Second, time.Now().Add(-restFactor*time.Second-time.Second)
	if n.members[0].Online = true; !asked() {
		t.Error("its turn has come and it is not asked for")
	}
}
