// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

func (a *app) brandCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "brand",
		Short: "Be a company that people grant files to",
		Long: `Make this home a company's: people then grant it files with its card, and it
opens them with the tickets it gets ('preezm open').`,
		Example: `  preezm brand init --name "ACME Insurance" --label "claims desk 2"
  preezm brand card > acme.card`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var o node.BrandOptions
	init := &cobra.Command{
		Use:   "init",
		Short: "Make this home a company's",
		Long: `Make the company's keys in this home. The home must exist ('preezm init'); it
need not be in any circle. The label names this machine to the people whose
files it opens: choose a role, not a person.`,
		Example: `  preezm brand init --name "ACME Insurance" --label "claims desk 2"`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Name == "" {
				return usagef("which name? Say it with --name")
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				b, err := api.BrandInit(ctx, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(b)
				}
				if err := a.say("This home is %s now; its key is %s.", printable(b.Name), b.Key); err != nil {
					return err
				}
				a.note("'preezm brand card' prints what people need to grant it files. Publish the key, so that they can compare it.")
				return a.brandAtRisk(ctx, api)
			})
		},
	}
	init.Flags().StringVar(&o.Name, "name", "", "the company's `name` as people know it (needed)")
	init.Flags().StringVar(&o.Label, "label", "", "what people see of this `machine` (default: the home's name)")
	card := &cobra.Command{
		Use:     "card",
		Short:   "Print the card people need to grant you files",
		Long:    `Print the company's card: one line of text to publish. It holds no secret.`,
		Example: `  preezm brand card > acme.card`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				b, err := api.Brand(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(b)
				}
				return a.say("%s", b.Card)
			})
		},
	}
	cmd.AddCommand(init, card, a.brandSaveCommand(), a.brandRestoreCommand())
	cmd.AddCommand(a.memberCommands()...)
	cmd.AddCommand(a.brandRequestCommands()...)
	return cmd
}

func (a *app) receivedCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "received [TICKET]",
		Short: "Show what this company was granted, or keep a ticket",
		Long: `Show the grants this home received as a company, or keep one more: TICKET is
the ticket's text, a file that holds it, or '-' for standard input.`,
		Example: `  preezm grants received
  preezm grants received lease.ticket`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("one ticket at a time")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				var list []node.Received
				if len(args) == 1 {
					text, err := a.ticketText(args[0])
					if err != nil {
						return err
					}
					r, err := api.Receive(ctx, text)
					if err != nil {
						return err
					}
					list = []node.Received{r}
				} else {
					var err error
					if list, err = api.Received(ctx); err != nil {
						return err
					}
				}
				if a.json {
					return a.printJSON(list)
				}
				if len(list) == 0 {
					return a.say("Nothing was received.")
				}
				for _, r := range list {
					if err := a.printReceived(&r); err != nil {
						return err
					}
				}
				for _, text := range notices(list) {
					a.notice("Every grant says:", text)
				}
				return nil
			})
		},
	}
}

// notices are the different ones among what was received.
func notices(list []node.Received) (out []string) {
	for _, r := range list {
		if r.Notice != "" && !slices.Contains(out, r.Notice) {
			out = append(out, r.Notice)
		}
	}
	return out
}

func (a *app) printReceived(r *node.Received) error {
	if r.State == node.Unreadable {
		a.note("note: a ticket cannot be read: %s. Keep it again from what you were sent, or remove the file.", oneLine(r.Problem.Text))
		return nil
	}
	state := "until " + second(r.NotAfter) + " (" + took(time.Until(r.NotAfter)) + " left)"
	switch r.State {
	case grants.Ended:
		state = "ended " + second(r.NotAfter)
	case grants.Waiting:
		state = "begins " + second(r.NotBefore)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  from %s  %s\n", r.ID, cut(r.Owner, 12), state)
	for i, f := range r.Files {
		fmt.Fprintf(&b, "  %3d  %s  %s\n", i+1, printable(f.Name), size(f.Size))
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

// ticketText reads a ticket: the text itself, standard input, or a file.
func (a *app) ticketText(arg string) (string, error) {
	var r io.Reader
	switch {
	case arg == "-":
		r = a.in
	case strings.HasPrefix(arg, ticket.Prefix):
		return arg, nil
	default:
		f, err := os.Open(arg)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, ticket.MaxText))
	text := strings.TrimSpace(string(b))
	if err == nil && !strings.HasPrefix(text, ticket.Prefix) {
		err = fmt.Errorf("%q %w", arg, ticket.ErrTicket)
	}
	return text, err
}

func (a *app) openCommand() *cobra.Command {
	var o node.OpenOrder
	var wait string
	cmd := &cobra.Command{
		Use:   "open GRANT [FILE...]",
		Short: "Open files that this company was granted",
		Long: `Open files under a grant into a folder. GRANT is the ticket (text, file or '-')
or the grant's name once it was received; FILE is a name or number of
'preezm grants received', and all of them when left out.

The owner's custodians are asked each time, and the owner sees each opening. What
was opened stays in the folder: what happens to it then is this company's to
answer for.

Custodians may be off. With --wait the command goes on asking, and letters to
those that sleep wait at the gateway. Stop it whenever you like: the same command
goes on later with the same request, which counts once, however often it is tried.`,
		Example: `  preezm open lease.ticket --to ~/case-42
  preezm open g-1a2b3c4d lease.pdf --to ~/case-42 --wait 72h`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which grant? Give its ticket or its name")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.To == "" {
				return usagef("where to? Name a folder with --to")
			}
			var err error
			if o.To, err = filepath.Abs(o.To); err != nil {
				return err
			}
			if o.Wait, err = parseDays("--wait", wait); err != nil {
				return err
			}
			o.Files = args[1:]
			if o.Grant, err = a.ticketText(args[0]); err != nil {
				if !errors.Is(err, os.ErrNotExist) {
					return err
				}
				o.Grant = args[0] // its name
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m := a.meter()
				var last engine.Progress
				r, err := api.OpenGrant(ctx, o, func(p engine.Progress) {
					last = p
					m.update(p)
				})
				m.done()
				if errors.Is(err, context.Canceled) && last.Stage == engine.StageAsk && last.Files < last.TotalFiles {
					a.left(last.Now, int(last.Files), int(last.TotalFiles))
				}
				return a.printOpened(r, err)
			})
		},
	}
	cmd.Flags().StringVar(&o.To, "to", "", "the `folder` to open into, made when missing (needed)")
	cmd.Flags().StringVar(&wait, "wait", "", "how `long` to wait for custodians that do not answer, such as 10m")
	return cmd
}

func (a *app) printOpened(r *node.OpenReport, err error) error {
	if r == nil {
		return err
	}
	if a.json {
		if perr := a.printJSON(r); perr != nil {
			return perr
		}
	} else {
		for _, f := range r.Files {
			word := "opened"
			if f.Before {
				word = "opened before"
			}
			if perr := a.say("%s %s  %s  %s", word, printable(f.Name), size(f.Size), printable(f.Path)); perr != nil {
				return perr
			}
		}
	}
	for _, key := range r.Liars {
		a.note("warning: a custodian of this grant signed a wrong share. Tell the owner: 'preezm custodians who %s' says whose machine it is.", printable(key[:min(len(key), 16)]))
	}
	switch {
	case err == nil && !a.json:
		a.note("Under %s until %s. The owner sees this opening.", r.Grant, second(r.NotAfter))
	case errors.Is(err, brand.ErrOfficeRefused), errors.Is(err, brand.ErrOffice):
		return err
	case errors.Is(err, peers.ErrRefused) && !errors.Is(err, node.ErrWaiting):
		return &saidError{oneLine(err.Error()) + ". The owner may have withdrawn the grant, or its gateway has not heard of the owner yet"}
	case errors.Is(err, peers.ErrUnreachable) && !errors.Is(err, node.ErrWaiting):
		return &saidError{oneLine(err.Error()) + ". Try again later, or with --wait 72h: the owner's machines may be off"}
	case errors.Is(err, node.ErrGrantRefused) && r.Signed == 0:
		return &saidError{fmt.Sprintf("%s: the gateway says: %s", r.Grant, brand.Explain(custody.Reason(r.Refused)))}
	case errors.Is(err, node.ErrGrantRefused):
		return &saidError{fmt.Sprintf("%s: the owner's custodians refuse: %s", r.Grant, brand.Explain(custody.Reason(r.Refused)))}
	}
	return err
}
