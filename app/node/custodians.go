// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/witness"
)

// Custodian is a machine that decides for this owner.
type Custodian struct {
	Device    peers.DeviceID `json:"device"`
	Name      string         `json:"name"`
	Appointed time.Time      `json:"appointed"`
	LogKey    string         `json:"log_key"` // signs its log
}

// CustodianRemoved is how far the removal of a custodian has come.
type CustodianRemoved struct {
	Custodian Custodian `json:"custodian"`
	Appointed int       `json:"appointed"` // of the others, those that have their new chains
	Others    int       `json:"others"`
	// Replaced are the new grants in place of those that named it; their
	// tickets have to be sent.
	Replaced []Replaced `json:"replaced"`
}

// Replaced is a grant that was made anew, or why it was not.
type Replaced struct {
	Old     string   `json:"old"`
	New     *Granted `json:"new,omitempty"`
	Spent   bool     `json:"used_up,omitempty"` // it was withdrawn only: nothing was left of it
	Problem string   `json:"problem,omitempty"`
}

// Custodians lists who decides for this owner.
func (n *Node) Custodians(ctx context.Context) ([]Custodian, error) {
	all, err := n.desk.Custodians(ctx)
	out := []Custodian{}
	for _, c := range all {
		if c.Retired == 0 {
			out = append(out, custodian(c))
		}
	}
	return out, err
}

func custodian(c catalog.Custodian) Custodian {
	return Custodian{Device: c.Device, Name: c.Name, Appointed: time.Unix(c.Appointed, 0), LogKey: custody.Key(c.LogKey).String()}
}

// AddCustodian appoints a machine of the circle.
func (n *Node) AddCustodian(ctx context.Context, who string) (Custodian, error) {
	m, err := n.desk.Member(who)
	if err != nil {
		return Custodian{}, err
	}
	if len(m.KEM) == 0 {
		// It joined before it had keys to tell: hear it now.
		n.net.Probe(ctx)
		if m, err = n.desk.Member(who); err != nil {
			return Custodian{}, err
		}
	}
	if err := n.seatFree(ctx, m.Device); err != nil {
		return Custodian{}, err
	}
	c, err := n.appoint(ctx, m, true)
	if err != nil {
		return Custodian{}, err
	}
	n.forgetTold(m.Device)
	n.introduce(ctx)
	if err := n.sharePanel(ctx); err != nil {
		n.log.Warn("tell the custodians of each other", "err", err)
	}
	if err := n.catchUp(ctx, c); err != nil {
		return Custodian{}, said.Wrap(err, "not-caught-up", "{name} was not told of all that was withdrawn, ask it once more: {why}", "name", m.Name)
	}
	return Custodian{Device: m.Device, Name: m.Name, Appointed: n.now()}, nil
}

// appoint hands a member its chain of the present generation. With forget it
// is to be told everything again.
func (n *Node) appoint(ctx context.Context, m grants.Member, forget bool) (*rpc.Client, error) {
	c, err := n.peer(m.Device)
	if err != nil {
		return nil, err
	}
	a, err := n.desk.Appoint(ctx, m)
	if err != nil {
		return nil, err
	}
	got, err := witness.Client{Caller: c}.Appoint(ctx, witness.Appointing{Appointment: a.Doc, DeviceSet: a.Devices, Panel: []byte{}, Entries: a.Entries})
	if err != nil {
		return nil, err
	}
	return c, n.desk.Appointed(ctx, m, a, got.LogKey, forget)
}

// appointBehind hands custodians that answer the chains of the present
// generation, which one that was away at a removal does not have yet.
func (n *Node) appointBehind(ctx context.Context) error {
	behind, err := n.desk.Behind(ctx)
	if err != nil {
		return err
	}
	n.everybody(ctx, behind, func(ctx context.Context, c *rpc.Client) {
		m, err := n.desk.Member(c.Device().String())
		if err == nil {
			_, err = n.appoint(ctx, m, false)
		}
		if err != nil {
			n.log.Debug("appoint a custodian anew", "custodian", c.Name(), "err", err)
		}
	})
	return nil
}

// RemoveCustodian takes a custodian off. What it holds is of no use for any new
// grant; the grants that last and name it are made anew for the others, and
// withdrawn. Interrupted, it goes on where it was when it is asked again.
func (n *Node) RemoveCustodian(ctx context.Context, who string, progress func(engine.Progress)) (*CustodianRemoved, error) {
	said := engine.Progress{Started: n.now()}
	say := func(format string, args ...any) {
		if said.Now = fmt.Sprintf(format, args...); progress != nil {
			progress(said)
		}
	}
	c, err := n.desk.Retire(ctx, who)
	if err != nil {
		return nil, err
	}
	out := &CustodianRemoved{Custodian: custodian(c), Replaced: []Replaced{}}
	say("new chains for the other custodians")
	if err := n.appointBehind(ctx); err != nil {
		return out, err
	}
	if err := n.sharePanel(ctx); err != nil {
		return out, err
	}
	others, err := n.Custodians(ctx)
	if err != nil {
		return out, err
	}
	behind, err := n.desk.Behind(ctx)
	if err != nil {
		return out, err
	}
	out.Others, out.Appointed = len(others), len(others)-len(behind)
	// What they tell of openings so far counts on.
	if _, err := n.pullLogs(ctx); err != nil {
		return out, err
	}
	ids, err := n.desk.Outdated(ctx)
	if err != nil {
		return out, err
	}
	var errands []*grants.Errand
	for i, id := range ids {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		say("grant %d of %d: %s", i+1, len(ids), id)
		made, e, err := n.desk.Reissue(ctx, id)
		r := Replaced{Old: id}
		switch {
		case made != nil:
			r.New = granted(made)
		case errors.Is(err, grants.ErrSpent) && e != nil:
			r.Spent = true
		case errors.Is(err, context.Canceled):
			return out, err
		case err != nil:
			r.Problem = err.Error()
		}
		out.Replaced = append(out.Replaced, r)
		if e != nil {
			errands = append(errands, e)
		}
	}
	say("withdrawing the old grants")
	n.carry(ctx, errands...)
	return out, ctx.Err()
}

// KnownCustodian is the custodian behind a name that one company knows.
type KnownCustodian struct {
	Custodian
	Grant string `json:"grant"`
	Brand string `json:"brand"`
}

// WhoIs says which custodian a company means by a name in a grant, such as one
// that it saw sign a wrong share.
func (n *Node) WhoIs(ctx context.Context, name string) ([]KnownCustodian, error) {
	all, err := n.desk.Who(ctx, name)
	out := []KnownCustodian{}
	for _, k := range all {
		out = append(out, KnownCustodian{custodian(k.Custodian), k.Grant, k.Brand})
	}
	return out, err
}
