// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers/durable"
)

// maxMail bounds what is read as a request or an answer, in bytes.
const maxMail = ticket.MaxText + 1<<20

func (a *app) requestsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "requests",
		Short: "Show what companies ask you for, and answer",
		Long: `Show what companies asked you for. A request says who wants what, what for, on
which legal basis and how long copies are kept. You answer with yes, with less, or
with no; each answer is a signed record that stays with you.`,
		Example: `  preezm requests add acme.request
  preezm requests show r-1a2b3c4d
  preezm requests accept r-1a2b3c4d Contracts/lease.pdf --for 10d -o acme.answer
  preezm requests refuse r-1a2b3c4d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				all, err := api.Requests(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(all)
				}
				if len(all) == 0 {
					return a.say("No company has asked you for anything.")
				}
				t := &table{head: []string{"REQUEST", "FROM", "STATE", "ANSWER BY"}}
				for _, r := range all {
					by := ""
					if r.Problem == "" {
						by = second(r.Expires)
					}
					t.add(r.ID, printable(r.Company), r.State, by)
				}
				if err := t.print(a.out); err != nil {
					return err
				}
				for _, r := range all {
					if r.Problem != "" {
						a.note("note: %s. Ask the company to send it again.", oneLine(r.Problem))
					}
				}
				return nil
			})
		},
	}
	cmd.AddCommand(a.requestAddCommand(), a.requestShowCommand(), a.requestAcceptCommand(), a.requestRefuseCommand(), a.requestReceiptCommand())
	return cmd
}

func (a *app) requestAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "add REQUEST",
		Short: "Keep what a company sent you: a request, or its countersignature",
		Long: `Keep a request: its text, a file that holds it, or '-' for standard input. It promises
nothing. The same for the line with which a company signs that it got your answer.`,
		Example: `  preezm requests add acme.request`,
		Args:    oneText("request"),
		RunE: func(cmd *cobra.Command, args []string) error {
			lines, err := a.mailLines(args[0])
			if err != nil {
				return err
			}
			counter := lineWith(lines, consent.CountersignPrefix)
			text := lineWith(lines, consent.RequestPrefix)
			if text == "" && counter == "" {
				return fmt.Errorf("%q %w", cut(printable(args[0]), 60), consent.ErrText)
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				if text == "" {
					r, err := api.TakeCountersignature(ctx, counter)
					if err != nil {
						return err
					}
					return a.printCountersigned(r)
				}
				r, err := api.TakeRequest(ctx, text)
				if err != nil {
					return err
				}
				return a.printRequest(r)
			})
		},
	}
}

func (a *app) printRequest(r node.AskedRequest) error {
	if a.json {
		return a.printJSON(r)
	}
	if err := a.say("%s  %s, by its card", r.ID, printable(r.Company)); err != nil {
		return err
	}
	for line := range strings.Lines(r.Displayed) {
		if err := a.say("  %s", oneLine(strings.TrimRight(line, "\n"))); err != nil {
			return err
		}
	}
	if r.Answer != "" {
		signed := "the company has not signed that it got the answer"
		if !r.Countersigned.IsZero() {
			signed = "the company signed that it got the answer, " + second(r.Countersigned)
		}
		return a.say("Answered: %s; %s", r.State, signed)
	}
	a.note("That the key is %s's you have to know from elsewhere: compare it with what they publish.", printable(r.Company))
	return nil
}

func (a *app) requestShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a request in full; with --json the record of it and its answer",
		Long:    `Show a request as it has to be read before it is answered. With --json it is the whole record, to be kept or handed on.`,
		Example: `  preezm requests show r-1a2b3c4d --json > record.json`,
		Args:    oneText("request"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := findRequest(ctx, api, args[0])
				if err != nil {
					return err
				}
				return a.printRequest(r)
			})
		},
	}
}

// findRequest gives a request by its name or the beginning of it.
func findRequest(ctx context.Context, api node.API, id string) (node.AskedRequest, error) {
	all, err := api.Requests(ctx)
	if err != nil {
		return node.AskedRequest{}, err
	}
	want := "r-" + strings.TrimPrefix(strings.ToLower(id), "r-")
	var found []node.AskedRequest
	for _, r := range all {
		if r.ID == want {
			found = []node.AskedRequest{r}
			break
		}
		if len(want) >= 6 && strings.HasPrefix(r.ID, want) {
			found = append(found, r)
		}
	}
	switch {
	case len(found) == 1 && found[0].Problem != "":
		return node.AskedRequest{}, errors.New(found[0].Problem)
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return node.AskedRequest{}, fmt.Errorf("several requests begin with %q: give more of it", id)
	}
	return node.AskedRequest{}, fmt.Errorf("there is no request %q: 'preezm requests' shows what companies asked for", id)
}

func (a *app) requestAcceptCommand() *cobra.Command {
	var o node.AcceptOrder
	var lasts, out string
	var without []int
	cmd := &cobra.Command{
		Use:   "accept ID FILE...",
		Short: "Say yes to a request, or to less, and grant the files",
		Long: `Say yes to a request and grant the files you name: for as long as was asked, or
for less. The consent and the ticket are two lines of text to send back together.
What you give less of is in the record.`,
		Example: `  preezm requests accept r-1a2b3c4d Contracts/lease.pdf -o acme.answer
  preezm requests accept r-1a2b3c4d id.jpg --for 2d --opens 1 --without 2`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("which request, and which files?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if lasts != "" {
				var err error
				if o.For, err = parseSpan(lasts); err != nil {
					return err
				}
			}
			for _, n := range without {
				if n < 1 {
					return usagef("--without takes the number of a purpose, from 1")
				}
				o.Without = append(o.Without, n-1)
			}
			paths, err := catalogPaths(args[1:])
			if err != nil {
				return err
			}
			for _, p := range paths {
				o.Names = append(o.Names, string(p))
			}
			if err := mayWrite(out); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := findRequest(ctx, api, args[0])
				if err != nil {
					return err
				}
				a.notice("They ask:", r.Displayed)
				a.notice("The grant will say:", custody.Notice)
				o.ID, o.Displayed = r.ID, r.Displayed
				done, err := api.AcceptRequest(ctx, o)
				if err != nil {
					return err
				}
				return a.printAccepted(done, out)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&lasts, "for", "", "how `long`, at most as was asked (default: as asked)")
	f.Uint32Var(&o.Opens, "opens", 0, "how `many` times each file may be opened (default: as asked)")
	f.IntSliceVar(&without, "without", nil, "refuse a `purpose`, by its number in the request")
	f.BoolVar(&o.Explicit, "explicit", false, "yes, also to sensitive data (Article 9), where the request is for such")
	f.StringArrayVar(&o.Via, "via", nil, "`machine` of your circle that the company may see (default: as for your last grant)")
	f.StringVarP(&out, "output", "o", "", "write the answer to this `file`, which must not exist")
	return cmd
}

func (a *app) printAccepted(done *node.Accepted, out string) error {
	lines := done.Grant.Ticket + "\n" + done.Request.Answer + "\n"
	if out != "" {
		if err := writeNew(out, []byte(lines)); err != nil {
			return fmt.Errorf("the grant %s is made, but the answer could not be written; 'preezm requests --json' and 'preezm grants --json' show it: %w", done.Grant.ID, err)
		}
	}
	if a.json {
		return a.printJSON(done)
	}
	if out == "" {
		if _, err := io.WriteString(a.out, lines); err != nil {
			return err
		}
	}
	a.note("%s: %s; %s may open %s until %s.", done.Grant.ID, done.Request.State, printable(done.Grant.Brand),
		count(int64(len(done.Grant.Files)), "file", "files"), second(done.Grant.NotAfter))
	a.note("You can take it back at any time: preezm revoke %s", done.Grant.ID)
	return nil
}

// writeNew writes a file that must not exist, whole or not at all.
func writeNew(path string, content []byte) error {
	if err := mayWrite(path); err != nil {
		return err
	}
	return durable.WriteNew(path, content, 0o600)
}

// mayWrite says whether a new file can be there, before anything is done of which
// it is to tell. Empty: none was wanted.
func mayWrite(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already, and stays as it is: name a new file", printable(path))
	}
	switch fi, err := os.Stat(filepath.Dir(path)); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !fi.IsDir():
		return fmt.Errorf("%s: there is no such folder", printable(filepath.Dir(path)))
	case err != nil:
		return err
	}
	return nil
}

func (a *app) requestRefuseCommand() *cobra.Command {
	var o node.RefuseOrder
	cmd := &cobra.Command{
		Use:   "refuse ID",
		Short: "Say no to a request",
		Long: `Say no to a request. The refusal is a signed record; it tells the company nothing
of you but that whoever got the request refuses. A reason is not needed.`,
		Example: `  preezm requests refuse r-1a2b3c4d > acme.answer`,
		Args:    oneText("request"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := api.RefuseRequest(ctx, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				if err := a.say("%s", r.Answer); err != nil {
					return err
				}
				a.note("Refused. Send this line to %s if you want it to know; nobody has to.", printable(r.Company))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, in a `few words` for the company (default: none)")
	return cmd
}

func oneText(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("which %s?", what)
		}
		return nil
	}
}

// lineWith gives the first line that begins with a prefix; empty: there is none.
func lineWith(lines []string, prefix string) string {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
}

// mailLines gives the lines of a text, standard input or a file.
func (a *app) mailLines(arg string) ([]string, error) {
	var r io.Reader
	switch {
	case arg == "-":
		r = a.in
	case strings.HasPrefix(arg, "preezm-"):
		r = strings.NewReader(arg)
	default:
		f, err := os.Open(arg)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	var out []string
	s := bufio.NewScanner(io.LimitReader(r, maxMail))
	s.Buffer(nil, maxMail)
	for s.Scan() {
		if l := strings.TrimSpace(s.Text()); l != "" {
			out = append(out, l)
		}
	}
	return out, s.Err()
}

// brandRequestCommands are those of a company that asks.
func (a *app) brandRequestCommands() []*cobra.Command {
	list := &cobra.Command{
		Use:     "requests",
		Short:   "Show what this machine asked people for, and their answers",
		Long:    `Show the requests of this machine and what was answered. With --json each is the whole record.`,
		Example: `  preezm brand requests`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				all, err := api.BrandRequests(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(all)
				}
				if len(all) == 0 {
					return a.say("This machine has asked nobody for anything.")
				}
				t := &table{head: []string{"REQUEST", "SENT", "STATE", "ANSWER BY", "REASON"}}
				for _, r := range all {
					if r.Problem == "" {
						t.add(r.ID, second(r.At), r.State, second(r.Expires), printable(r.Reason))
					}
				}
				if err := t.print(a.out); err != nil {
					return err
				}
				for _, r := range all {
					if r.Problem != "" {
						a.note("note: a request cannot be read: %s.", oneLine(r.Problem))
					}
				}
				return nil
			})
		},
	}
	answer := &cobra.Command{
		Use:   "answer ANSWER",
		Short: "Keep a person's answer to a request",
		Long: `Keep an answer: a consent with its ticket, or a refusal. ANSWER is a file that holds
it, or '-' for standard input. It is countersigned: send the line that is printed back,
so that the person has the record with both signatures.`,
		Example: `  preezm brand answer acme.answer`,
		Args:    oneText("answer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			lines, err := a.mailLines(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error { return a.takeAnswer(ctx, api, lines) })
		},
	}
	return []*cobra.Command{a.brandRequestCommand(), list, answer, a.brandReceiptCommand()}
}

// takeAnswer keeps the ticket first, which says whose consent it is.
func (a *app) takeAnswer(ctx context.Context, api node.API, lines []string) error {
	var last *node.SentRequest
	for _, prefix := range []string{ticket.Prefix, consent.ConsentPrefix, consent.RefusalPrefix} {
		for _, l := range lines {
			if !strings.HasPrefix(l, prefix) {
				continue
			}
			if prefix == ticket.Prefix {
				if _, err := api.Receive(ctx, l); err != nil {
					return err
				}
				continue
			}
			s, err := api.BrandAnswer(ctx, l)
			if err != nil {
				return err
			}
			last = &s
		}
	}
	if last == nil {
		return fmt.Errorf("there is no answer to a request in this: %w", consent.ErrText)
	}
	if a.json {
		return a.printJSON(last)
	}
	if err := a.say("%s", last.Countersignature); err != nil {
		return err
	}
	a.note("%s is answered: %s. Send the line above back: the person keeps it with 'preezm requests add'.", last.ID, last.State)
	return nil
}

func (a *app) brandRequestCommand() *cobra.Command {
	var o node.RequestOrder
	var wants, sensitive, purposes, recipients []string
	var lasts, within, basis, out string
	r := &o.Request
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Ask a person for files",
		Long: `Make a request to send to a person: one line of text. It must say what is wanted,
what for, on which legal basis, how long copies are kept, and whom to write to; else
it is not made. The person may refuse, or give less.`,
		Example: `  preezm brand request --wants "proof of address" --purpose "open an account" \
    --basis consent --retention "5 years after the contract ends" \
    --contact privacy@acme.example --for 30d -o acme.request`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			span, err := parseSpan(lasts)
			if err != nil {
				return err
			}
			if o.Life, err = parseSpan(within); err != nil {
				return err
			}
			r.Access.Seconds, r.Basis, r.Language = int64(span/time.Second), consent.Basis(basis), "en"
			for i, list := range [][]string{wants, sensitive} {
				for _, w := range list {
					r.Kinds = append(r.Kinds, consent.Kind{Text: w, Special: i == 1})
				}
			}
			for _, p := range purposes {
				r.Purposes = append(r.Purposes, consent.Purpose{Text: p})
			}
			for _, x := range recipients {
				parts := strings.SplitN(x, "|", 4)
				if len(parts) < 3 {
					return usagef("a recipient is NAME|COUNTRY|WHY or NAME|COUNTRY|WHY|SAFEGUARD")
				}
				rec := consent.Recipient{Name: parts[0], Country: parts[1], Why: parts[2]}
				if len(parts) == 4 {
					rec.Safeguard = parts[3]
				}
				r.Recipients = append(r.Recipients, rec)
			}
			if err := mayWrite(out); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.BrandRequest(ctx, o)
				if err != nil {
					return err
				}
				if out != "" {
					if err := writeNew(out, []byte(s.Text+"\n")); err != nil {
						return err
					}
				}
				if a.json {
					return a.printJSON(s)
				}
				if out == "" {
					if err := a.say("%s", s.Text); err != nil {
						return err
					}
				}
				a.note("%s: the person can answer until %s ('preezm requests add' there).", s.ID, second(s.Expires))
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&wants, "wants", nil, "a `document` or kind of data; may be given several times (needed)")
	f.StringArrayVar(&sensitive, "sensitive", nil, "one of Article 9: `health` and the like")
	f.StringArrayVar(&purposes, "purpose", nil, "what for, at most 140 `bytes`; may be given several times (needed)")
	f.StringVar(&basis, "basis", "", "legal `basis`: consent, contract, obligation or interest (needed)")
	f.StringVar(&r.BasisWhy, "because", "", "the `law` that obliges, or the interest")
	f.StringVar(&r.Retention, "retention", "", "how `long` copies are kept, or until what (needed)")
	f.StringVar(&r.RetainedFor, "retained-for", "", "the `law` that wants that")
	f.StringVar(&r.Controller.LegalName, "legal-name", "", "the company's legal `name` (default: as in its card)")
	f.StringVar(&r.Controller.Contact, "contact", "", "where people can `write` to (needed)")
	f.StringVar(&r.Controller.Registration, "registration", "", "`number` in the register of companies")
	f.StringVar(&r.Controller.Country, "country", "", "`country`")
	f.StringVar(&r.Controller.Address, "address", "", "postal `address`")
	f.StringVar(&r.Controller.Protection, "dpo", "", "`contact` of the data protection officer")
	f.StringVar(&lasts, "for", "", "how `long` the files are to be opened, such as 30d (needed)")
	f.Uint32Var(&r.Access.MaxOpens, "opens", 0, "how `many` times each (default: any number)")
	f.BoolVar(&r.Access.Follow, "follow", false, "later versions too")
	f.StringArrayVar(&recipients, "recipient", nil, "who else gets it: `NAME|COUNTRY|WHY`, outside the EEA with |SAFEGUARD")
	f.StringVar(&r.Automated, "automated", "", "decisions by machine or profiling, in `words`")
	f.StringVar(&r.IfRefused, "if-refused", "", "what follows from a `no`")
	f.StringVar(&r.Policy, "policy", "", "`where` more is said")
	f.StringVar(&within, "within", "30d", "how `long` the person has for an answer, at most 30d")
	f.StringVarP(&out, "output", "o", "", "write the request to this `file`, which must not exist")
	return cmd
}
