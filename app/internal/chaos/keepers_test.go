// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/engine"
)

// background runs an owner's command beside the test.
func (r *rig) background(args ...string) <-chan e2e.Result {
	done := make(chan e2e.Result, 1)
	ctx, cancel := context.WithTimeout(r.ctx, commandTime)
	go func() {
		defer cancel()
		res, err := r.Owner.Run(ctx, args...)
		if err != nil || ctx.Err() != nil {
			res.Code = -1
			res.Stderr = append(res.Stderr, fmt.Sprint(" (hangs or did not start: ", err, ")")...)
		}
		done <- res
	}()
	return done
}

// after lets d pass, unless the test ends; it is when a fault strikes, never
// what a check waits for.
func (r *rig) after(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

// TestKeepersKilledDuringPut kills keepers while a put runs and restarts them
// on their homes. The put goes on, or says who is missing and a repeated one
// goes on.
func TestKeepersKilledDuringPut(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	src := filepath.Join(r.dir, "src")
	for round := range 3 * long() {
		for i := range 4 {
			r.write(filepath.Join(src, fmt.Sprintf("f%d", i)), 16<<20)
		}
		put := r.background("put", src)
		victims := r.rng.Perm(5)[:1+r.rng.IntN(4)]
		r.after(time.Duration(40+r.rng.IntN(300)) * time.Millisecond)
		for _, v := range victims {
			r.check(r.Keepers[v].Kill())
		}
		r.after(time.Duration(r.rng.IntN(2500)) * time.Millisecond)
		for _, v := range victims {
			r.check(r.Keepers[v].Start(r.ctx))
		}
		res := <-put
		r.Logf("round %d: killed %v: exit status %d", round, victims, res.Code)
		switch res.Code {
		case 0:
		case 1:
			if !bytes.Contains(res.Stderr, []byte("keeper")) {
				r.Errorf("the put does not name a keeper: %s", res.Stderr)
			}
		default:
			r.Fatalf("exit status %d: %s", res.Code, res.Stderr)
		}
		r.must(nil, "put", src)
		to := filepath.Join(r.dir, fmt.Sprint("back", round))
		r.must(nil, "get", "src", "--to", to)
		r.same(src, filepath.Join(to, "src"))
	}
	r.settle()
	var v engine.VerifyReport
	r.must(&v, "verify")
	if v.Good != v.Shards {
		r.Errorf("after repair %d of %d shards are good: %+v", v.Good, v.Shards, v.Blamed)
	}
}

// TestServingOwnerKilled kills the process that serves the owner's home under
// commands that use it: they end at once and say so, and nothing is lost.
func TestServingOwnerKilled(t *testing.T) {
	r := newRig(t, 3, "4GB", nil)
	src := filepath.Join(r.dir, "src")
	for round := range 3 * long() {
		for i := range 6 {
			r.write(filepath.Join(src, fmt.Sprintf("f%d", i)), 8<<20)
		}
		r.check(r.Owner.Start(r.ctx))
		put := r.background("put", src)
		r.after(time.Duration(15+r.rng.IntN(200)) * time.Millisecond)
		r.check(r.Owner.Kill())
		killed := time.Now()
		res := <-put
		r.Logf("round %d: exit status %d: %s", round, res.Code, res.Stderr)
		if took := time.Since(killed); res.Code < 0 || res.Code > 1 || took > 30*time.Second {
			r.Errorf("exit status %d, %v after the node was killed", res.Code, took)
		}
		if res.Code == 1 && len(strings.TrimSpace(string(res.Stderr))) == 0 {
			r.Error("the command fails without a word")
		}
		r.must(nil, "put", src)
		to := filepath.Join(r.dir, fmt.Sprint("back", round))
		r.must(nil, "get", "src", "--to", to)
		r.same(src, filepath.Join(to, "src"))
	}
	r.settle()
}
