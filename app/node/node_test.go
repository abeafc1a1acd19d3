// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
)

// serveHome serves a home in this process until the test ends or stop is
// called.
func serveHome(t *testing.T, home string) (n *Node, stop func()) {
	t.Helper()
	return serveHomeBy(t, home, nil)
}

// serveHomeBy does so by a clock; nil: that of the machine.
func serveHomeBy(t *testing.T, home string, clock func() time.Time) (n *Node, stop func()) {
	t.Helper()
	n, err := Open(testContext(t), home, Options{Role: RoleServe, NoDiscovery: true, Version: "test", Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	select {
	case <-n.Ready():
	case err := <-done:
		t.Fatalf("serve: %v", err)
	}
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
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(stop)
	return n, stop
}

func connect(t *testing.T, home string) API {
	t.Helper()
	api, err := Connect(testContext(t), home, Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	return api
}

func TestTwoNodes(t *testing.T) {
	ctx := testContext(t)
	laptop, desk := testHome(t, "laptop"), testHome(t, "desk")
	_, stopAnna := serveHome(t, laptop)
	host := connect(t, laptop)
	about, err := host.About(ctx)
	if err != nil || !about.Running || about.PID != os.Getpid() || about.Name != "laptop" || len(about.Addresses) == 0 {
		t.Fatalf("about %+v, %v", about, err)
	}
	inv, err := host.Invite(ctx, InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(inv.Expires); left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("good for %v", left)
	}

	guest := connect(t, desk) // opens the home itself
	if a, err := guest.About(ctx); err != nil || a.Running || a.PID != 0 {
		t.Errorf("about %+v, %v", a, err)
	}
	m, err := guest.Join(ctx, inv.Code)
	if err != nil || m.Name != "laptop" || m.Device != about.Device || !m.Keeper {
		t.Fatalf("join: %+v, %v", m, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := guest.Put(ctx, engine.PutOptions{Sources: []string{file}}, nil); err != nil {
		t.Fatal(err)
	}
	members, err := guest.Circle(ctx, true)
	if err != nil || len(members) != 1 || !members[0].Online || members[0].ForMe == 0 || members[0].Latency <= 0 || members[0].Free == 0 {
		t.Errorf("desk's circle: %+v, %v", members, err)
	}
	members, err = host.Circle(ctx, false)
	if err != nil || len(members) != 1 || members[0].Name != "desk" || members[0].ForThem == 0 || members[0].Asked {
		t.Errorf("laptop's circle: %+v, %v", members, err)
	}
	stopAnna()
	members, err = guest.Circle(ctx, true)
	if err != nil || len(members) != 1 || members[0].Online || !members[0].Asked || members[0].Why.IsZero() {
		t.Errorf("desk's circle without laptop: %+v, %v", members, err)
	}
}

func TestOneNodePerHome(t *testing.T) {
	ctx := testContext(t)
	home := testHome(t, "laptop")
	_, stop := serveHome(t, home)
	var busy *BusyError
	if _, err := Open(ctx, home, Options{Role: RoleServe}); !errors.As(err, &busy) || busy.PID != os.Getpid() {
		t.Errorf("a second node: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	if a, err := connect(t, link).About(ctx); err != nil || !a.Running {
		t.Errorf("by another path: %+v, %v", a, err)
	}
	stop()
	if _, err := Dial(ctx, home); !errors.Is(err, ErrNotServing) {
		t.Errorf("after the stop: %v", err)
	}
	// A command waits while another has the home open.
	first, err := Open(ctx, home, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		api, err := Connect(ctx, home, Options{})
		if err == nil {
			err = api.Close()
		}
		got <- err
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the second command: %v", err)
	}
}

func TestAddressesStay(t *testing.T) {
	home := testHome(t, "laptop")
	n, stop := serveHome(t, home)
	first := n.addresses()
	stop()
	n, stop = serveHome(t, home)
	if again := n.addresses(); !reflect.DeepEqual(first, again) {
		t.Errorf("then %q, now %q", first, again)
	}
	stop()
	api := connect(t, home)
	if a, err := api.About(testContext(t)); err != nil || !reflect.DeepEqual(a.Addresses, first) {
		t.Errorf("an invite made between would name %q, want %q (%v)", a.Addresses, first, err)
	}
}

func TestOptionsAreRemembered(t *testing.T) {
	home := testHome(t, "laptop")
	n, err := Open(testContext(t), home, Options{Role: RoleServe, Offer: OfferNothing, Listen: []string{"localhost:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSettings(home)
	if err != nil || s.Offer != OfferNothing || !reflect.DeepEqual(s.Listen, []string{"localhost:0"}) {
		t.Errorf("settings %+v, %v", s, err)
	}
}

// A keeper that comes back is noticed, and what it is owed is sent.
func TestDebtsArePaid(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a node's own clock")
	}
	ctx := testContext(t)
	owner := testHome(t, "owner")
	_, _ = serveHome(t, owner)
	api := connect(t, owner)
	var stops []func()
	homes := []string{testHome(t, "k1"), testHome(t, "k2"), testHome(t, "k3"), testHome(t, "k4")}
	for _, h := range homes {
		_, stop := serveHome(t, h)
		stops = append(stops, stop)
		inv, err := connect(t, h).Invite(ctx, InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := api.Join(ctx, inv.Code); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	put := func() *engine.PutReport {
		r, err := api.Put(ctx, engine.PutOptions{Sources: []string{file}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	put()
	if err := os.WriteFile(file, make([]byte, 200_001), 0o600); err != nil {
		t.Fatal(err)
	}
	stops[2]()
	if r := put(); r.Debt == 0 {
		t.Fatalf("one of four keepers is away and nothing is owed: %+v", r)
	}
	serveHome(t, homes[2])
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := api.Status(ctx, engine.StatusOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if st.Debt == 0 {
			return
		}
		<-tick.C
	}
}
