// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/grants"
)

func (a *app) ledgerCommand() *cobra.Command {
	var grant string
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Show what your custodians have written down",
		Long: `Show the logs of your custodians: every release, refusal and withdrawal, by
time. Each custodian keeps a chain that it cannot change later without being
found out ('preezm verify-ledger').`,
		Example: `  preezm ledger
  preezm ledger --grant g-1a2b3c4d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				l, err := api.Ledger(ctx)
				if err != nil {
					return err
				}
				if grant != "" {
					kept := []grants.Line{}
					for _, e := range l.Entries {
						if e.Grant != "" && strings.HasPrefix(e.Grant, strings.ToLower(grant)) {
							kept = append(kept, e)
						}
					}
					l.Entries = kept
				}
				if a.json {
					return a.printJSON(l)
				}
				return a.printLedger(l)
			})
		},
	}
	cmd.Flags().StringVar(&grant, "grant", "", "only about this `grant`")
	return cmd
}

func (a *app) printLedger(l *node.LedgerView) error {
	if len(l.Entries) == 0 {
		if err := a.say("Nothing has been written down, as far as your custodians have told."); err != nil {
			return err
		}
	} else {
		t := &table{head: []string{"TIME", "CUSTODIAN", ">NO", "WHAT", "GRANT", "FILE", "DETAIL"}}
		for _, e := range l.Entries {
			detail := e.Detail
			if e.Who != "" {
				detail = e.Who
			}
			t.add(second(e.At), printable(e.Custodian), strconv.FormatUint(e.Seq, 10), e.Kind, cut(e.Grant, 14), printable(e.Path), oneLine(detail))
		}
		if err := t.print(a.out); err != nil {
			return err
		}
	}
	for _, n := range l.Notes {
		a.note("note: %s", oneLine(n.Text))
	}
	return nil
}

func (a *app) verifyLedgerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify-ledger",
		Short: "Check that no custodian changed its log",
		Long: `Check every custodian's log, as it was received, entry by entry: that each
follows the one before it, is signed by its custodian, and that nothing the
custodian told before is missing now. Names the first bad entry and ends with
exit status 1 when there is one.`,
		Example: `  preezm verify-ledger`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				list, err := api.VerifyLedger(ctx)
				if err != nil {
					return err
				}
				bad := 0
				for _, c := range list {
					if !c.Good {
						bad++
					}
				}
				if a.json {
					if list == nil {
						list = []grants.Checked{}
					}
					err = a.printJSON(list)
				} else {
					err = a.printChecked(list)
				}
				if err == nil && bad > 0 {
					err = &saidError{count(int64(bad), "log is", "logs are") + " not what the custodian told before"}
				}
				return err
			})
		},
	}
}

func (a *app) printChecked(list []grants.Checked) error {
	for _, c := range list {
		verdict := "good"
		if !c.Good {
			verdict = "BAD: " + oneLine(c.Why.Text)
		}
		if err := a.say("%s: %s, %s", printable(c.Custodian), count(int64(c.Entries), "entry", "entries"), verdict); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		return a.say("You have no custodians.")
	}
	return nil
}
