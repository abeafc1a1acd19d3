// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers/vault"
)

const (
	// lockTime is how long a running node may take to shut the owner's part:
	// what is under way winds up first.
	lockTime = 60 * time.Second
	// lockLook is how often it is looked at meanwhile.
	lockLook = 50 * time.Millisecond
)

func (a *app) lockCommand() *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Shut your part of the running home",
		Long: `Let the running node close your catalog and drop your keys. It goes on keeping
pieces for others, and as a custodian, meanwhile. 'preezm unlock' opens it
again.

With --after it locks by itself when nobody used it for that long; 0 is never.
What a watched folder changes waits until it is unlocked.`,
		Example: "  preezm lock\n  preezm lock --after 15m",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var o node.LockOrder
			if cmd.Flags().Changed("after") {
				d, err := parseLockAfter(after)
				if err != nil {
					return err
				}
				o.After = &d
				return a.with(cmd, func(ctx context.Context, api node.API) error {
					k, err := api.Lock(ctx, o)
					if err != nil {
						return err
					}
					return a.printKey(k)
				})
			}
			return a.change(cmd, true, func(ctx context.Context, api node.API) (node.KeyState, error) { return api.Lock(ctx, o) })
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "lock by itself after this `time` without use, such as 15m; 0 for never")
	return cmd
}

func parseLockAfter(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Minute {
		return 0, usagef("%q is no time to lock after: write it like 15m, a minute at least, or 0 for never", text)
	}
	return d, nil
}

func (a *app) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unlock",
		Short:   "Open your part of the running home again",
		Example: "  preezm unlock",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.change(cmd, false, func(ctx context.Context, api node.API) (node.KeyState, error) {
				k, err := api.Key(ctx)
				if err != nil || !k.Locked {
					return k, err
				}
				var phrase []byte
				if k.By == vault.ByPassphrase {
					if phrase, err = a.passphrase(); err != nil {
						return k, err
					}
				}
				return api.Unlock(ctx, phrase)
			})
		},
	}
}

// change locks or unlocks and waits until the node says that it is so.
func (a *app) change(cmd *cobra.Command, locked bool, f func(context.Context, node.API) (node.KeyState, error)) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	if _, err := node.ReadSettings(home); err != nil {
		return err
	}
	api, err := node.Dial(cmd.Context(), home)
	if errors.Is(err, node.ErrNotServing) {
		return node.ErrNothingRuns
	}
	if err != nil {
		return err
	}
	k, err := f(cmd.Context(), api)
	if err := errors.Join(err, api.Close()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), lockTime)
	defer cancel()
	for k.Locked != locked {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the node is not done after %v; try again later", lockTime)
		case <-time.After(lockLook):
		}
		k = a.keyNow(ctx, home, k)
	}
	return a.printKey(k)
}

// keyNow asks a node that may be between two lives.
func (a *app) keyNow(ctx context.Context, home string, before node.KeyState) node.KeyState {
	api, err := node.Dial(ctx, home)
	if err != nil {
		return before
	}
	k, err := api.Key(ctx)
	if errors.Join(err, api.Close()) != nil {
		return before
	}
	return k
}

func (a *app) printKey(k node.KeyState) error {
	if a.json {
		return a.printJSON(k)
	}
	state := "Unlocked."
	if k.Locked {
		state = "Locked. It goes on keeping for others; 'preezm unlock' opens your part again."
	}
	return errors.Join(append([]error{a.say("%s", state)}, a.sayKept(k)...)...)
}

// sayKept says what keeps the key, and when it locks.
func (a *app) sayKept(k node.KeyState) []error {
	lines := []error{a.say("Key        %s", keptBy(k.By))}
	if k.Machine != k.By {
		lines = append(lines, a.say("Machine    its part opens by a file beside it, so that it starts by itself; who copies the folder\n           learns who is in your circle, and nothing of your files"))
	}
	if k.By != vault.ByPassphrase && k.Locked {
		lines = append(lines, a.say("Whoever sits at this account can unlock it: only a passphrase keeps them out ('preezm rewrap --with passphrase')."))
	}
	if k.LockAfter > 0 {
		lines = append(lines, a.say("Locks      by itself after %v without use", k.LockAfter))
	}
	return lines
}

func (a *app) rewrapCommand() *cobra.Command {
	var how sealFlags
	var file string
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Change what keeps the home's key: keychain, passphrase or file",
		Long: `Change what keeps the key of this home, or the passphrase. Files are not
touched: only the key that opens them is wrapped anew. A copy of the home folder
that somebody took before still opens the old way.

The new passphrase is asked twice; a script gives it in $PREEZM_NEW_PASSPHRASE or
with --new-passphrase-file.`,
		Example: "  preezm rewrap --with passphrase\n  preezm rewrap --with passphrase --unattended\n  preezm rewrap --with keychain",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if how.with == "" {
				return usagef("say what is to keep the key: --with keychain, passphrase or keyfile")
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := a.seal(how, func() ([]byte, error) { return a.newPassphrase(file, newPassphraseEnv) })
				if err != nil {
					return err
				}
				k, err := api.Rewrap(ctx, s)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(k)
				}
				return errors.Join(append([]error{a.say("It is done; nothing else changed.")}, a.sayKept(k)...)...)
			})
		},
	}
	how.add(cmd)
	cmd.Flags().StringVar(&file, "new-passphrase-file", "", "`file` with the new passphrase in its first line")
	return cmd
}
