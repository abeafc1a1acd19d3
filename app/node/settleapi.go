// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
)

// SettleAPI is the part of API about names that two machines put at once;
// DeviceAPI.Conflicts lists them.
type SettleAPI interface {
	// Settle decides about one of them.
	Settle(ctx context.Context, o SettleOrder) (Settled, error)
}

// SettleOrder says which version of a name counts. The others stay in its
// history.
type SettleOrder struct {
	Path    engine.Path `json:"path"`
	Version int64       `json:"version"` // 0: the one that is shown
	Both    bool        `json:"both"`    // the others get names of their own
}

// Settled is the outcome.
type Settled struct {
	Path   engine.Path   `json:"path"`
	Beside []engine.Path `json:"beside"` // the names of the others, with Both
}

// ErrNoConflict: nothing has to be settled about a name.
var ErrNoConflict = said.Error("no-conflict", "was not put by two machines at once: there is nothing to settle")

// Settle decides about a name that two machines put at once.
func (n *Node) Settle(ctx context.Context, o SettleOrder) (Settled, error) {
	out := Settled{Path: o.Path, Beside: []engine.Path{}}
	all, err := n.Conflicts(ctx)
	if err != nil {
		return out, err
	}
	all = slices.DeleteFunc(all, func(c engine.Conflict) bool { return c.Path != o.Path })
	if len(all) == 0 {
		return out, fmt.Errorf("%q %w", o.Path, ErrNoConflict)
	}
	past, err := n.engine.Versions(ctx, o.Path)
	if err != nil {
		return out, err
	}
	order := engine.Settling{Path: o.Path, Show: o.Version}
	var others []engine.VersionInfo
	for _, v := range past {
		present := v.Until.IsZero()
		if present && o.Version == 0 {
			order.Show = v.Number
		}
		if present || slices.ContainsFunc(all, func(c engine.Conflict) bool { return c.Version == v.Number }) {
			others = append(others, v)
		}
	}
	if o.Both {
		for _, v := range others {
			if v.Number == order.Show {
				continue
			}
			as, err := n.besideName(ctx, o.Path, n.originName(ctx, v.From), out.Beside)
			if err != nil {
				return out, err
			}
			order.Beside = append(order.Beside, engine.Beside{Number: v.Number, As: as})
			out.Beside = append(out.Beside, as)
		}
	}
	return out, n.backups.engine.Settle(ctx, order)
}

// besideName gives a free name for the version of a machine: "plan (desktop).txt".
func (n *Node) besideName(ctx context.Context, p engine.Path, machine string, taken []engine.Path) (engine.Path, error) {
	dir, name := path.Split(string(p))
	ending := path.Ext(name)
	stem := strings.TrimSuffix(name, ending)
	if stem == "" { // such as .profile
		stem, ending = name, ""
	}
	machine = strings.ReplaceAll(machine, "/", "-")
	const most = 100
	for i := 1; i <= most; i++ {
		as := fmt.Sprintf("%s%s (%s)%s", dir, stem, machine, ending)
		if i > 1 {
			as = fmt.Sprintf("%s%s (%s %d)%s", dir, stem, machine, i, ending)
		}
		if slices.Contains(taken, engine.Path(as)) {
			continue
		}
		if _, err := n.engine.Versions(ctx, engine.Path(as)); errors.Is(err, engine.ErrNotFound) {
			return engine.Path(as), nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%q: %w", p, engine.ErrExists)
}

const pathSettle = "/v1/conflicts/settle"

func (s *localServer) settleCalls(mux *http.ServeMux) {
	handle(mux, s, pathSettle, call1(s.api.Settle))
}

func (c *client) Settle(ctx context.Context, o SettleOrder) (Settled, error) {
	return invoke[Settled](ctx, c, pathSettle, o, nil)
}
