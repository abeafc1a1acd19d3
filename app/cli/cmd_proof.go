// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/engine/ticket"
)

func (a *app) proofCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "proof GRANT",
		Short: "Write down what proves a grant's history",
		Long: `Write a file that proves what happened under a grant: what was allowed, every
opening and refusal that your custodians recorded, and the withdrawal. Anybody
can check it with 'preezm verify FILE.zip', without any network. It does not
show what was done with a file after it was opened.`,
		Example: `  preezm proof g-1a2b3c4d -o lease.zip
  preezm verify lease.zip`,
		Args: oneGrant,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("where to? Name a file with -o")
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				b, err := api.Proof(ctx, args[0])
				if err != nil {
					return err
				}
				r, err := ledger.VerifyProof(b)
				if err != nil {
					return err
				}
				if err := writeNew(out, b); err != nil {
					return err
				}
				cs, err := api.Custodians(ctx)
				if err != nil {
					return err
				}
				names := map[string]string{}
				for _, c := range cs {
					names[c.LogKey] = c.Name
				}
				return a.printProof(r, names)
			})
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "the `file` to write, which must not exist (needed)")
	return cmd
}

// proofFile reads the argument of verify when it is a proof on this disk: any ZIP
// file that says of itself that it is one; a damaged name is found at either end.
func proofFile(args []string) ([]byte, bool, error) {
	return recordFile(args, ".zip", ledger.MaxProof, "proof.cbor", "preezm")
}

// recordFile reads the argument of verify when it is a file on this disk with that
// ending and one of the marks in it, and not the name of something kept.
func recordFile(args []string, ending string, most int64, marks ...string) ([]byte, bool, error) {
	if len(args) != 1 || !strings.HasSuffix(args[0], ending) {
		return nil, false, nil
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, false, nil // the name of something kept
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, false, err
	}
	return b, slices.ContainsFunc(marks, func(m string) bool { return bytes.Contains(b, []byte(m)) }), nil
}

func (a *app) verifyProof(b []byte) error {
	r, err := ledger.VerifyProof(b)
	if err != nil {
		return err
	}
	return a.printProof(r, nil)
}

// proofView is a report for a program.
type proofView struct {
	Grant     string         `json:"grant"`
	Owner     string         `json:"owner_key"`
	Brand     string         `json:"brand_key"`
	NotBefore time.Time      `json:"not_before"`
	NotAfter  time.Time      `json:"not_after"`
	Purpose   string         `json:"purpose,omitempty"`
	Made      time.Time      `json:"made"`
	Revoked   *time.Time     `json:"revoked,omitempty"`
	Logs      int            `json:"logs"`
	Of        int            `json:"custodians"`
	Refusals  int            `json:"refusals"`
	Openings  []proofOpening `json:"openings"`
	Findings  []proofFinding `json:"findings"` // what in it proves nothing
}

type proofFinding struct {
	Part      string `json:"part"`
	Custodian string `json:"custodian,omitempty"`         // its name, where it is known
	LogKey    string `json:"custodian_log_key,omitempty"` // of a log
	Entry     uint64 `json:"entry,omitempty"`
	Text      string `json:"text"`
}

type proofOpening struct {
	At         time.Time `json:"at"`
	Device     string    `json:"device"`
	File       string    `json:"file"`
	Version    uint64    `json:"version"`
	Custodians int       `json:"custodians"`
	Enough     bool      `json:"enough"`
}

// printProof says what a proof holds. names are those of custodians by the keys
// of their logs, which only their owner knows.
func (a *app) printProof(r *ledger.Report, names map[string]string) error {
	g := &r.Grant.Body
	v := proofView{
		Grant: ticket.ShortID(g.ID), Owner: g.Owner.String(), Brand: g.Grantee.String(), Purpose: g.Purpose,
		NotBefore: time.Unix(g.NotBefore, 0), NotAfter: time.Unix(g.NotAfter, 0), Made: time.Unix(r.At, 0),
		Logs: r.Logs, Of: len(g.Custodians), Refusals: r.Refusals, Openings: []proofOpening{}, Findings: []proofFinding{},
	}
	if r.RevokedAt > 0 {
		at := time.Unix(r.RevokedAt, 0)
		v.Revoked = &at
	}
	for _, o := range r.Openings {
		v.Openings = append(v.Openings, proofOpening{time.Unix(o.At, 0), o.Label, o.File.String(), o.Version, o.Custodians, o.Enough})
	}
	for _, f := range r.Findings {
		p := proofFinding{Part: f.Part, Entry: f.Entry, Text: f.Text}
		if f.Custodian != (custody.Key{}) {
			p.LogKey = f.Custodian.String()
			p.Custodian = names[p.LogKey]
		}
		v.Findings = append(v.Findings, p)
	}
	if a.json {
		return a.printJSON(v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the proof is whole. Made %s with the logs of %d of %d custodians.\n", v.Grant, second(v.Made), v.Logs, v.Of)
	fmt.Fprintf(&b, "  owner  %s\n  brand  %s\n  from %s until %s\n", v.Owner, v.Brand, second(v.NotBefore), second(v.NotAfter))
	for _, o := range v.Openings {
		fmt.Fprintf(&b, "  opened %s  file %s  by %s\n", second(o.At), o.File, printable(o.Device))
	}
	if len(v.Openings) == 0 {
		b.WriteString("  never opened, as far as these logs tell\n")
	}
	if v.Refusals > 0 {
		fmt.Fprintf(&b, "  refusals in the logs: %d\n", v.Refusals)
	}
	if v.Revoked != nil {
		fmt.Fprintf(&b, "  withdrawn %s\n", second(*v.Revoked))
	}
	for _, f := range v.Findings {
		who := f.Part
		switch {
		case f.Custodian != "":
			who += " (of " + printable(f.Custodian) + ")"
		case f.LogKey != "":
			who += " (signed by " + cut(f.LogKey, 16) + ")"
		}
		fmt.Fprintf(&b, "  NOT IN ORDER  %s: %s\n", who, oneLine(f.Text))
	}
	if n := int64(len(v.Findings)); n > 0 {
		fmt.Fprintf(&b, "  %s not in order; the rest holds without it\n", count(n, "piece is", "pieces are"))
	}
	if _, err := io.WriteString(a.out, b.String()); err != nil {
		return err
	}
	a.note("Compare the keys with those you know. Whoever opened a file may have kept a copy.")
	return nil
}
