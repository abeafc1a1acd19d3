// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

func (a *app) auditCommand() *cobra.Command {
	var sample int
	cmd := &cobra.Command{
		Use:   "audit [MACHINE]",
		Short: "Have machines prove that they still hold your pieces",
		Long: `Ask a machine of your circle, or all, to prove at random places of a random
sample of your pieces that it still has them. That costs a few kilobytes, where
'preezm verify' fetches everything. The running node does it once a night for
each machine. What is not proven is made anew, and a machine that fails too
often is relied on no more.

The exit status is 1 if a machine that answered did not pass.`,
		Example: `  preezm audit
  preezm audit attic-nas --sample 500`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("name one machine, or none for all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o := node.AuditOrder{Sample: sample}
			if len(args) == 1 {
				o.Who = args[0]
			}
			if sample < 0 {
				return usagef("--sample %d: how many pieces?", sample)
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m := a.meter()
				r, err := api.Audit(ctx, o, m.update)
				m.done()
				if err != nil {
					return err
				}
				return a.saidAudit(r)
			})
		},
	}
	cmd.Flags().IntVar(&sample, "sample", 0, "how many `pieces` of each machine (default 20)")
	return cmd
}

func (a *app) saidAudit(r *engine.AuditReport) error {
	bad := 0
	for _, k := range r.Keepers {
		if k.Bad() {
			bad++
		}
	}
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if err := a.printAudit(r); err != nil {
		return err
	}
	if bad > 0 {
		return &saidError{fmt.Sprintf("%s did not prove all it was asked for", machines(bad))}
	}
	return nil
}

func (a *app) printAudit(r *engine.AuditReport) error {
	if len(r.Keepers) == 0 {
		return a.say("No machine keeps for you yet: 'preezm invite' prints a code for a friend.")
	}
	t := &table{head: []string{"MACHINE", "DEVICE", ">PROVEN", ">SCORE", "RESULT"}}
	for _, k := range r.Keepers {
		proven, score := "-", "-"
		if !k.Absent && k.Asked > 0 {
			proven, score = fmt.Sprintf("%d of %d", k.Good, k.Asked), fmt.Sprintf("%.2f", k.Score)
		}
		text, sgr := oneLine(k.Text), green
		switch {
		case k.Failing:
			sgr = red
		case k.Bad():
			sgr = yellow
		case k.Absent || k.Asked == 0:
			sgr = ""
		}
		if sgr != "" {
			text = a.paint(sgr, text)
		}
		t.add(printable(k.Name), k.Device.Short(), proven, score, text)
	}
	return t.print(a.out)
}
