// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/consent"
)

func (a *app) requestReceiptCommand() *cobra.Command {
	return a.receiptCommand(`Write what you were asked, what you answered and what both sides signed as one file
that people and programs can read (JSON-LD in the words of ISO/IEC TS 27560). Anybody
can check it with 'preezm verify FILE.json', without any network. A grant that you took
back is shown as taken back.`, "preezm requests receipt r-1a2b3c4d -o acme.json",
		func(ctx context.Context, api node.API, id string) ([]byte, error) { return api.RequestReceipt(ctx, id) })
}

func (a *app) brandReceiptCommand() *cobra.Command {
	return a.receiptCommand(`Write what was asked, what was answered and what both sides signed as one file that
people and programs can read (JSON-LD in the words of ISO/IEC TS 27560). Anybody can
check it with 'preezm verify FILE.json', without any network.`, "preezm brand receipt r-1a2b3c4d -o person.json",
		func(ctx context.Context, api node.API, id string) ([]byte, error) { return api.BrandReceipt(ctx, id) })
}

func (a *app) receiptCommand(long, example string, get func(context.Context, node.API, string) ([]byte, error)) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "receipt ID",
		Short:   "Write the receipt of an answer, as both sides signed it",
		Long:    long,
		Example: "  " + example,
		Args:    oneText("request"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				raw, err := get(ctx, api, args[0])
				if err != nil {
					return err
				}
				if out == "" {
					_, err := a.out.Write(raw)
					return err
				}
				r, err := consent.ReadReceipt(raw)
				if err != nil {
					return err
				}
				if err := writeNew(out, raw); err != nil {
					return err
				}
				return a.printReceipt(r)
			})
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to this `file`, which must not exist (default: standard output)")
	return cmd
}

// receiptFile reads the argument of verify when it is a receipt on this disk.
func receiptFile(args []string) ([]byte, bool, error) {
	return recordFile(args, ".json", consent.MaxReceipt, "preezm")
}

func (a *app) verifyReceipt(b []byte) error {
	r, err := consent.ReadReceipt(b)
	if err != nil {
		return err
	}
	return a.printReceipt(r)
}

// receiptView is a receipt that holds, for a program.
type receiptView struct {
	Company       string    `json:"company"`
	CompanyKey    string    `json:"company_key"`
	Person        string    `json:"person_key"`
	State         string    `json:"state"` // given, reduced, refused
	Asked         time.Time `json:"asked"`
	Answered      time.Time `json:"answered"`
	NotAfter      time.Time `json:"not_after,omitzero"`
	Countersigned time.Time `json:"countersigned,omitzero"`
	Withdrawn     time.Time `json:"withdrawn,omitzero"`
}

func (a *app) printReceipt(r *consent.Receipt) error {
	c := &r.Request.Body.Controller
	v := receiptView{Company: c.LegalName, CompanyKey: c.Root.String(), Asked: time.Unix(r.Request.Body.At, 0)}
	if y := r.Consent; y != nil {
		v.Person, v.State = y.Body.Person.String(), string(y.Body.Decision)
		v.Answered, v.NotAfter = time.Unix(y.Body.At, 0), time.Unix(y.Body.NotAfter, 0)
	} else {
		n := &r.Refusal.Body
		v.Person, v.State, v.Answered = n.Person.String(), string(consent.Refused), time.Unix(n.At, 0)
	}
	if r.Countersigned != nil {
		v.Countersigned = time.Unix(r.Countersigned.Body.At, 0)
	}
	if r.Revocation != nil {
		v.Withdrawn = time.Unix(r.Revocation.Body.At, 0)
	}
	if a.json {
		return a.printJSON(v)
	}
	var b strings.Builder
	became := map[string]string{string(consent.Given): "what was asked for was given", string(consent.Reduced): "a part of it was given"}[v.State]
	if became == "" {
		became = "it was refused"
	}
	fmt.Fprintf(&b, "The receipt holds: %s asked %s; %s %s.\n", printable(v.Company), second(v.Asked), became, second(v.Answered))
	fmt.Fprintf(&b, "  company  %s\n  person   %s\n", v.CompanyKey, v.Person)
	if r.Consent != nil {
		for i, p := range r.Request.Body.Purposes {
			fmt.Fprintf(&b, "  %-8s %s\n", r.Consent.Body.Purposes[i], printable(p.Text))
		}
		fmt.Fprintf(&b, "  opens    %s, until %s\n", printable(strings.Join(r.Consent.Body.Files, ", ")), second(v.NotAfter))
	}
	switch {
	case v.Countersigned.IsZero():
		b.WriteString("  signed by the person alone\n")
	default:
		fmt.Fprintf(&b, "  signed by both, by the company %s\n", second(v.Countersigned))
	}
	if !v.Withdrawn.IsZero() {
		fmt.Fprintf(&b, "  taken back %s\n", second(v.Withdrawn))
	}
	if _, err := io.WriteString(a.out, b.String()); err != nil {
		return err
	}
	a.note("Compare the keys with those you know.")
	return nil
}

func (a *app) printCountersigned(r node.AskedRequest) error {
	if a.json {
		return a.printJSON(r)
	}
	if err := a.say("%s  %s signed that it got your answer (%s).", r.ID, printable(r.Company), r.State); err != nil {
		return err
	}
	a.note("'preezm requests receipt %s -o FILE.json' writes the record with both signatures.", r.ID)
	return nil
}
