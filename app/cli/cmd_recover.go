// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
)

// maxWords bounds what is read as the 24 words, in bytes.
const maxWords = 4 << 10

func (a *app) recoverCommand() *cobra.Command {
	var wordsFile, from, name, offer string
	var listen []string
	var noDiscovery bool
	var how sealFlags
	var help helpFlags
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Bring everything back on a new machine, with your words",
		Long: `Make this machine's home from your 24 words and one machine of your circle:
the list of your files, your circle and your grants come back; the files
themselves then on demand, with 'preezm get'. The home folder must be new.

The words are asked for, or read from a file (--words-file, '-' for standard
input). --from names one machine that keeps for you: an invite, its device ID,
DEVICE@host:port or host:port (which must answer by TCP). Without it the local
network is asked.

Without the words, --helpers brings you back through the persons that 'preezm
helpers add' named: each gives you an invite, hears words from you by voice and
agrees; days later the same command takes their parts.

A run that was interrupted is repeated with the same command.`,
		Example: `  preezm recover
  preezm recover --home ~/preezm --from 192.168.1.20:24930
  preezm recover --helpers --owner "study laptop"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			o := node.RecoverOptions{From: from, Name: name, Listen: listen, NoDiscovery: noDiscovery, Version: a.version, Keychain: a.keychain()}
			if o.Offer, err = parseOffer(offer); err != nil {
				return err
			}
			if _, _, err := node.Who(home); err == nil {
				return fmt.Errorf("%s: %w", home, node.ErrHomeExists)
			}
			if !help.on && (help.owner != "" || len(help.invites) > 0) {
				return usagef("--owner and --invite go with --helpers")
			}
			if !help.on {
				if o.Master, err = a.askWords(wordsFile); err != nil {
					return err
				}
			}
			if o.Seal, err = a.firstSeal(how); err != nil {
				return err
			}
			if help.on {
				return a.recoverByHelpers(cmd, home, o, help)
			}
			if err := a.recover(cmd.Context(), home, o); err != nil {
				return err
			}
			return a.firstBackup(cmd)
		},
	}
	cmd.Flags().StringVar(&wordsFile, "words-file", "", "read the words from this `file` ('-': standard input)")
	cmd.Flags().StringVar(&from, "from", "", "a `machine` of your circle: an invite, a device ID, DEVICE@host:port or host:port")
	cmd.Flags().StringVar(&name, "name", "", "what others call this machine (default: as the one before)")
	cmd.Flags().StringVar(&offer, "offer", "", "`bytes` offered to the circle, such as 200GB; 0 for none (default 100 GB)")
	cmd.Flags().StringSliceVar(&listen, "listen", nil, "`host:port` to listen on (default: port 24930 of every network)")
	cmd.Flags().BoolVar(&noDiscovery, "no-discovery", false, "do not look for machines on the local network")
	how.add(cmd)
	help.add(cmd)
	return cmd
}

// firstBackup makes this machine's own copy of the catalog: the one that brought
// it back is another machine's, which may be dropped from the list.
func (a *app) firstBackup(cmd *cobra.Command) error {
	return a.with(cmd, func(ctx context.Context, api node.API) error {
		m := a.meter()
		_, err := api.Backup(ctx, m.update)
		m.done()
		if err != nil {
			a.note("This machine makes a copy of its own when more machines answer: %s", oneLine(err.Error()))
		}
		return nil
	})
}

// askWords gets the words and says which is wrong; on a terminal they are asked
// for again.
func (a *app) askWords(file string) ([32]byte, error) {
	words, err := a.wordList(file)
	if err != nil {
		return [32]byte{}, err
	}
	master, _, err := identity.MasterOf(words)
	return master, err
}

// wordList is askWords for whoever needs the words themselves.
func (a *app) wordList(file string) ([]string, error) {
	if file != "" {
		text, err := readWords(file, a.in)
		if err != nil {
			return nil, err
		}
		words := identity.SplitWords(text)
		_, _, err = identity.MasterOf(words)
		return words, err
	}
	_, typing := a.keyboard()
	if typing {
		a.note("Type your 24 words, on one line or several. An empty line begins anew.")
	}
	var words []string
	for {
		text, err := a.line("")
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		if err != nil {
			return nil, identity.WordCountError(len(words))
		}
		next := identity.SplitWords(text)
		if len(next) == 0 {
			words = nil
			continue
		}
		if words = append(words, next...); len(words) < identity.WordCount {
			continue
		}
		_, _, err = identity.MasterOf(words)
		for typing && err != nil && a.mendWord(words, err) {
			_, _, err = identity.MasterOf(words)
		}
		if err == nil || !typing {
			return words, err
		}
		a.note("%s", sentence(err))
		a.note("Type all 24 words again:")
		words = nil
	}
}

// mendWord asks for the one word that is wrong, when it is known which.
func (a *app) mendWord(words []string, wrong error) bool {
	var w *identity.WordError
	if !errors.As(wrong, &w) {
		return false
	}
	a.note("%s", sentence(wrong))
	text, err := a.line(fmt.Sprintf("Word %d: ", w.Number))
	again := identity.SplitWords(text)
	if err != nil || len(again) != 1 {
		return false
	}
	words[w.Number-1] = again[0]
	return true
}

// noteOver writes notes between what a meter draws.
func (a *app) noteOver(m *meter) func(text string) {
	return func(text string) {
		m.done()
		a.note("%s", oneLine(text))
	}
}

func sentence(err error) string {
	s := err.Error()
	s = strings.ToUpper(s[:1]) + s[1:]
	if strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}

func readWords(file string, in io.Reader) (string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxWords+1))
	if err == nil && len(b) > maxWords {
		err = errors.New("that is too long to be 24 words")
	}
	return string(b), err
}

func (a *app) recover(ctx context.Context, home string, o node.RecoverOptions) error {
	m := a.meter()
	o.Note = a.noteOver(m)
	r, err := node.Recover(ctx, home, o, m.update)
	m.done()
	if errors.Is(err, context.Canceled) {
		return &saidError{"stopped; the same command goes on"}
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(r)
	}
	return errors.Join(
		a.say("The list of %s is back, as it was on %s, in %s.", count(r.Files, "file", "files"), clock(r.Made), took(r.Took)),
		a.say("This machine is %q, device ID %s.", r.Name, r.Device),
		a.say("%d of %s of your circle know it already.", r.Keepers, machines(r.Of)),
		a.saidBack(r),
		a.say(""),
		a.say("Next: 'preezm serve' runs it; 'preezm get / --to FOLDER' brings the files."),
		a.lostRoles(),
		a.say("If the old machine is lost or stolen: 'preezm device list', then 'preezm device remove NAME --stolen'."),
	)
}

// saidBack tells what came back beside the files.
func (a *app) saidBack(r *node.Recovered) error {
	var errs []error
	if len(r.Helpers) > 0 {
		names := make([]string, len(r.Helpers))
		for i, n := range r.Helpers {
			names[i] = printable(n)
		}
		errs = append(errs, a.say("Your helpers are known again (%s): 'preezm helpers renew' tells them of this machine.", strings.Join(names, ", ")))
	}
	if b := r.Brand; b != nil {
		errs = append(errs, a.say("This machine is the office of %s now, with its key and %s.", printable(b.Name), count(int64(b.Tickets), "ticket", "tickets")))
		if b.Members > 0 {
			errs = append(errs, a.say("%s of it were shut out, since some may have been after the copy: each joins again with 'preezm brand member invite'.", count(int64(b.Members), "other machine", "other machines")))
		}
	}
	return errors.Join(errs...)
}

// lostRoles says what no copy brings back, on purpose.
func (a *app) lostRoles() error {
	return a.say("Not back, since no copy of it may exist: what the lost machine kept and decided for others. If it was somebody's custodian or helper, that person names this machine anew ('preezm custodians remove' and 'add', 'preezm helpers add').")
}
