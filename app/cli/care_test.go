// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/node"
)

type caredFor struct {
	node.API
	state node.CareState
}

func (c *caredFor) Care(context.Context) (*node.CareState, error) { return &c.state, nil }

// Nobody is told that a machine repairs which said that it does not.
func TestIdleCaretakerIsNoCaretaker(t *testing.T) {
	g := node.CareGiven{Name: "nas", Until: time.Now().Add(time.Hour), Asked: true}
	for _, idle := range []bool{false, true} {
		g.Idle = idle
		api := &caredFor{state: node.CareState{Given: &g}}
		a, list, _ := spoken()
		b, status, _ := spoken()
		if err := a.printCare(&api.state); err != nil {
			t.Fatal(err)
		}
		if err := b.saidCare(t.Context(), api); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{list.String(), status.String()} {
			if strings.Contains(text, "nas repairs for you") == idle || strings.Contains(text, "and does not") != idle {
				t.Errorf("idle %t: %q", idle, text)
			}
		}
	}
}
