// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers"
)

// importTime bounds what a command waits to hear of other machines.
const importTime = 15 * time.Second

func (a *app) deviceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "device",
		Short: "Your own machines: list, add and remove them",
		Long: `All your own machines see the same files and can keep, bring back and grant
them. 'preezm device add' on one and 'preezm device join' on another make that
other one yours as well.`,
		Example: `  preezm device list
  preezm device add`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.deviceListCommand(), a.deviceAddCommand(), a.deviceJoinCommand(), a.deviceRemoveCommand())
	return cmd
}

func (a *app) deviceListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Show your own machines",
		Example: `  preezm device list`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				ds, err := api.Devices(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(ds)
				}
				t := &table{head: []string{"NAME", "DEVICE", "ADDED", "LAST COPY", ""}}
				for _, d := range ds {
					note := ""
					switch {
					case d.This:
						note = "this machine"
					case !d.Removed.IsZero() && d.Stolen:
						note = "reported stolen, removed " + clock(d.Removed)
					case !d.Removed.IsZero():
						note = "removed " + clock(d.Removed)
					}
					seen := "-"
					if !d.Seen.IsZero() && !d.This {
						seen = clock(d.Seen)
					}
					t.add(printable(d.Name), d.Device.Short(), clock(d.Added), seen, note)
				}
				return t.print(a.out)
			})
		},
	}
}

func (a *app) deviceAddCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Make another machine yours as well",
		Long: `Print a code for another machine of yours, good for ten minutes, and wait until
'preezm device join' uses it there. Both show four words: only when they are the
same is it your machine, and everything you have is open to it. 'preezm serve'
must run here. With --json the code comes on standard error at once, and the one
document at the end, with the code and the "device" that it let in.`,
		Example: `  preezm device add`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error { return a.addDevice(ctx, api, yes) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask whether the words are the same: whoever has the code is let in")
	return cmd
}

func (a *app) addDevice(ctx context.Context, api node.API, yes bool) error {
	code, err := api.AddDevice(ctx)
	if err != nil {
		return err
	}
	if a.json {
		a.note("%s", code.Code) // the result comes at the end
	} else if err := a.say("%s", code.Code); err != nil {
		return err
	}
	a.note("On the other machine: 'preezm device join', then this code. It is good until %s.", clock(code.Expires))
	p, err := api.PairingDevice(ctx)
	if err != nil {
		return err
	}
	a.note("%s (%s) used it. Compare these words with those on its screen:\n\n    %s\n", printable(p.Name), p.Device.Short(), a.fourWords(p.Words))
	same := yes
	if !yes {
		if same, err = a.ask("Are they the same? [y/n] ", printable(p.Name)+" got nothing"); err != nil {
			return err
		}
	}
	d, err := api.DecideDevice(ctx, node.DeviceDecision{Device: p.Device, Yes: same})
	if err != nil {
		return err
	}
	if !same {
		return &saidError{fmt.Sprintf("%s was sent away and got nothing", printable(p.Name))}
	}
	if a.json {
		return a.printJSON(struct {
			node.NewDevice
			Device node.Device `json:"device"`
		}{code, d})
	}
	return a.say("%s is your machine now. 'preezm device list' shows all of them.", printable(d.Name))
}

func (a *app) deviceJoinCommand() *cobra.Command {
	var name, offer string
	var listen []string
	var how sealFlags
	cmd := &cobra.Command{
		Use:   "join [CODE]",
		Short: "Make this machine yours as well, with a code from another one",
		Long: `Use a code that 'preezm device add' printed on a machine of yours. It shows four
words; agree on the other machine when they are the same there. The list of your
files, your circle and your grants are here then. The home folder must be new.
Without a code on the command line it is asked for, or read from standard input.`,
		Example: `  preezm device join --name "desktop"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			if _, _, err := node.Who(home); err == nil {
				return fmt.Errorf("%s: %w", home, node.ErrHomeExists)
			}
			o := node.RecoverOptions{Name: name, Listen: listen, Version: a.version, Keychain: a.keychain()}
			if o.Offer, err = parseOffer(offer); err != nil {
				return err
			}
			code := strings.Join(args, " ")
			if code == "" || code == "-" {
				if code, err = a.readCode(); err != nil {
					return err
				}
			}
			if o.Seal, err = a.firstSeal(how); err != nil {
				return err
			}
			if err := a.joinDevice(cmd.Context(), home, code, o); err != nil {
				return err
			}
			return a.firstBackup(cmd)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what others call this machine (default: its host name)")
	cmd.Flags().StringVar(&offer, "offer", "", "`bytes` offered to the circle, such as 200GB; 0 for none (default 100 GB)")
	cmd.Flags().StringSliceVar(&listen, "listen", nil, "`host:port` to listen on (default: port 24930 of every network)")
	how.add(cmd)
	return cmd
}

func (a *app) joinDevice(ctx context.Context, home, code string, o node.RecoverOptions) error {
	m := a.meter()
	o.Note = a.noteOver(m)
	r, err := node.JoinDevice(ctx, home, code, o, func(old string, words map[string][]string) {
		a.note("%s shows the same four words, or somebody came between you:\n\n    %s\n\nAgree there, and this goes on.", printable(old), a.fourWords(words))
	}, m.update)
	m.done()
	switch {
	case errors.Is(err, context.Canceled):
		return &saidError{"stopped; the same command goes on while the code is good"}
	case errors.Is(err, peers.ErrRefused):
		return fmt.Errorf("this machine was not let in: %w", err)
	case err != nil:
		return err
	}
	if a.json {
		return a.printJSON(r)
	}
	return errors.Join(
		a.say("This machine is yours: the list of %s is here.", count(r.Files, "file", "files")),
		a.say("Next: 'preezm serve' runs it; 'preezm get / --to FOLDER' brings the files."),
	)
}

func (a *app) deviceRemoveCommand() *cobra.Command {
	var o node.DeviceRemoval
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "End that a machine counts as yours",
		Long: `Take a machine off the list of yours: the machines of your circle refuse it as
they hear of it, and your custodians refuse what it grants from then on,
whatever date it writes. Grants that you know of stay good. What is on that
machine's own disk stays there, behind its keychain or passphrase.`,
		Example: `  preezm device remove "old laptop"
  preezm device remove "old laptop" --stolen`,
		Args: oneMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Who = args[0]
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := api.RemoveDevice(ctx, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				text := fmt.Sprintf("%s is no longer one of your machines. %d of %s know it now", printable(r.Name), r.Told, machines(r.Of))
				if r.CustodianN > 0 {
					text += fmt.Sprintf(", and %d of %d custodians", r.Custodians, r.CustodianN)
				}
				if r.Told < r.Of || r.Custodians < r.CustodianN {
					text += "; the others hear of it when they are back, while 'preezm serve' runs here"
				}
				if err := a.say("%s.", text); err != nil {
					return err
				}
				if o.Stolen {
					return a.say("If it was unlocked when it was taken, whoever has it could read your keys: what was kept so far is open to them as far as they reach pieces of it, and they could name machines of theirs as yours. Then begin anew: a new home with new words, and keep your files again.")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&o.Stolen, "stolen", false, "it was stolen; note that, and tell what else to do")
	return cmd
}

// printConflicts lists the versions that are not shown although nobody replaced
// them knowingly.
func (a *app) printConflicts(ctx context.Context, api node.API) error {
	all, err := api.Conflicts(ctx)
	if err != nil {
		return err
	}
	if a.json {
		for i := range all {
			all[i].RawPath = all[i].Path.Bytes()
		}
		return a.printJSON(all)
	}
	if len(all) == 0 {
		return a.say("No two machines of yours put one name at once.")
	}
	ds, err := api.Devices(ctx)
	if err != nil {
		return err
	}
	t := &table{head: []string{"NAME", ">VERSION", ">SIZE", "KEPT", "ON"}}
	for _, c := range all {
		on := c.Origin.Short()
		for _, d := range ds {
			if d.Device == c.Origin {
				on = d.Name
			}
		}
		t.add(printable(string(c.Path)), fmt.Sprint(c.Version), size(c.Size), clock(c.Kept), printable(on))
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	return a.say("\n'preezm restore NAME --version N --to FOLDER' brings one of them back; 'preezm settle NAME' decides which one counts.")
}

// importFirst takes over what other machines of this person did, before a
// command that opens the home itself. Without an answer it goes on.
func (a *app) importFirst(ctx context.Context, api node.API) {
	n, ok := api.(*node.Node)
	if !ok || !n.Shared() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, importTime)
	defer cancel()
	if err := n.Import(ctx); err != nil {
		a.note("What your other machines did is not known here yet: %s", oneLine(err.Error()))
	}
}
