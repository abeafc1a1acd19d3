// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/brand"
)

// brandAtRisk says what brings the company's key back, or that nothing does.
func (a *app) brandAtRisk(ctx context.Context, api node.API) error {
	circle, err := api.Circle(ctx, false)
	if err != nil {
		return err
	}
	for _, m := range circle {
		if m.Keeper {
			a.note("A copy of its keys goes to your circle with the list of your files; 'preezm recover' and your 24 words bring it back.")
			return nil
		}
	}
	a.note("Its key is on this machine alone, and nobody can replace it: 'preezm brand save -o FILE' writes a copy to keep elsewhere. It opens with your 24 words only ('preezm words show').")
	return nil
}

func (a *app) brandSaveCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "save -o FILE",
		Short: "Write a copy of the company to keep elsewhere",
		Long: `Write the company's keys, members, tickets and requests to a new file, encrypted:
it opens with the 24 words of this home and nothing else. Keep it where this machine
is not, such as on a stick in a drawer, and make a new one from time to time.

A home with a circle keeps such a copy there by itself, with the list of its files.`,
		Example: `  preezm brand save -o /media/stick/acme.copy`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usagef("where to? Name a new file with -o FILE")
			}
			path, err := filepath.Abs(to)
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.SaveBrand(ctx, path)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(s)
				}
				if err := a.say("%s is in %s, with %s and %s.", printable(s.Name), printable(s.File), count(int64(s.Tickets), "ticket", "tickets"), count(int64(s.Members), "other machine", "other machines")); err != nil {
					return err
				}
				if s.Left > 0 {
					a.note("%s had no room in it: their owners can send them again.", count(int64(s.Left), "old ticket or request", "old tickets and requests"))
				}
				a.note("It opens with the 24 words of this home only. 'preezm brand restore FILE' in another home makes that one the company's office.")
				k, err := api.Key(ctx)
				if err == nil && k.WordsThere {
					a.note("%s", remindWords)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&to, "output", "o", "", "the new `file` (needed)")
	return cmd
}

func (a *app) brandRestoreCommand() *cobra.Command {
	var wordsFile string
	cmd := &cobra.Command{
		Use:   "restore [FILE]",
		Short: "Make this home the office of a company whose machine is lost",
		Long: `Bring a company back whose office is lost: from a file of 'preezm brand save', or
without FILE from the copy that your machines keep for each other. The home must
exist ('preezm init') and be no company's.

A copy that another home made asks for that home's 24 words (--words-file reads them
from a file, '-' for standard input).

Who was shut out after the copy was made is not in it. So all other machines of the
company are shut out, and join again with 'preezm brand member invite'. Do this only
when the old office is gone: two of them would contradict each other.`,
		Example: `  preezm brand restore /media/stick/acme.copy
  preezm brand restore`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("one file at a time")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var o node.BrandRestore
			if len(args) == 1 {
				path, err := filepath.Abs(args[0])
				if err != nil {
					return err
				}
				o.From = path
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.RestoreBrand(ctx, o)
				if errors.Is(err, brand.ErrCopyKey) {
					a.note("This copy was made in another home, and opens with that home's 24 words.")
					if o.Words, err = a.wordList(wordsFile); err != nil {
						return err
					}
					s, err = api.RestoreBrand(ctx, o)
				}
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(s)
				}
				if err := a.saidBack(&node.Recovered{Brand: &s.CopyInfo}); err != nil {
					return err
				}
				a.note("The copy is as of %s: tickets that came later have to be sent again by their owners.", clock(s.Made))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&wordsFile, "words-file", "", "read the words from this `file` ('-': standard input)")
	return cmd
}
