// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/host"
	"github.com/preezm/preezm/peers/transport"
)

func TestScheduleHoldsWhenItSays(t *testing.T) {
	l := Limits{Down: 1e6, Up: 2e5, Schedule: []string{
		"mon-fri 08:00-18:00 2M/500k", "sat,sun 10:00-10:30 -/40k", "fri 22:00-06:00 off/off", "00:00-24:00 5M/5M",
	}}
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]transport.Rates{
		"2026-11-23 08:00": {Down: 2e6, Up: 5e5}, // a Monday
		"2026-11-23 17:59": {Down: 2e6, Up: 5e5},
		"2026-11-23 18:00": {Down: 5e6, Up: 5e6},
		"2026-11-28 10:29": {Up: 4e4}, // a Saturday
		"2026-11-28 05:59": {},        // the night after Friday
		"2026-11-28 06:00": {Down: 5e6, Up: 5e6},
		"2026-11-27 21:59": {Down: 5e6, Up: 5e6},
		"2026-11-27 23:00": {},
		"2026-11-26 23:00": {Down: 5e6, Up: 5e6},
	} {
		tm, err := time.ParseInLocation("2006-01-02 15:04", at, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.rates(tm); got != want {
			t.Errorf("%s: %+v, want %+v", at, got, want)
		}
	}
	l.Schedule = nil
	if got := l.rates(time.Now()); got != (transport.Rates{Down: 1e6, Up: 2e5}) {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "08:00 2M/2M", "8-9 2M/2M", "08:00-08:00 2M/2M", "08:00-25:00 2M/2M", "xyz 08:00-09:00 2M/2M", "08:00-09:00 2M", "08:00-09:00 2M/much", "08:00-09:00 2M/1", "mon 08:00-09:00 2M/2M x"} {
		if _, err := ParseWindow(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestBackgroundRests(t *testing.T) {
	id, err := transport.CreateIdentity(t.TempDir()+"/c", t.TempDir()+"/k")
	if err != nil {
		t.Fatal(err)
	}
	x := newLimiter(nil, id.Pacer())
	power, metered := host.Battery{Known: true, Percent: 100}, false
	x.power = func() host.Battery { return power }
	x.metered = func(context.Context) (bool, bool) { return metered, true }
	rests := func(want bool) {
		t.Helper()
		x.look(t.Context(), time.Now())
		if got := x.holding(); (got != "") != want {
			t.Errorf("rests: %q, want %v", got, want)
		}
	}
	rests(false)
	power = host.Battery{Known: true, On: true, Percent: 80}
	rests(false)
	power.Percent = DefaultBattery - 1
	rests(true)
	power.On = false
	rests(false)
	metered = true
	rests(true)
	x.limits.Metered = true
	rests(false)
	power.On, x.limits.Battery = true, NeverPause
	rests(false)
	x.limits.Battery = 100
	rests(true)
}

func TestLimitsAreRemembered(t *testing.T) {
	home := t.TempDir() + "/h"
	ctx := testContext(t)
	if err := Init(home, InitOptions{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	open := func() *Node {
		n, err := Open(ctx, home, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	want := Limits{Down: 1e6, Up: 5e5, LAN: true, Battery: 60, Schedule: []string{"08:00-09:00 2M/500k"}}
	v, err := n.SetLimits(ctx, LimitsOrder{Limits: want, Offer: 12345678})
	if err != nil || !reflect.DeepEqual(v.Limits, want) || v.Offer != 12345678 {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := n.SetLimits(ctx, LimitsOrder{Limits: Limits{Down: 5}}); err == nil {
		t.Error("a limit that nothing gets through was taken")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = open()
	defer n.Close()
	if v, err = n.Limits(ctx); err != nil || !reflect.DeepEqual(v.Limits, want) || v.Offer != 12345678 {
		t.Fatalf("%+v, %v", v, err)
	}
}
