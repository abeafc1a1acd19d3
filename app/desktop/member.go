// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
)

// memberMenu offers what can be done about a machine.
func (u *UI) memberMenu(m node.Member, at fyne.Position) {
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("",
		fyne.NewMenuItem(u.t("member.roles"), func() { u.askRoles(m) }),
		fyne.NewMenuItem(u.t("member.reach"), func() { u.showReach(m) }),
		fyne.NewMenuItemSeparator(),
		fyne.NewMenuItem(u.t("member.remove"), func() { u.askToDismiss(m) }),
	), u.win.Canvas(), at)
}

// askRoles changes what a machine is to this home, and whose it is.
func (u *UI) askRoles(m node.Member) {
	n := u.node
	keeps, decides := widget.NewCheck(u.t("member.keeps"), nil), widget.NewCheck(u.t("member.decides"), nil)
	keeps.Checked, decides.Checked = m.Keeper, m.Custodian
	person, house := widget.NewEntry(), widget.NewEntry()
	person.SetText(m.Person)
	house.SetText(m.House)
	person.SetPlaceHolder(u.t("member.person-example"))
	house.SetPlaceHolder(u.t("member.house-example"))
	content := container.NewVBox(keeps, decides, newNote(u.t("member.decides-note")),
		field(u.t("member.person"), person), field(u.t("member.house"), house), newNote(u.t("member.house-note")))
	u.confirm(shownName(m.Name), u.t("dialog.save"), widget.HighImportance, content, func() {
		o := node.RolesOrder{Who: m.Device.String()}
		if keeps.Checked != m.Keeper {
			o.Keeper = &keeps.Checked
		}
		if decides.Checked != m.Custodian {
			o.Custodian = &decides.Checked
		}
		if person.Text != m.Person {
			o.Person = &person.Text
		}
		if house.Text != m.House {
			o.House = &house.Text
		}
		u.transfers.start(icon("circle", theme.ColorNamePrimary), u.t("member.changing", i18n.A{"name": shownName(m.Name)}),
			func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
				_, err := n.SetRoles(ctx, o, progress)
				return outcome{summary: u.locale.T("member.changed")}, err
			}, func(t *transfer) {
				if t.err != nil {
					u.tell(u.t("member.not-changed"), t.err)
				}
				u.circleChanged()
			})
	})
}

// showReach says how a machine is reached, and what to do where it is not.
func (u *UI) showReach(m node.Member) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		r, err := n.Net(ctx)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("member.reach"), err)
				return
			}
			content := container.NewVBox()
			for _, p := range r.Peers {
				if p.Device != m.Device {
					continue
				}
				content.Add(statement(reachGrade(p), reachWords(u.locale, p)))
				if p.Address != "" {
					content.Add(newNote(shownName(p.Address)))
				}
				for _, note := range []said.Note{p.Blocked, p.Advice} {
					if !note.IsZero() {
						content.Add(newNote(capital(spelled(u.locale, note, u.opt.Now()))))
					}
				}
				content.Add(newNote(u.t("member.bytes", i18n.A{"in": u.locale.Size(p.In), "out": u.locale.Size(p.Out)})))
			}
			u.inform(shownName(m.Name), content)
		}
	})
}

func reachGrade(p node.NetPeer) grade {
	if p.Online {
		return gradeSafe
	}
	return gradeLost
}

// reachWords is the way to a machine in a few words.
func reachWords(l *i18n.Locale, p node.NetPeer) string {
	switch p.How {
	case "this machine":
		return l.T("reach.self")
	case "LAN":
		return l.T("reach.lan")
	case "direct":
		return l.T("reach.direct")
	case "mapped":
		return l.T("reach.mapped")
	case "quic":
		return l.T("reach.quic")
	case "relay":
		return l.T("reach.relay")
	}
	return l.T("reach.none")
}

// askToDismiss says what taking a machine out means before it is done.
func (u *UI) askToDismiss(m node.Member) {
	n := u.node
	order := node.RemovalOrder{Who: m.Device.String(), Gone: !m.Online}
	u.work(func(ctx context.Context) func() {
		plan, err := n.PlanRemoval(ctx, order)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("member.remove"), err)
				return
			}
			u.confirm(u.t("member.remove-title", i18n.A{"name": shownName(m.Name)}), u.t("member.remove-yes"), widget.DangerImportance,
				u.removalPlan(plan), func() { u.removeMember(order, shownName(m.Name)) })
		}
	})
}

func (u *UI) removalPlan(plan *node.Removal) fyne.CanvasObject {
	content := container.NewVBox()
	a := i18n.A{"size": u.locale.Size(plan.Bytes)}
	switch {
	case plan.Pieces == 0:
		content.Add(newNote(u.t("member.holds-nothing")))
	case plan.Gone:
		content.Add(newNote(u.n("member.gone", plan.Pieces, a)))
	default:
		content.Add(newNote(u.n("member.moves", plan.Pieces, a)))
	}
	if len(plan.Lost) > 0 {
		var names []string
		for _, p := range plan.Lost {
			names = append(names, string(p))
		}
		content.Add(statement(gradeLost, u.n("member.lost", int64(len(names)))))
		content.Add(newNote(bullets(u.locale, names, 5)))
	}
	if plan.Custodian {
		content.Add(statement(gradeFragile, u.t("member.was-custodian")))
	}
	return content
}

func (u *UI) removeMember(order node.RemovalOrder, name string) {
	n := u.node
	u.transfers.start(icon("circle", theme.ColorNamePrimary), u.t("member.removing", i18n.A{"name": name}),
		func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
			r, err := n.RemoveMember(ctx, order, progress)
			if r == nil {
				return outcome{}, err
			}
			o := outcome{summary: u.locale.T("member.removed")}
			if r.Remade > 0 {
				o.summary = u.locale.N("member.remade", r.Remade)
			}
			return o, err
		}, func(t *transfer) {
			if t.err != nil {
				t.againTo, t.again = u.t("transfer.again"), func() { u.removeMember(order, name) }
			}
			u.circleChanged()
		})
	u.mention(u.t("member.removing-text"))
}

// circleChanged reads anew after somebody came, went or changed.
func (u *UI) circleChanged() {
	if u.frame != nil {
		u.frame.pages["circle"].refresh()
		u.askHealth()
	}
}
