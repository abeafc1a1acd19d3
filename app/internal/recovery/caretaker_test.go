// SPDX-License-Identifier: MPL-2.0

package recovery_test

import (
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// With the owner off, keepers are lost one after the other, more than the files
// bear at once, and a caretaker makes anew what each of them held. Then the
// owner's machine is lost as well. What is left brings everything back with the
// words: of each segment one piece at least is where only the caretaker put it.
func TestRecoverWhatACaretakerMade(t *testing.T) {
	w := newWorld(t, 5) // 3 of 5
	owner, nas := w.fleet.Owner, w.fleet.Keepers[4]
	serveNas := func() {
		t.Helper()
		w.must(nas.Start(w.ctx, "--care-every", "1s"))
	}
	w.must(nas.Stop(w.ctx))
	serveNas()
	w.must(owner.Must(w.ctx, nil, "put", w.src))
	w.must(owner.Start(w.ctx))
	w.must(owner.Must(w.ctx, nil, "repair", "--after", "3s"))
	w.until("the whole circle is not used", func() bool {
		var s engine.Status
		w.must(owner.Must(w.ctx, &s, "status"))
		return s.Outlook.Recode+s.Outlook.Todo+s.Debt == 0
	})
	// The caretaker is to know where the newest copy of the catalog is, too.
	var given node.CareState
	w.must(owner.Must(w.ctx, &given, "care", "give", "keeper5"))
	w.until("the newest copy of the catalog is not looked after", func() bool {
		var b node.BackupState
		w.must(owner.Must(w.ctx, &b, "backup"))
		before := given.Given.Number
		w.must(owner.Must(w.ctx, &given, "care", "give"))
		w.must(owner.Must(w.ctx, &b, "backup"))
		return given.Given.Number == before && !b.Pending
	})
	g := given.Given
	if !g.Asked || g.Work.Segments == 0 || g.Work.Lacking > 0 || len(g.Knows) != 5 {
		t.Fatalf("the task was not taken as a whole: %+v", g)
	}
	w.must(owner.Stop(w.ctx))

	made := int64(0)
	for _, lost := range w.fleet.Keepers[:2] {
		w.must(lost.Kill())
		w.must(nas.Kill())
		serveNas()
		want := made + g.Work.Segments
		var s node.CareState
		w.until("the caretaker does not repair", func() bool {
			w.must(nas.Must(w.ctx, &s, "care"))
			return len(s.For) == 1 && s.For[0].Work.Pieces >= want
		})
		made = s.For[0].Work.Pieces
	}
	w.destroy()
	// Of the places that the catalog knows two are left.
	w.must(w.fleet.Keepers[2].Kill())
	h := w.fresh("new")
	var r node.Recovered
	w.must(h.Must(w.ctx, &r, w.recoverArgs(nas)...))
	if r.Files != 42 {
		t.Errorf("%+v", r)
	}
	w.same(h)
	// The machines that are gone are gone for the new one too: what is left of each
	// file is enough for it.
	var st engine.Status
	w.must(h.Must(w.ctx, &st, "status"))
	if st.MayLose < 0 {
		t.Errorf("it takes files for lost: %+v", st.Health)
	}
}
