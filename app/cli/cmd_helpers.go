// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

func (a *app) helpersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "helpers",
		Short: "Who can bring you back without your words, and whom you help",
		Long: `Helpers are persons of your circle who together can bring everything back when
your words are lost: three of five, or two of three. Each keeps a part that opens
nothing alone. A helper gives its part to a new machine only after the person read
two words out to them, and three days in which your machines and all other helpers
are warned and any of them can forbid it.`,
		Example: `  preezm helpers add anna ben clara dov eva
  preezm helpers requests`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listHelpers(cmd) },
	}
	cmd.AddCommand(a.helpersListCommand(), a.helpersAddCommand(), a.helpersRemoveCommand(), a.helpersRenewCommand(),
		a.helpersRequestsCommand(), a.helpersApproveCommand(), a.helpersVetoCommand())
	return cmd
}

func (a *app) helpersListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Show your helpers, and whom you help",
		Example: `  preezm helpers list`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listHelpers(cmd) },
	}
}

func (a *app) listHelpers(cmd *cobra.Command) error {
	return a.with(cmd, func(ctx context.Context, api node.API) error {
		set, err := api.Helpers(ctx)
		if err != nil {
			return err
		}
		return a.printHelpers(set)
	})
}

func (a *app) printHelpers(set node.HelperSet) error {
	if a.json {
		return a.printJSON(set)
	}
	var errs []error
	if len(set.Helpers) == 0 {
		errs = append(errs, a.say("You have no helpers. 'preezm helpers add NAME NAME NAME' asks three persons of your circle, or five."))
	} else {
		t := &table{head: []string{"NAME", "DEVICE", "HAS ITS PART"}}
		for _, h := range set.Helpers {
			t.add(printable(h.Name), h.Device.Short(), partText(h))
		}
		errs = append(errs, t.print(a.out), a.say("%s Each waits for %s after agreeing.", together(set.K, len(set.Helpers)), delayText(set.Delay)))
		if set.Outdated {
			errs = append(errs, a.say("They were named before this person had all of today's machines, and would not warn all of them: 'preezm helpers renew' makes their parts anew."))
		}
		if !set.Words {
			errs = append(errs, a.say("Your files, circle and grants come back; the 24 words do not, since this machine has them no more."))
		}
	}
	for _, h := range set.Helped {
		errs = append(errs, a.say("You help %s since %s.", printable(h.Owner), clock(h.Since)))
	}
	return errors.Join(errs...)
}

// partText says whether a helper has its part.
func partText(h node.Helper) string {
	var text string
	switch {
	case h.Left:
		text = "left your circle: 'preezm helpers renew' goes on without it"
	case !h.Kept.IsZero():
		text = clock(h.Kept)
	case h.Handing:
		text = "not yet: 'preezm serve' goes on asking"
	default:
		text = "not yet, as far as this machine knows; if the one that named it is lost: 'preezm helpers renew'"
	}
	if !h.Problem.IsZero() && h.Kept.IsZero() {
		text += " (" + oneLine(h.Problem.Text) + ")"
	}
	return text
}

func together(k, n int) string {
	return fmt.Sprintf("%d of these %d together could open everything.", k, n)
}

func delayText(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return count(int64(d/(24*time.Hour)), "day", "days")
	}
	return count(int64(d/time.Hour), "hour", "hours")
}

func (a *app) helpersAddCommand() *cobra.Command {
	var yes bool
	var delay time.Duration
	cmd := &cobra.Command{
		Use:   "add NAME...",
		Short: "Make persons of your circle your helpers",
		Long: `Make machines of your circle, by name or device, your helpers, beside those that
you have. More than half of them are needed to bring you back. All parts are made
anew each time. Choose persons who do not act together against you, and tell them:
they may be called one day, by voice.`,
		Example: `  preezm helpers add anna ben clara dov eva`,
		Args:    atLeastOne("machines"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if delay != 0 && delay < time.Hour || delay > 30*24*time.Hour {
				return usagef("--delay is an hour at least and 30 days at most")
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				set, err := api.Helpers(ctx)
				if err != nil {
					return err
				}
				all := []string{}
				for _, h := range set.Helpers {
					all = append(all, h.Name)
				}
				for _, n := range args {
					if !slices.Contains(all, n) {
						all = append(all, n)
					}
				}
				if err := a.sureHelpers(len(all), yes); err != nil {
					return err
				}
				set, err = api.AddHelpers(ctx, node.HelperOrder{Names: args, Delay: delay})
				if err != nil {
					return err
				}
				return a.printHelpers(set)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().DurationVar(&delay, "delay", 0, "`time` between a helper's yes and its part (default 72h)")
	return cmd
}

func (a *app) sureHelpers(n int, yes bool) error {
	if n < 3 {
		return nil // refused with the reason
	}
	a.note("%s", together(n/2+1, n))
	if yes {
		return nil
	}
	text, err := a.line("Do you want that? [y/n] ")
	if err != nil {
		return fmt.Errorf("nobody agreed: %w; a script says --yes", err)
	}
	if sure, _ := yesOrNo(text); sure {
		return nil
	}
	return &saidError{"nothing was changed"}
}

func (a *app) helpersRemoveCommand() *cobra.Command {
	var yes, everyone bool
	cmd := &cobra.Command{
		Use:   "remove NAME...",
		Short: "Let a person help you no more",
		Long: `Make new parts without some helpers: what they keep is of no use with the new ones
and is dropped. With --all nobody helps you any more.`,
		Example: `  preezm helpers remove ben
  preezm helpers remove --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if everyone == (len(args) > 0) {
				return usagef("which helpers? Name at least one, or give --all alone")
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				set, err := api.Helpers(ctx)
				if err != nil {
					return err
				}
				if !everyone {
					if err := a.sureHelpers(len(set.Helpers)-len(args), yes); err != nil {
						return err
					}
				}
				set, err = api.RemoveHelpers(ctx, node.HelperOrder{Names: args, All: everyone})
				if err != nil {
					return err
				}
				return a.printHelpers(set)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&everyone, "all", false, "all of them")
	return cmd
}

func (a *app) helpersRenewCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Make the parts of your helpers anew",
		Long: `Give the same helpers new parts; the old ones are of no use with them. Do it after
you were brought back, after a machine of yours came or went (the new parts say whom
to warn), and after a helper left your circle.`,
		Example: `  preezm helpers renew`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				set, err := api.Helpers(ctx)
				if err != nil {
					return err
				}
				if len(set.Helpers) == 0 {
					return &saidError{"you have no helpers: 'preezm helpers add' names some"}
				}
				still := slices.DeleteFunc(slices.Clone(set.Helpers), func(h node.Helper) bool { return h.Left })
				key, err := api.Key(ctx)
				if err != nil {
					return err
				}
				if set.Words && !key.WordsThere {
					a.note("This machine does not hold your 24 words: the old parts bring them back too, the new ones will not. Everything else comes back with both.")
				}
				if err := a.sureHelpers(len(still), yes); err != nil {
					return err
				}
				if set, err = api.AddHelpers(ctx, node.HelperOrder{}); err != nil {
					return err
				}
				return a.printHelpers(set)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) helpersRequestsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "requests",
		Short:   "Show who wants to bring somebody back",
		Example: `  preezm helpers requests`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				rs, err := api.HelperRequests(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(rs)
				}
				if len(rs) == 0 {
					return a.say("Nobody asked.")
				}
				for _, r := range rs {
					if err := a.say("%s  %s", r.ID, requestText(r)); err != nil {
						return err
					}
				}
				a.note("Call the person whose files these are, or somebody who sees them. If it is not them: 'preezm helpers veto ID'.")
				return nil
			})
		},
	}
}

// requestText is one sentence about a request.
func requestText(r node.HelperRequest) string {
	who := fmt.Sprintf("%q asks to bring %s back", printable(r.Newcomer), printable(r.Owner))
	switch {
	case r.State == "asked":
		return fmt.Sprintf("%s, since %s. By voice, ask for words %d and %d on their screen, then 'preezm helpers approve %s'.", who, clock(r.At), r.Places[0], r.Places[1], r.ID)
	case r.State == "agreed" && r.Here:
		return fmt.Sprintf("%s. You agreed; your part may be had from %s.", who, clock(r.Until))
	case r.State == "agreed":
		return fmt.Sprintf("%s. %s agreed; its part may be had from %s. 'preezm helpers veto %s' forbids it.", who, printable(r.By), clock(r.Until), r.ID)
	case r.State == "given":
		return who + ". Your part was given."
	case r.State == "refused":
		return who + ". The words were wrong three times: refused."
	case r.By != "":
		return fmt.Sprintf("%s. Forbidden by %s.", who, printable(r.By))
	}
	return who + ". Forbidden."
}

func (a *app) helpersApproveCommand() *cobra.Command {
	var given string
	cmd := &cobra.Command{
		Use:   "approve REQUEST",
		Short: "Agree that somebody is brought back",
		Long: `Agree to a request after you spoke with the person: two of the four words on their
screen are asked, as you hear them. Three wrong tries end the request. From here
the delay runs, and everybody else is warned. 'preezm serve' should run here.`,
		Example: `  preezm helpers approve 1a2b3c4d`,
		Args:    oneRequest,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				rs, err := api.HelperRequests(ctx)
				if err != nil {
					return err
				}
				o := node.ApproveOrder{ID: args[0]}
				for _, r := range rs {
					if !r.Here || !strings.HasPrefix(r.ID, strings.ToLower(args[0])) || r.State != "asked" {
						continue
					}
					typed := strings.Fields(given)
					if given == "" {
						for _, p := range r.Places {
							w, err := a.line(fmt.Sprintf("Word %d, as %s reads it: ", p, printable(r.Newcomer)))
							if err != nil {
								return err
							}
							typed = append(typed, w)
						}
					}
					if len(typed) != 2 {
						return usagef("two words are needed: number %d and number %d", r.Places[0], r.Places[1])
					}
					o.Words = [2]string(typed)
				}
				r, err := api.ApproveRequest(ctx, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				return a.say("You agreed. Your part may be had from %s, unless somebody forbids it.", clock(r.Until))
			})
		},
	}
	cmd.Flags().StringVar(&given, "words", "", "the two `words`, instead of being asked")
	return cmd
}

func oneRequest(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("which request? 'preezm helpers requests' shows them")
	}
	return nil
}

func (a *app) helpersVetoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "veto REQUEST",
		Short: "Forbid that somebody is brought back",
		Long: `End a request for good, here and with every other helper that can be reached; the
others are told as they come. A machine of the person may do so, and any helper.`,
		Example: `  preezm helpers veto 1a2b3c4d`,
		Args:    oneRequest,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := api.VetoRequest(ctx, args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				return a.say("Request %s is forbidden, here at once and with the others as they hear of it.", r.ID)
			})
		},
	}
}

// saidRequests warns, in status, of requests that are open.
func (a *app) saidRequests(ctx context.Context, api node.API) error {
	rs, err := api.HelperRequests(ctx)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if r.State != "asked" && r.State != "agreed" {
			continue
		}
		if err := a.say("! Request %s: %s", r.ID, requestText(r)); err != nil {
			return err
		}
	}
	return nil
}
