// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
)

// deskWords say what is known of a company's desk.
func deskWords(l *i18n.Locale, m *node.BrandMember, now time.Time) (grade, string) {
	seen := ""
	if !m.LastSeen.IsZero() {
		seen = l.T("desks.seen", i18n.A{"when": l.When(m.LastSeen, now)})
	}
	with := func(words string) string {
		if seen == "" {
			return join(words, shownName(m.Name))
		}
		return join(words, shownName(m.Name), seen)
	}
	switch m.State {
	case node.Certified:
		return gradeSafe, with(l.T("desks.until", i18n.A{"when": l.When(m.Until, now)}))
	case node.MemberEnded:
		return gradeFragile, with(l.T("desks.ended"))
	}
	return gradeNone, with(l.T("desks.shut-out"))
}

// showDesks lists the machines that act for the company.
func (r *received) showDesks() {
	u, n := r.ui, r.ui.node
	u.work(func(ctx context.Context) func() {
		list, err := n.BrandMembers(ctx)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("desks.title"), err)
				return
			}
			r.desksDialog(list)
		}
	})
}

func (r *received) desksDialog(list []node.BrandMember) {
	u := r.ui
	var d *dialog.CustomDialog
	var rows []fyne.CanvasObject
	for _, m := range list {
		g, words := deskWords(u.locale, &m, u.opt.Now())
		title := widget.NewLabel(shownName(m.Label))
		title.TextStyle.Bold = true
		title.Truncation = fyne.TextTruncateEllipsis
		line := newNote(words)
		line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
		out := widget.NewButton(u.t("desks.shut-out-yes"), func() { d.Hide(); r.askToShutOut(m) })
		visible(out, m.State != node.MemberShutOut)
		mark := container.NewCenter(iconOf(g.icon(), 20))
		rows = append(rows, container.NewVBox(beside(230, container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, title, line)), out), widget.NewSeparator()))
	}
	text := u.t("desks.text")
	if len(list) == 0 {
		text = join(text) + " " + u.t("desks.none")
	}
	invite := widget.NewButtonWithIcon(u.t("desks.invite"), icon("invite", theme.ColorNameForegroundOnPrimary), func() { d.Hide(); r.askRole() })
	invite.Importance = widget.HighImportance
	d = u.listDialog(u.t("desks.title"), text, rows, invite)
}

// askRole makes a code for a further desk.
func (r *received) askRole() {
	u, n := r.ui, r.ui.node
	role := widget.NewEntry()
	role.SetPlaceHolder(u.t("received.label-example"))
	content := container.NewVBox(newNote(u.t("desks.invite-text")), field(u.t("received.label-title"), role))
	u.confirm(u.t("desks.invite"), u.t("desks.invite-yes"), widget.HighImportance, content, func() {
		as := strings.TrimSpace(role.Text)
		u.work(func(ctx context.Context) func() {
			code, err := n.InviteMember(ctx, as)
			return func() {
				if err != nil {
					u.heard(err)
					u.tell(u.t("desks.invite"), err)
					return
				}
				u.showDeskCode(code)
			}
		})
	})
}

func (u *UI) showDeskCode(m node.MemberInvite) {
	box, copied := u.copyable(m.Code)
	content := container.NewVBox(newNote(u.t("desks.code-text", i18n.A{"role": shownName(m.Role)})), box)
	if code := newQR(m.Code); code != nil {
		content.Add(container.NewCenter(code))
	}
	content.Add(newNote(u.t("invite.expires", i18n.A{"when": u.locale.When(m.Expires, u.opt.Now())})))
	d := dialog.NewCustomWithoutButtons(u.t("desks.invite"), u.fit(500, content), u.win)
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), copied))
	u.show(d)
}

func (r *received) askToShutOut(m node.BrandMember) {
	u, n := r.ui, r.ui.node
	u.confirm(u.t("desks.shut-out-title", i18n.A{"role": shownName(m.Label)}), u.t("desks.shut-out-yes"), widget.DangerImportance,
		newNote(u.t("desks.shut-out-text")), func() {
			u.work(func(ctx context.Context) func() {
				_, err := n.RevokeMember(ctx, m.Device.String())
				return func() {
					if err != nil {
						u.heard(err)
						u.tell(u.t("desks.title"), err)
						return
					}
					u.mention(u.t("desks.is-out", i18n.A{"role": shownName(m.Label)}))
				}
			})
		})
}

// joinForm makes this home a desk of a company that exists.
func (r *received) joinForm() fyne.CanvasObject {
	u := r.ui
	code, trouble := widget.NewEntry(), newTrouble()
	code.SetPlaceHolder("preezm-member1-…")
	var join *widget.Button
	join = widget.NewButton(u.t("desks.join"), func() {
		n, text := u.node, strings.TrimSpace(code.Text)
		join.Disable()
		setText(trouble, "")
		u.work(func(ctx context.Context) func() {
			_, err := n.JoinBrand(ctx, text)
			return func() {
				join.Enable()
				if err != nil {
					u.heard(err)
					setText(trouble, u.say(err))
					r.root.Refresh()
					return
				}
				r.refresh()
			}
		})
	})
	join.Disable()
	code.OnChanged = func(s string) { enable(join, strings.TrimSpace(s) != "") }
	return newCard(container.NewVBox(newWideHeading(u.t("desks.join-title")), newNote(u.t("desks.join-text")),
		beside(200, code, join), trouble))
}
