// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/sqlite"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
	"github.com/preezm/preezm/peers/witness"
)

// panelWorld is a laptop, which serves, and its custodians, a desk and a nas,
// which know it and not each other.
type panelWorld struct {
	t     *testing.T
	homes map[string]string
	stop  map[string]func()
	nodes map[string]*Node
	owner custody.Owner
	root  ed25519.PrivateKey
}

func newPanelWorld(t *testing.T) *panelWorld {
	t.Helper()
	ctx := testContext(t)
	w := &panelWorld{t: t, homes: map[string]string{}, stop: map[string]func(){}, nodes: map[string]*Node{}}
	for _, name := range []string{"laptop", "desk", "nas"} {
		w.homes[name] = testHome(t, name)
		w.serve(name)
		if name == "laptop" {
			continue
		}
		inv, err := w.nodes["laptop"].Invite(ctx, InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.nodes[name].Join(ctx, inv.Code); err != nil {
			t.Fatal(err)
		}
		if _, err := w.nodes["laptop"].AddCustodian(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := identity.ReadOwner(vaulttest.Boxes(t, w.homes["laptop"])[vault.Owner], filepath.Join(w.homes["laptop"], ownerFile))
	if err != nil {
		t.Fatal(err)
	}
	secrets := owner.Secrets()
	w.root = secrets.RootKey()
	_, device, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	cert, err := custody.Sign(w.root, custody.DeviceCert{Root: custody.KeyOf(w.root), Device: custody.KeyOf(device),
		Role: custody.OwnerDevice, NotBefore: now - 10, NotAfter: now + 1000})
	if err != nil {
		t.Fatal(err)
	}
	w.owner = custody.Owner{Device: device, Cert: cert.Raw}
	return w
}

func (w *panelWorld) serve(name string) {
	w.t.Helper()
	w.nodes[name], w.stop[name] = serveHome(w.t, w.homes[name])
}

// revoke brings the withdrawal of a made-up grant to one custodian.
func (w *panelWorld) revoke(name string, grant byte) {
	w.t.Helper()
	rev, err := w.owner.Revoke(custody.Hash{grant}, time.Now().Unix(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.nodes[name].witness.Revoke(w.t.Context(), w.nodes["laptop"].device, rev.Raw); err != nil {
		w.t.Fatal(err)
	}
}

func ask[A any](w *panelWorld, name string, f func(context.Context, peers.DeviceID, []byte) ([]byte, error), msg any) (a A) {
	w.t.Helper()
	raw, err := custody.Marshal(msg)
	if err == nil {
		raw, err = f(w.t.Context(), w.nodes["laptop"].device, raw)
	}
	if err == nil {
		err = custody.Unmarshal(raw, &a)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *panelWorld) until(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(60 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatal("not within 20 s: ", what)
		}
	}
}

// Two custodians that have only the owner in their circles gossip while the
// owner's machine is off.
func TestCustodiansGossip(t *testing.T) {
	w := newPanelWorld(t)
	desk, nas := w.nodes["desk"], w.nodes["nas"]
	for _, n := range []*Node{desk, nas} {
		if !n.witness.Fellow(desk.device) || !n.witness.Fellow(nas.device) || n.book.Has(desk.device) || n.book.Has(nas.device) {
			t.Fatal("the custodians were not told of each other")
		}
	}
	w.stop["laptop"]()
	w.revoke("desk", 1)
	want := custody.RevocationsHash([]custody.Hash{{1}})
	w.until("the nas hears of the withdrawal", func() bool {
		st := ask[witness.Standing](w, "nas", nas.witness.Status, witness.News{Owner: custody.KeyOf(w.root)})
		return st.Revocations == want
	})
}

// A custodian that drops what the owner has not seen yet is caught by what it
// told another one.
func TestDroppedEntryIsNamed(t *testing.T) {
	w := newPanelWorld(t)
	ctx := testContext(t)
	w.revoke("nas", 1)
	w.revoke("nas", 2)
	log := custody.KeyOf(custody.LogKey(w.nodes["nas"].keys.Sign, custody.KeyOf(w.root)))
	w.until("the desk is told of the nas's second entry", func() bool {
		desk := w.nodes["desk"]
		l := ask[witness.LogAnswer](w, "desk", desk.witness.Log, witness.LogQuery{Owner: custody.KeyOf(w.root)})
		for _, raw := range l.Heads {
			if h, err := custody.Parse[ledger.Head](raw); err == nil && h.Signer == log && h.Body.Seq == 2 {
				return true
			}
		}
		return false
	})
	w.stop["nas"]()
	db, err := sqlite.Open(filepath.Join(w.homes["nas"], witness.File), sqlite.Options{Key: vaulttest.Boxes(t, w.homes["nas"])[vault.Machine].DBKey(witness.File)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM entry WHERE seq = 2"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.serve("nas")
	w.nodes["laptop"].net.Probe(ctx)
	list, err := w.nodes["laptop"].VerifyLedger(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.Good != (c.Custodian == "desk") || c.Custodian == "nas" && !strings.Contains(c.Why.Text, "entry 2") {
			t.Errorf("%+v", c)
		}
	}
}

// A custodian that lost what it knew knows each withdrawal when it was asked
// again, before its owner is told that it is one.
func TestCustodianAskedAgainKnowsWithdrawals(t *testing.T) {
	w := newPanelWorld(t)
	ctx := testContext(t)
	laptop := w.nodes["laptop"]
	path := filepath.Join(t.TempDir(), "lease")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := laptop.Put(ctx, engine.PutOptions{Sources: []string{path}}, nil); err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	kem, err := custody.NewKEM()
	if err != nil {
		t.Fatal(err)
	}
	card, err := custody.NewCard(key, "ACME", kem.PublicKey(), time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	g, err := laptop.Grant(ctx, GrantOrder{Brand: card, Names: []engine.Path{"lease"}, Until: time.Now().Add(time.Hour), Via: []string{"nas"}})
	if err != nil {
		t.Fatal(err)
	}
	in, err := laptop.Revoke(ctx, RevokeOrder{ID: g.ID})
	if err != nil || in.Told != 2 {
		t.Fatalf("%+v, %v", in, err)
	}
	if _, err := laptop.Ledger(ctx); err != nil { // and has read what is in it
		t.Fatal(err)
	}
	w.stop["nas"]() // it could tell the desk
	w.stop["desk"]()
	for _, name := range []string{witness.File, witness.File + "-wal", witness.File + "-shm", witness.Folder} {
		if err := os.RemoveAll(filepath.Join(w.homes["desk"], name)); err != nil {
			t.Fatal(err)
		}
	}
	w.serve("desk")
	w.until("the desk answers", func() bool {
		_, err := laptop.AddCustodian(ctx, "desk")
		return err == nil
	})
	// Its owner is told that it lost its log, and keeps what it had of it.
	l, err := laptop.Ledger(ctx)
	if err != nil || !slices.ContainsFunc(l.Notes, func(n said.Note) bool { return strings.Contains(n.Text, grants.ErrNewLog.Error()) }) {
		t.Errorf("notes %q, %v", l.Notes, err)
	}
	list, err := laptop.VerifyLedger(ctx)
	if err != nil || !slices.ContainsFunc(list, func(c grants.Checked) bool { return c.Lost == 1 && c.Entries > 0 }) {
		t.Errorf("checked %+v, %v", list, err)
	}
	st := ask[witness.Standing](w, "desk", w.nodes["desk"].witness.Status, witness.News{Owner: custody.KeyOf(w.root)})
	if st.Revocations == custody.RevocationsHash(nil) {
		t.Error("the withdrawal is forgotten")
	}
	if st.Panel == 0 {
		t.Error("it was not told of the others")
	}
}
