// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
)

const (
	brandName = "ACME"
	// lendTime is how long the brand may open the files: long enough to see
	// both sides of the end, short enough to wait for.
	lendTime = 20 * time.Second
)

// lent is what became of the grants, for the summary.
type lent struct {
	files    int
	openings int
	refusals int
	entries  int
}

// custodians makes every keeper one, while all of them are there.
func custodians(ctx context.Context, f *e2e.Fleet) error {
	args := []string{"custodians", "add"}
	for _, k := range f.Keepers {
		args = append(args, name(k))
	}
	return f.Owner.Must(ctx, nil, args...)
}

// lend is the second half: a brand opens two of the files for a while, and
// cannot any more after the end, nor under a grant that is withdrawn. The
// keepers that were killed stay so.
func (d *demo) lend(ctx context.Context, f *e2e.Fleet, papers []paper) (out lent, err error) {
	d.begin("grant")
	brand := &e2e.Home{Binary: d.bin, Dir: filepath.Join(d.root, "brand"), Log: f.Owner.Log}
	// Killing what Stop has ended is nothing; after a failure it is all.
	defer func() { err = errors.Join(err, brand.Kill()) }()
	var card node.BrandInfo
	err = errors.Join(brand.Init(ctx, "brand", ""), brand.Start(ctx))
	if err == nil {
		err = brand.Must(ctx, &card, "brand", "init", "--name", brandName, "--label", "front desk")
	}
	if err != nil {
		return out, err
	}
	g, t, err := d.grant(ctx, f, card.Card, "first.ticket", lendTime, papers)
	if err != nil {
		return out, err
	}
	out.files = len(g.Files)
	d.end("grant", "%s to %s for %.0f seconds, in %s without asking anybody; %d of %d custodians must agree; of the circle it sees %s only",
		english.Plural(len(g.Files), "file", ""), brandName, lendTime.Seconds(), seconds(t), g.Need, g.Custodians, strings.Join(g.Via, ", "))

	if err := d.opens(ctx, brand, "first.ticket", papers); err != nil {
		return out, err
	}
	if err := d.wait(ctx, "end", g.NotAfter); err != nil {
		return out, err
	}
	late := time.Since(g.NotAfter)
	why, err := d.refused(ctx, brand, "first.ticket", custody.Expired)
	if err != nil {
		return out, err
	}
	d.end("end", "%s after the end, refused: %s", seconds(late), why)

	d.begin("withdraw")
	second, _, err := d.grant(ctx, f, card.Card, "second.ticket", time.Hour, papers[:1])
	if err != nil {
		return out, err
	}
	var info grants.Info
	if err := f.Owner.Must(ctx, &info, "revoke", second.ID, "--reason", "a demonstration"); err != nil {
		return out, err
	}
	if info.State != grants.Revoked || info.Told < info.Quorum {
		return out, fmt.Errorf("the withdrawal is not certain: it is %s, and %d of %d custodians know", info.State, info.Told, info.Custodians)
	}
	if why, err = d.refused(ctx, brand, "second.ticket", custody.Revoked); err != nil {
		return out, err
	}
	d.end("withdraw", "a grant for an hour, taken back at once: %d of %d custodians know, %d had to; refused: %s", info.Told, info.Custodians, info.Quorum, why)

	if err := brand.Stop(ctx); err != nil {
		return out, fmt.Errorf("the brand did not stop cleanly: %w", err)
	}
	return out, d.ledger(ctx, f, g, &out)
}

// grant makes a grant whose only visible machine is a keeper that is left, and
// writes its ticket to a file, as one would mail it.
func (d *demo) grant(ctx context.Context, f *e2e.Fleet, card, ticket string, lasts time.Duration, papers []paper) (*node.Granted, time.Duration, error) {
	i := slices.IndexFunc(f.Keepers, (*e2e.Home).Serving)
	if i < 0 {
		return nil, 0, errors.New("no keeper is left")
	}
	args := []string{"grant", "--for", lasts.String(), "--via", name(f.Keepers[i]), "-o", filepath.Join(d.root, ticket), card}
	for _, p := range papers {
		args = append(args, p.kept)
	}
	var g node.Granted
	t0 := time.Now()
	err := f.Owner.Must(ctx, &g, args...)
	return &g, time.Since(t0), err
}

// open lets the brand open all under a ticket. A refusal is no error here.
func (d *demo) open(ctx context.Context, brand *e2e.Home, ticket, to string) (*node.OpenReport, e2e.Result, error) {
	r, err := brand.Run(ctx, "open", filepath.Join(d.root, ticket), "--to", to, "--json")
	if err := errors.Join(ctx.Err(), err); err != nil {
		return nil, r, err
	}
	var report node.OpenReport
	if err := json.Unmarshal(r.Stdout, &report); err != nil {
		return nil, r, fmt.Errorf("open: exit status %d: %s", r.Code, r.Stderr)
	}
	return &report, r, nil
}

func (d *demo) opens(ctx context.Context, brand *e2e.Home, ticket string, papers []paper) error {
	d.begin("open")
	to := filepath.Join(d.root, "opened")
	t0 := time.Now()
	report, r, err := d.open(ctx, brand, ticket, to)
	took := time.Since(t0)
	if err != nil {
		return err
	}
	if r.Code != 0 || len(report.Files) != len(papers) {
		return fmt.Errorf("the brand could open %d of %d files: exit status %d: %s", len(report.Files), len(papers), r.Code, r.Stderr)
	}
	var size int64
	for _, p := range papers {
		i := slices.IndexFunc(report.Files, func(o node.OpenedFile) bool { return o.Name == p.base() })
		if i < 0 {
			return fmt.Errorf("%q was granted and not opened", p.kept)
		}
		if err := sameBytes(p.source, report.Files[i].Path); err != nil {
			return err
		}
		size += report.Files[i].Size
	}
	names := make([]string, len(papers))
	for i, p := range papers {
		names[i] = fmt.Sprintf("%q", p.base())
	}
	d.end("open", "%s opened %s, %s, in %s: bytes equal", brandName, english.WordSeries(names, "and"), bytes(size), seconds(took))
	return nil
}

// refused lets the brand try, and gives the reason it is told. Anything but
// that refusal is an error.
func (d *demo) refused(ctx context.Context, brand *e2e.Home, ticket string, want custody.Reason) (string, error) {
	to := filepath.Join(d.root, "refused "+ticket)
	report, r, err := d.open(ctx, brand, ticket, to)
	if err != nil {
		return "", err
	}
	if r.Code != 1 || report.Refused != string(want) || len(report.Files) > 0 {
		return "", fmt.Errorf("want a refusal (%s); %d files were opened, exit status %d: %s", want, len(report.Files), r.Code, r.Stderr)
	}
	left, err := os.ReadDir(to)
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		return "", fmt.Errorf("%d files are there after a refusal (%w)", len(left), err)
	}
	// What a person reads, without the program's name and the grant's.
	text := strings.TrimSpace(string(r.Stderr))
	if _, reason, ok := strings.Cut(text, "refuse: "); ok {
		text = reason
	}
	return fmt.Sprintf("%q", text), nil
}

// wait waits for a moment, and counts down where a line can be redrawn.
func (d *demo) wait(ctx context.Context, what string, until time.Time) error {
	d.begin(what)
	over := time.NewTimer(time.Until(until))
	defer over.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if d.tty {
			fmt.Fprintf(d.out, "\r\x1b[K%s the grant ends in %.0f s", d.label(what), time.Until(until).Seconds())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return nil
		case <-tick.C:
		}
	}
}

// ledger shows what the owner can know afterwards, and checks that it is what
// happened.
func (d *demo) ledger(ctx context.Context, f *e2e.Fleet, first *node.Granted, out *lent) error {
	d.begin("ledger")
	var list node.GrantList
	var checked []grants.Checked
	var l node.LedgerView
	for _, c := range []struct {
		into any
		what string
	}{{&list, "grants"}, {&checked, "verify-ledger"}, {&l, "ledger"}} {
		if err := f.Owner.Must(ctx, c.into, c.what); err != nil {
			return err
		}
	}
	for _, g := range list.Grants {
		out.refusals += g.Refusals
		enough := 0
		for _, o := range g.Openings {
			if o.Enough {
				enough++
			}
		}
		out.openings += enough
		want, state := 0, grants.Revoked
		if g.ID == first.ID {
			want, state = len(first.Files), grants.Ended
		}
		if enough != want || g.State != state || g.Refusals == 0 {
			return fmt.Errorf("the owner sees of %s: %s, %d openings, %d refusals; it was %s and opened %d times", g.ID, g.State, enough, g.Refusals, state, want)
		}
	}
	if len(list.Grants) != 2 {
		return fmt.Errorf("the owner sees %d grants", len(list.Grants))
	}
	told := 0
	for _, c := range checked {
		if !c.Good {
			return fmt.Errorf("the log of %s: %s", c.Custodian, c.Why)
		}
		if c.Entries > 0 {
			told++
		}
		out.entries += c.Entries
	}
	// What the last command read may be newer than what was checked, not less.
	if len(checked) != keepers || told < keepers-lose || len(l.Entries) < out.entries {
		return fmt.Errorf("%d logs with %d entries were checked, %d are shown", len(checked), out.entries, len(l.Entries))
	}
	d.end("ledger", "%d entries in the logs of %d custodians: every link and every signature is right", out.entries, told)
	for _, what := range []string{"grants", "verify-ledger"} {
		r, err := f.Owner.Run(ctx, what)
		if err := errors.Join(ctx.Err(), err); err != nil {
			return err
		}
		if r.Code != 0 {
			return fmt.Errorf("%s: exit status %d: %s", what, r.Code, r.Stderr)
		}
		d.say("         owner$ preezm %s", what)
		for line := range strings.Lines(string(r.Stdout)) {
			d.say("           %s", strings.TrimRight(line, "\n"))
		}
	}
	return nil
}
