// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

// helpFlags are those of a recovery without words.
type helpFlags struct {
	on      bool
	owner   string
	invites []string
}

func (f *helpFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "helpers", false, "without the words: by your helpers")
	cmd.Flags().StringVar(&f.owner, "owner", "", "with --helpers: the `name` of your lost machine, as the helpers know it")
	cmd.Flags().StringArrayVar(&f.invites, "invite", nil, "with --helpers: a `code` that a helper's 'preezm invite' printed; repeat it")
}

// recoverByHelpers does what can be done now.
func (a *app) recoverByHelpers(cmd *cobra.Command, home string, o node.RecoverOptions, f helpFlags) error {
	if _, typing := a.keyboard(); typing && len(f.invites) == 0 {
		a.note("Ask each helper by voice for a code ('preezm invite' there). An empty line goes on without.")
		for {
			code, err := a.line("Code of a helper: ")
			if errors.Is(err, context.Canceled) {
				return err
			}
			if err != nil || code == "" {
				break
			}
			f.invites = append(f.invites, code)
		}
	}
	m := a.meter()
	o.Note = a.noteOver(m)
	h, err := node.RecoverByHelpers(cmd.Context(), home, node.HelpOptions{Recover: o, Owner: f.owner, Invites: f.invites}, m.update)
	m.done()
	if err != nil && h == nil {
		return err
	}
	if a.json {
		err = errors.Join(err, a.printJSON(h))
	} else {
		err = errors.Join(a.printHelp(h), err)
	}
	if err != nil {
		return err
	}
	if h.Recovered == nil && endedForGood(h) {
		return &saidError{"this recovery is over for good. Whoever should have let it go on can be called; a new one begins in a new home (--home), with new codes"}
	}
	if h.Recovered == nil {
		return &saidError{"not there yet; the same command goes on, without the codes"}
	}
	if err := a.firstBackup(cmd); err != nil {
		return err
	}
	a.note("Your helpers' parts were used: 'preezm helpers renew' makes new ones, with which the old ones are void.")
	return nil
}

// endedForGood says whether too many helpers forbade or refused a recovery for the
// others to be enough.
func endedForGood(h *node.Help) bool {
	left := h.Of
	for _, k := range h.Helpers {
		if k.State == "vetoed" || k.State == "refused" {
			left--
		}
	}
	return h.Need > 0 && left < h.Need
}

func (a *app) printHelp(h *node.Help) error {
	var errs []error
	for _, k := range h.Helpers {
		text := k.State
		switch {
		case !k.Why.IsZero():
			text = oneLine(k.Why.Text)
		case k.State == "asked":
			text = "call them, and read these words out: " + strings.Join(k.Words[a.language()], "  ") + "   (request " + k.ID + ")"
		case k.State == "agreed":
			text = "agreed; gives its part from " + clock(k.Until)
		case k.State == "given":
			text = "gave its part"
		case k.State == "vetoed":
			text = "somebody forbade it: request " + k.ID + " is over for good"
		case k.State == "refused":
			text = "heard wrong words three times: over for good"
		}
		errs = append(errs, a.say("  %-16s %s", printable(k.Name), text))
	}
	for _, name := range h.Bad {
		errs = append(errs, a.say("%s gave a part that is not the one that was made; it was refused.", printable(name)))
	}
	switch {
	case h.Need == 0:
		errs = append(errs, a.say("No helper was found yet: each of them makes a code with 'preezm invite'; give it with --invite."))
	case h.Recovered == nil:
		errs = append(errs, a.say("%d of %d needed agreed, %d of them gave their part (of %d helpers).", h.Agreed, h.Need, h.Given, h.Of))
	}
	if r := h.Recovered; r != nil {
		errs = append(errs, a.say("The list of %s is back, as it was on %s.", count(r.Files, "file", "files"), clock(r.Made)),
			a.say("This machine is %q, device ID %s.", r.Name, r.Device),
			a.saidBack(r),
			a.lostRoles(),
			a.say("Next: 'preezm serve' runs it; 'preezm get / --to FOLDER' brings the files; 'preezm words show' shows your words, if this machine has them again."))
	}
	return errors.Join(errs...)
}
