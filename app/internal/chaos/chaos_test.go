// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/sqlite"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

var seedFlag = flag.Uint64("seed", 0, "replay the choices of an earlier run (0: new ones)")

// binary is the program under test: $PREEZM_BIN, else built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(e2e.Main(&binary, testing.Short(), m.Run))
}

// long is how many times as long the random tests go on.
func long() int {
	if n, err := strconv.Atoi(os.Getenv("PREEZM_CHAOS")); err == nil && n > 0 {
		return n
	}
	return 1
}

// commandTime bounds every command: what takes longer hangs.
const commandTime = 90 * time.Second

// rig is a circle under attack.
type rig struct {
	*testing.T
	*e2e.Fleet
	ctx context.Context
	rng *rand.Rand
	dir string
}

// newRig makes an owner and keepers. prepare, when not nil, is called with the
// folder that homes will be made in.
func newRig(t *testing.T, keepers int, offer string, prepare func(homes string)) *rig {
	t.Helper()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("replay with: go test -run '^%s$' ./app/internal/chaos -seed %d", t.Name(), seed)
	r := &rig{T: t, ctx: t.Context(), rng: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir()}
	homes := filepath.Join(r.dir, "homes")
	if prepare != nil {
		prepare(homes)
	}
	ctx, cancel := context.WithTimeout(r.ctx, commandTime)
	defer cancel()
	var err error
	r.Fleet, err = e2e.NewFleet(ctx, e2e.FleetOptions{Binary: binary, Dir: homes, Keepers: keepers, Offer: offer})
	r.check(err)
	t.Cleanup(func() {
		if err := r.Fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// must runs an owner's command that has to succeed.
func (r *rig) must(into any, args ...string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, commandTime)
	defer cancel()
	r.check(r.Owner.Must(ctx, into, args...))
}

// run runs an owner's command and wants one of the given exit statuses.
func (r *rig) run(want []int, args ...string) e2e.Result {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, commandTime)
	defer cancel()
	res, err := r.Owner.Run(ctx, args...)
	r.check(err)
	if ctx.Err() != nil {
		r.Fatalf("preezm %s hangs: no end after %v: %s", strings.Join(args, " "), commandTime, res.Stderr)
	}
	for _, w := range want {
		if res.Code == w {
			return res
		}
	}
	r.Fatalf("preezm %s: exit status %d, want %v: %s", strings.Join(args, " "), res.Code, want, res.Stderr)
	return res
}

// fails runs a command that has to fail and say all the words.
func (r *rig) fails(words []string, args ...string) e2e.Result {
	r.Helper()
	res := r.run([]int{1}, args...)
	for _, w := range words {
		if !strings.Contains(string(res.Stderr), w) {
			r.Errorf("preezm %s does not say %q: %s", strings.Join(args, " "), w, res.Stderr)
		}
	}
	return res
}

// killed runs a command and kills it after a while, if it still runs then. It
// tells whether the command came to its end by itself, with success.
func (r *rig) killed(after time.Duration, args ...string) bool {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, after)
	defer cancel()
	res, err := r.Owner.Run(ctx, args...)
	if ctx.Err() == nil {
		r.check(err)
		if res.Code != 0 {
			r.Fatalf("preezm %s: exit status %d: %s", strings.Join(args, " "), res.Code, res.Stderr)
		}
		return true
	}
	return false
}

// signal sends a signal to a keeper's process.
func (r *rig) signal(k *e2e.Home, s syscall.Signal) {
	r.Helper()
	r.check(syscall.Kill(k.About().PID, s))
}

// rests waits until a serving owner has nothing to do and so many keepers may be
// lost.
func (r *rig) rests(mayLose int) {
	r.Helper()
	r.until("no calm", func() error {
		var s engine.Status
		r.must(&s, "status")
		if o := s.Outlook; s.Debt+s.Pending+o.Todo+o.Recode > 0 || s.MayLose < mayLose {
			return fmt.Errorf("%d shards owed, %d deletions wait, %d may be lost, %+v", s.Debt, s.Pending, s.MayLose, o)
		}
		return nil
	})
}

// until polls f until it is satisfied, or the test has waited too long.
func (r *rig) until(what string, f func() error) {
	r.Helper()
	deadline := time.Now().Add(commandTime)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("%s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.Fatal(r.ctx.Err())
		}
	}
}

// settle serves the owner until it owes keepers nothing, then compares what
// they hold with what the catalog knows.
func (r *rig) settle() {
	r.Helper()
	r.check(r.Owner.Start(r.ctx))
	r.until("debts are not paid", func() error {
		var s engine.Status
		ctx, cancel := context.WithTimeout(r.ctx, commandTime)
		defer cancel()
		if err := r.Owner.Must(ctx, &s, "status"); err != nil {
			return err
		}
		if s.Debt+s.Pending > 0 {
			return fmt.Errorf("%d shards owed, %d deletions wait", s.Debt, s.Pending)
		}
		return nil
	})
	r.check(r.Owner.Stop(r.ctx))
	r.until("keepers and catalog differ", r.strangers)
}

// known gives the shards of each keeper that the catalog has, and of which of
// them it counts on being there. The owner must not run.
func (r *rig) known() (map[peers.DeviceID]map[string]bool, error) {
	db, err := sqlite.Open(filepath.Join(r.Owner.Dir, "catalog.db"), sqlite.Options{Key: vaulttest.Boxes(r, r.Owner.Dir)[vault.Owner].DBKey("catalog.db")})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	// Counted on are those that are there. Known are also those that were on
	// their way when the owner stopped, and those that are to be forgotten.
	// Verify is about files: what is lost of a copy of the catalog is found by
	// the audits of the night, or replaced by the next copy.
	rows, err := db.QueryContext(r.ctx, `SELECT device, hex(shard), shards.state = 1 AND backup = 0
		FROM shards JOIN keepers ON keepers.id = keeper JOIN segments ON segments.id = segment
		UNION SELECT device, hex(shard), 0 FROM deletions JOIN keepers ON keepers.id = keeper
		UNION SELECT device, hex(shard), 0 FROM moves JOIN keepers ON keepers.id = keeper`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := map[peers.DeviceID]map[string]bool{}
	for rows.Next() {
		var device []byte
		var shard string
		var counted bool
		if err := rows.Scan(&device, &shard, &counted); err != nil {
			return nil, err
		}
		d := peers.DeviceID(device)
		if known[d] == nil {
			known[d] = map[string]bool{}
		}
		known[d][strings.ToLower(shard)] = counted
	}
	return known, rows.Err()
}

// strangers looks for shards that a keeper holds and the catalog does not
// know, and for ones that it counts on and are not there.
func (r *rig) strangers() error {
	known, err := r.known()
	if err != nil {
		return err
	}
	for _, k := range r.Keepers {
		want := known[k.About().Device]
		held := map[string]bool{}
		for _, file := range r.shardFiles(k) {
			name := filepath.Base(file)
			held[name] = true
			if _, ok := want[name]; !ok {
				return fmt.Errorf("%s holds shard %s, which the catalog does not know", k.Dir, name)
			}
		}
		for name, counted := range want {
			if !held[name] && counted {
				return fmt.Errorf("%s has no shard %s, which the catalog counts on", k.Dir, name)
			}
		}
	}
	return nil
}

// shardFiles lists a keeper's shards in a fixed order.
func (r *rig) shardFiles(k *e2e.Home) (files []string) {
	r.Helper()
	r.check(filepath.WalkDir(filepath.Join(k.Dir, "depot", "shards"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, p)
		}
		return err
	}))
	return files
}

// digest is what a file holds; "" stands for a file that is not there.
type digest string

// digests reads every file below dir.
func (r *rig) digests(dir string) map[string]digest {
	r.Helper()
	out := map[string]digest{}
	r.check(filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		sum := sha256.Sum256(b)
		out[rel] = digest(hex.EncodeToString(sum[:8]))
		return err
	}))
	return out
}

// write makes a file of n random bytes.
func (r *rig) write(name string, n int) {
	r.Helper()
	r.check(os.MkdirAll(filepath.Dir(name), 0o755))
	b := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(r.rng.Uint32())
	}
	rand.NewChaCha8(seed).Read(b)
	r.check(os.WriteFile(name, b, 0o644))
}

// same checks that a folder came back as it went away.
func (r *rig) same(want, back string) {
	r.Helper()
	w, got := r.digests(want), r.digests(back)
	for name, d := range w {
		if got[name] != d {
			r.Errorf("%q came back as %q, was %q", name, got[name], d)
		}
	}
	for name := range got {
		if _, ok := w[name]; !ok {
			r.Errorf("%q came back and never was there", name)
		}
	}
}
