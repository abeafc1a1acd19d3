// SPDX-License-Identifier: MPL-2.0

package said

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTheCodeIsTheFirstOfTheChain(t *testing.T) {
	outer, inner := Error("outer", "outside"), Error("inner", "inside")
	_, missing := os.Open(filepath.Join(t.TempDir(), "none"))
	for _, c := range []struct {
		err  error
		code string
	}{
		{nil, ""},
		{errors.New("plain"), ""},
		{outer, "outer"},
		{fmt.Errorf("study: %w", inner), "inner"},
		{fmt.Errorf("%w: %w", outer, inner), "outer"},
		{errors.Join(errors.New("plain"), inner, outer), "inner"},
		{Wrap(inner, "around", "x: {why}"), "around"},
		{missing, "not-exist"},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "permission"},
		{fmt.Errorf("write: %w", syscall.ENOSPC), "no-space"},
		{syscall.EIO, ""},
		{context.Canceled, "canceled"},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), "deadline"},
	} {
		n := By(c.err)
		if n.Code != c.code {
			t.Errorf("%v: code %q, want %q", c.err, n.Code, c.code)
		}
		if c.err != nil && n.Text != c.err.Error() {
			t.Errorf("%v: text %q", c.err, n.Text)
		}
	}
}

func TestValuesAreFilledInOnce(t *testing.T) {
	n := As("c", "{a} and {b}, {none} {", "a", "{b}", "b", "2")
	if n.Text != "{b} and 2, {none} {" || n.Args["a"] != "{b}" || n.Args["b"] != "2" {
		t.Errorf("%+v", n)
	}
	if n := As("c", "odd {a}", "a"); n.Text != "odd {a}" {
		t.Errorf("a name without a value: %+v", n)
	}
}

func TestWrapKeepsWhatItWraps(t *testing.T) {
	inner := Error("inner", "inside")
	err := Wrap(fmt.Errorf("%w (5)", inner), "outer", "{name}: {why}", "name", "study")
	if err.Error() != "study: inside (5)" || !errors.Is(err, inner) {
		t.Errorf("%v", err)
	}
	n := By(err)
	if n.Why == nil || n.Why.Code != "inner" || n.Why.Text != "inside (5)" {
		t.Errorf("%+v", n)
	}
}

// However deep reasons lie in each other, a note stays small.
func TestReasonsEnd(t *testing.T) {
	err := Error("bottom", "0")
	for range 100 {
		err = Wrap(err, "step", "1 {why}")
	}
	depth := 0
	for n := By(err); n.Why != nil; n = *n.Why {
		depth++
	}
	if depth != 2 {
		t.Errorf("%d deep", depth)
	}
	if n := By(err); len(n.Text) != 201 {
		t.Errorf("its text has %d bytes", len(n.Text))
	}
}

// Programs that read the JSON of commands find text where they always did.
func TestJSONIsTheText(t *testing.T) {
	type row struct {
		Problem Note `json:"problem,omitzero"`
	}
	b, err := json.Marshal([]row{{As("c", "is {a}", "a", "away")}, {}})
	if err != nil || string(b) != `[{"problem":"is away"},{}]` {
		t.Errorf("%s, %v", b, err)
	}
	var back []row
	if err := json.Unmarshal(b, &back); err != nil || back[0].Problem.Text != "is away" || !back[1].Problem.IsZero() {
		t.Errorf("%+v, %v", back, err)
	}
}
