// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/gateway"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/witness"
)

const (
	// askTime bounds what one custodian may take for one message.
	askTime = 5 * time.Second
	// errandEvery is how often what waits for custodians is tried again.
	errandEvery = 10 * time.Second
)

// openGateway lets a node that is going to serve be a gateway. Like a damaged
// custodian, a damaged gateway does not keep the home shut.
func (n *Node) openGateway(ctx context.Context, o Options, cfg *rpc.Config) {
	n.now = o.Clock
	if n.now == nil {
		n.now = time.Now
	}
	if n.role == RoleCommand {
		return
	}
	g, err := gateway.Open(ctx, gateway.Config{
		Path: filepath.Join(n.home, gatewayFile), Box: n.box, Device: n.device, KEM: n.keys.KEM, Member: n.book.Has,
		Visit: func(d peers.DeviceID, name string, addresses []string, pass []byte) *rpc.Visit {
			return n.visit(d, name, addresses, pass)
		},
		Depot: cfg.Depot, Witness: cfg.Witness, Now: n.now, Logger: n.log,
	})
	if err != nil {
		n.log.Error("what this device keeps as a gateway cannot be opened: it serves, but is no gateway", "err", err)
		return
	}
	n.gateway, cfg.Guests = g, g
}

// members is the circle as grants need it.
func (n *Node) members() []grants.Member {
	var out []grants.Member
	for _, p := range n.book.Peers() {
		out = append(out, grants.Member{Device: p.Device, Name: p.Name, Addresses: p.Addresses, KEM: p.KEM})
	}
	return out
}

// Grant makes a grant.
func (n *Node) Grant(ctx context.Context, o GrantOrder) (*Granted, error) {
	if o.From.IsZero() {
		o.From = n.now()
	}
	order := grants.Order{Brand: o.Brand, NotBefore: o.From, NotAfter: o.Until, Purpose: o.Purpose, Opens: o.Opens, Follow: o.Follow, Via: o.Via, StatusMaxAge: o.StatusMaxAge}
	for _, p := range o.Names {
		order.Paths = append(order.Paths, string(p))
	}
	m, err := n.desk.Make(ctx, order)
	if err != nil {
		return nil, err
	}
	if o.StatusMaxAge > 0 {
		// Nothing opens before the custodians have heard of this owner once.
		if err := n.shareStatus(ctx); err != nil {
			n.log.Warn("tell the custodians that this owner is there", "err", err)
		}
	}
	return granted(m), nil
}

func granted(m *grants.Made) *Granted {
	b := &m.Grant.Body
	return &Granted{
		ID: ticket.ShortID(b.ID), Brand: m.Brand, BrandKey: b.Grantee.String(), Files: m.Files,
		NotBefore: time.Unix(b.NotBefore, 0), NotAfter: time.Unix(b.NotAfter, 0),
		Need: int(b.K), Custodians: len(b.Custodians), Via: m.Via, Ticket: m.Ticket,
		Notice: b.Notice,
	}
}

// Extend makes a grant that goes on until a later time.
func (n *Node) Extend(ctx context.Context, o ExtendOrder) (*Granted, error) {
	m, err := n.desk.Extend(ctx, o.ID, o.Until)
	if err != nil {
		return nil, err
	}
	return granted(m), nil
}

// Grants lists the grants.
func (n *Node) Grants(ctx context.Context) (*GrantList, error) {
	notes, err := n.pull(ctx)
	if err != nil {
		return nil, err
	}
	list, err := n.desk.List(ctx)
	if err != nil {
		return nil, err
	}
	out := &GrantList{Grants: []grants.Info{}, Notes: notes}
	for _, g := range list {
		if g.Problem == "" {
			out.Grants = append(out.Grants, g)
			continue
		}
		note := said.As("grant-damaged", "the grant {id} is damaged in the catalog: {reason}. It may be open all the same; 'preezm revoke {id}' withdraws it", "id", g.ID, "reason", g.Problem)
		if g.State == grants.Revoked {
			note = said.As("grant-damaged-over", "the grant {id} is damaged in the catalog, and withdrawn; {told} of its {all} custodians know: {reason}",
				"id", g.ID, "told", strconv.Itoa(g.Told), "all", strconv.Itoa(g.Custodians), "reason", g.Problem)
		}
		out.Notes = append(out.Notes, note)
	}
	return out, nil
}

// Ledger gives what the custodians' logs tell.
func (n *Node) Ledger(ctx context.Context) (*LedgerView, error) {
	notes, err := n.pull(ctx)
	if err != nil {
		return nil, err
	}
	l, err := n.desk.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	return &LedgerView{l.Entries, notes}, nil
}

// VerifyLedger checks all logs as they were received, after asking for more.
// A log that was changed since stays as it was received before.
func (n *Node) VerifyLedger(ctx context.Context) ([]grants.Checked, error) {
	bad, err := n.pullLogs(ctx)
	if err != nil {
		return nil, err
	}
	out, err := n.desk.VerifyLedger(ctx)
	for i := range out {
		var entry *ledger.BadEntry
		if why := bad[out[i].Device]; out[i].Lost == 0 && errors.As(why, &entry) {
			out[i].Good, out[i].Why = false, said.By(why)
		}
	}
	return out, err
}

// Revoke ends a grant.
func (n *Node) Revoke(ctx context.Context, o RevokeOrder) (*grants.Info, error) {
	e, err := n.desk.Revoke(ctx, o.ID, o.Reason)
	if err != nil {
		return nil, err
	}
	n.carry(ctx, e)
	// Once more: those who were told are no longer among the untold.
	if e, err = n.desk.Revoke(ctx, o.ID, o.Reason); err != nil {
		return nil, err
	}
	n.leaveRevocation(ctx, e)
	return n.desk.Find(ctx, o.ID)
}

// pull reads the custodians' logs and says of which it could not.
func (n *Node) pull(ctx context.Context) (notes []said.Note, err error) {
	bad, err := n.pullLogs(ctx)
	for d, why := range bad {
		note := said.Because(why, "log-unread", "{why}", "name", n.nameOf(d))
		var entry *ledger.BadEntry
		if errors.As(why, &entry) {
			note = said.Because(why, "log-bad", "{why}. If its home was put back from a copy, 'preezm custodians add' lets it begin anew, and it gives nothing before", "name", n.nameOf(d))
		}
		notes = append(notes, note)
	}
	slices.SortFunc(notes, func(a, b said.Note) int { return strings.Compare(a.Text, b.Text) })
	return notes, err
}

// pullLogs reads what is new in the custodians' logs, and gives the trouble
// with each.
func (n *Node) pullLogs(ctx context.Context) (map[peers.DeviceID]error, error) {
	cs, err := n.desk.Custodians(ctx)
	if err != nil {
		return nil, err
	}
	bad := map[peers.DeviceID]error{}
	var heads [][]byte
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			told, err := n.pullLog(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			heads = append(heads, told...)
			if err != nil {
				bad[c.Device] = err
			}
		})
	}
	wg.Wait()
	if err := n.compareHeads(ctx, cs, heads, bad); err != nil {
		return nil, err
	}
	return bad, ctx.Err()
}

// compareHeads holds what custodians heard of each other against the logs. One
// that seems to keep entries back is asked once more: it may have written them
// since it was asked.
func (n *Node) compareHeads(ctx context.Context, cs []catalog.Custodian, heads [][]byte, bad map[peers.DeviceID]error) error {
	_, gaps, err := n.desk.CheckHeads(ctx, heads)
	if err != nil {
		return err
	}
	reached := map[peers.DeviceID]bool{}
	for _, c := range cs {
		reached[c.Device] = bad[c.Device] == nil || errors.Is(bad[c.Device], grants.ErrNewLog)
		if reached[c.Device] && slices.Contains(gaps, c.Device) {
			_, err := n.pullLog(ctx, c)
			reached[c.Device] = err == nil
		}
	}
	wrong, gaps, err := n.desk.CheckHeads(ctx, heads)
	if err != nil {
		return err
	}
	for _, c := range cs {
		// One that cannot be asked now has not kept anything back.
		if why := wrong[c.Device]; why != nil && (reached[c.Device] || !slices.Contains(gaps, c.Device)) {
			bad[c.Device] = why
		}
	}
	return nil
}

// maxPages bounds what is read of one log at once: a custodian that makes
// entries up without an end is asked for more the next time.
const maxPages = 64

// pullLog reads what is new in one log, and gives the heads of others that its
// custodian was told. The error is grants.ErrNewLog when it lost its log and all
// of the new one was read.
func (n *Node) pullLog(ctx context.Context, c catalog.Custodian) (heads [][]byte, err error) {
	client, err := n.peer(c.Device)
	if err != nil {
		return nil, err
	}
	var begun error
	for range maxPages {
		after, err := n.desk.Known(ctx, c.Device)
		if err != nil {
			return heads, err
		}
		l, err := n.askLog(ctx, client, after)
		if err != nil {
			return heads, err
		}
		heads = l.Heads
		h, err := custody.Parse[ledger.Head](l.Head)
		if err != nil {
			return heads, fmt.Errorf("%s: %w", c.Name, err)
		}
		have := after + uint64(len(l.Records))
		more := have < h.Body.Seq && len(l.Records) > 0
		err = n.desk.TakeLog(ctx, c, after, l.Records, l.Head, more)
		var entry *ledger.BadEntry
		if errors.As(err, &entry) && begun == nil && after > 0 {
			// Perhaps it owns up to it.
			first, ferr := n.askLog(ctx, client, 0)
			if ferr != nil {
				return heads, err
			}
			if begun = n.desk.BeginLog(ctx, c, first.Records); errors.Is(begun, grants.ErrNewLog) {
				continue
			}
			return heads, errors.Join(err, begun)
		}
		if err != nil || !more {
			return heads, errors.Join(err, begun)
		}
	}
	return heads, said.Error("log-long", "the log of {name} is longer than is read at once: more of it the next time", "name", c.Name)
}

func (n *Node) askLog(ctx context.Context, client *rpc.Client, after uint64) (*witness.LogAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return witness.Client{Caller: client}.Log(ctx, n.desk.Root(), after)
}
