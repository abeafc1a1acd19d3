// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/preezm/preezm/engine"
)

// Goroutines that packages start when they are loaded are nobody's to end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// testTime bounds what a test waits for; nothing takes that long.
const testTime = 2 * time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	return ctx
}

// fakeAPI answers with what a test puts in; the other calls panic.
type fakeAPI struct {
	API
	about  func(context.Context) (About, error)
	join   func(context.Context, string) (Member, error)
	circle func(context.Context, bool) ([]Member, error)
	put    func(context.Context, engine.PutOptions, func(engine.Progress)) (*engine.PutReport, error)
	list   func(context.Context, engine.ListOptions) ([]engine.Entry, error)
	remove func(context.Context, []engine.Path) (*engine.RemoveReport, error)
}

func (f *fakeAPI) About(ctx context.Context) (About, error) {
	if f.about == nil {
		return About{Name: "fake"}, nil
	}
	return f.about(ctx)
}
func (f *fakeAPI) Join(ctx context.Context, code string) (Member, error) { return f.join(ctx, code) }
func (f *fakeAPI) Circle(ctx context.Context, probe bool) ([]Member, error) {
	return f.circle(ctx, probe)
}
func (f *fakeAPI) Put(ctx context.Context, o engine.PutOptions, p func(engine.Progress)) (*engine.PutReport, error) {
	return f.put(ctx, o, p)
}
func (f *fakeAPI) List(ctx context.Context, o engine.ListOptions) ([]engine.Entry, error) {
	return f.list(ctx, o)
}
func (f *fakeAPI) ListPages(ctx context.Context, o engine.ListOptions, page func([]engine.Entry) error) error {
	list, err := f.list(ctx, o)
	for i := 0; i < len(list) && err == nil; i++ {
		err = page(list[i : i+1])
	}
	return err
}
func (f *fakeAPI) Remove(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error) {
	return f.remove(ctx, names)
}

// serveFake answers for api on a socket until the test ends, or stop is
// called, which waits for the server.
func serveFake(t *testing.T, api API) (socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newLocalServer(api, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return socket, stop
}

func dialFake(t *testing.T, api API) *client {
	t.Helper()
	socket, _ := serveFake(t, api)
	c, err := dialSocket(testContext(t), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
