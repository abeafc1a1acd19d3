// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

// TestMachineGone destroys the owner's machine for good, process and home, at a
// random moment while pieces are moved or recoded since keepers came, or one
// leaves or is lost, or soon after. With the words and a keeper a new machine must
// bring back, bit by bit, whatever was acknowledged and in a copy of the catalog,
// and make everything whole again.
func TestMachineGone(t *testing.T) {
	r := newRig(t, 3, "4GB", nil)
	o := &owner{rig: r, src: filepath.Join(r.dir, "src", "tree"), kept: model{}}
	for i := range 30 {
		r.write(filepath.Join(o.src, fmt.Sprintf("d%d/s%d", i%5, i)), r.rng.IntN(9000))
	}
	for i := range 3 {
		r.write(filepath.Join(o.src, fmt.Sprintf("big%d", i)), 4<<20+r.rng.IntN(4<<20))
	}
	words := r.words()
	joined := len(r.Keepers)
	for o.round = range 2 * long() {
		if o.round > 0 {
			o.change()
		}
		o.put(commandTime)
		r.copied()
		// Drawn before anything depends on time.
		what, at := r.rng.IntN(3), r.rng.IntN(len(r.Keepers))
		puts, ends, wait := r.rng.IntN(2) == 0, r.rng.IntN(2) == 0, time.Duration(r.rng.IntN(3000))*time.Millisecond
		had := r.Keepers
		switch n := len(had); {
		case n < 4:
			what = 0
		case n > 6:
			what = 1 + what%2
		}
		k := had[at]
		rest := append(had[:at:at], had[at+1:]...)
		deed := []string{"repair"}
		switch what {
		case 0: // 2 of 3 become 3 of 5, and those 5 of 7
			rest = had // who comes now may have no copy yet
			for range 2 {
				joined++
				r.join(fmt.Sprintf("keeper%d", joined))
			}
		case 1:
			deed = []string{"circle", "remove", k.About().Name}
		case 2:
			deed = []string{"circle", "remove", "--gone", k.About().Name}
			r.check(k.Kill())
			r.check(os.RemoveAll(k.Dir))
		}
		other := rest[r.rng.IntN(len(rest))]
		away := r.rng.IntN(2) == 0 && len(rest) > 3
		if away { // what it has is older then
			r.check(other.Kill())
		}
		r.check(r.Owner.Start(r.ctx))
		done := []<-chan e2e.Result{r.background(deed...)}
		if puts { // not in a copy for sure: old or new
			o.change()
			for name, d := range r.digests(o.src) {
				o.kept.may(filepath.Join("tree", name), d)
			}
			done = append(done, r.background("put", o.src))
		}
		if ends {
			<-done[0]
			done = done[1:]
		}
		r.after(wait)
		r.check(r.Owner.Kill())
		for _, d := range done {
			<-d
		}
		r.check(os.RemoveAll(r.Owner.Dir))
		r.Logf("round %d: %v with %d keepers, %s away %v, a put beside it %v, came to its end %v: machine gone after %v",
			o.round, deed, len(r.Keepers), other.About().Name, away, puts, ends, wait)
		if away {
			r.check(other.Start(r.ctx))
		}
		r.recover(words, fmt.Sprint("owner", o.round), rest[r.rng.IntN(len(rest))])
		o.look()
		o.goOn(k, deed)
		if what > 0 {
			r.Keepers = rest
		}
		o.put(commandTime)
		o.look()
	}
}

// words writes the owner's words into a file.
func (r *rig) words() string {
	r.Helper()
	key, err := identity.ReadOwner(vaulttest.Boxes(r, r.Owner.Dir)[vault.Owner], filepath.Join(r.Owner.Dir, "owner.key"))
	r.check(err)
	master, ok := key.Master()
	if !ok {
		r.Fatal("the home does not hold the words")
	}
	words, err := identity.WordsOf(master, identity.English)
	r.check(err)
	name := filepath.Join(r.dir, "words")
	r.check(os.WriteFile(name, []byte(strings.Join(words, " ")), 0o600))
	return name
}

// copied wants the newest copy of the catalog with every keeper.
func (r *rig) copied() {
	r.Helper()
	r.until("the catalog has no copy everywhere", func() error {
		var b node.BackupState
		if r.must(&b, "backup"); b.Pending || b.Keepers < b.Of {
			return fmt.Errorf("%+v", b)
		}
		return nil
	})
}

// join has one more keeper come.
func (r *rig) join(name string) *e2e.Home {
	r.Helper()
	k := &e2e.Home{Binary: binary, Dir: filepath.Join(r.dir, "homes", name)}
	r.check(k.Init(r.ctx, name, "4GB"))
	r.Keepers = append(r.Keepers, k) // ended with the rig
	r.check(k.Start(r.ctx))
	r.check(e2e.Pair(r.ctx, k, r.Owner))
	return k
}

// recover makes a new machine the owner's, through a keeper.
func (r *rig) recover(words, name string, k *e2e.Home) {
	r.Helper()
	r.Owner = &e2e.Home{Binary: binary, Dir: filepath.Join(r.dir, "homes", name)}
	started := time.Now()
	var got node.Recovered
	r.must(&got, "recover", "--words-file", words, "--from", k.About().Addresses[0], "--listen", e2e.Loopback(), "--no-discovery")
	r.Logf("recovered through %s in %v: copy %d, %d of %d keepers", k.About().Name, time.Since(started).Round(time.Millisecond), got.Number, got.Keepers, got.Of)
}

// goOn ends on the new machine what the old one began, takes that off the list,
// and waits until nothing is to be done.
func (o *owner) goOn(k *e2e.Home, deed []string) {
	o.Helper()
	var ds []node.Device
	o.must(&ds, "device", "list")
	for _, d := range ds {
		if !d.This && d.Removed.IsZero() {
			o.must(nil, "device", "remove", d.Device.String())
		}
	}
	o.check(o.Owner.Start(o.ctx))
	if deed[0] == "repair" {
		known := map[string]bool{}
		for _, m := range o.members() {
			known[m.Name] = true
		}
		for _, k := range o.Keepers {
			if !known[k.About().Name] { // no copy of the catalog had it yet
				o.check(e2e.Pair(o.ctx, k, o.Owner))
			}
		}
	} else {
		o.until("the keeper is not out", func() error {
			for _, m := range o.members() {
				if m.Name == k.About().Name {
					res := o.run([]int{0, 1}, deed...)
					return fmt.Errorf("%s is still there: %s", m.Name, res.Stderr)
				}
			}
			return nil
		})
		o.check(k.Kill())
	}
	o.rests(1)
	o.check(o.Owner.Stop(o.ctx))
	if v := o.verify([]int{0}); v.Good != v.Shards || v.Lost > 0 {
		o.Errorf("round %d: %d of %d shards are good: %v", o.round, v.Good, v.Shards, v.Blamed)
	}
}
