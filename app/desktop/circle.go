// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"reflect"
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

// circleScreen is whose machines keep for me, and I for them.
type circleScreen struct {
	ui      *UI
	members []node.Member
	loaded  bool

	code    *widget.Entry
	join    *widget.Button
	trouble *widget.RichText
	list    *fyne.Container
	root    fyne.CanvasObject
}

func newCircle(u *UI) *circleScreen {
	c := &circleScreen{ui: u, trouble: newTrouble(), list: container.NewVBox()}
	invite := widget.NewButtonWithIcon(u.t("circle.invite"), icon("invite", theme.ColorNameForegroundOnPrimary), u.invite)
	invite.Importance = widget.HighImportance
	c.code = widget.NewEntry()
	c.code.SetPlaceHolder(u.t("circle.code"))
	c.code.OnSubmitted = func(string) { c.tryJoin() }
	c.code.OnChanged = func(s string) {
		c.say("")
		enable(c.join, strings.TrimSpace(s) != "")
	}
	c.join = widget.NewButton(u.t("circle.join"), c.tryJoin)
	c.join.Disable()
	head := container.NewBorder(nil, nil, nil, container.NewCenter(invite), newTitle(u.t("nav.circle")))
	join := newCard(container.NewVBox(
		container.NewBorder(nil, nil, nil, c.join, c.code),
		c.trouble,
	))
	top := container.NewVBox(head, join)
	c.root = container.NewBorder(top, nil, nil, nil, scrolled(c.list))
	return c
}

func (c *circleScreen) view() fyne.CanvasObject { return c.root }

// refresh shows what is known at once when the screen is new, then asks
// every machine whether it is there.
func (c *circleScreen) refresh() {
	n, known := c.ui.node, c.loaded
	if n == nil {
		return
	}
	c.ui.work(func(ctx context.Context) func() {
		if !known {
			if members, err := n.Circle(ctx, false); err == nil {
				c.ui.pump.post(ctx, func() { c.show(members) })
			}
		}
		members, err := n.Circle(ctx, true)
		if err != nil {
			return func() { c.ui.heard(err) }
		}
		return func() { c.ui.missed(members); c.show(members) }
	})
}

func (c *circleScreen) show(members []node.Member) {
	if c.loaded && reflect.DeepEqual(members, c.members) {
		return
	}
	c.members, c.loaded = members, true
	u := c.ui
	c.list.Objects = nil
	if len(members) == 0 {
		c.list.Add(container.NewPadded(container.NewVBox(
			container.NewCenter(iconOf(icon("circle", theme.ColorNamePrimary), 72)),
			centred(newHeading(u.t("circle.empty-title"))),
			centred(newNote(u.t("circle.empty"))),
		)))
	}
	for _, m := range members {
		c.list.Add(memberCard(u, m))
	}
	c.list.Refresh()
}

// memberCard is one machine: is it there, and what we keep for each other.
func memberCard(u *UI, m node.Member) fyne.CanvasObject {
	name, state := widget.NewLabel(shownName(m.Name)), memberState(u.locale, m, u.opt.Now())
	name.TextStyle.Bold = true
	name.Truncation = fyne.TextTruncateEllipsis
	mark := icon("offline", colorQuiet)
	if m.Online {
		mark = icon("online", colorSafe)
	}
	line := newNote(state)
	line.Wrapping = fyne.TextWrapOff
	line.Truncation = fyne.TextTruncateEllipsis
	who := container.New(tightLayout{}, name, line)
	left := container.NewCenter(container.NewStack(container.NewGridWrap(fyne.NewSquareSize(16), widget.NewIcon(mark))))
	facts := container.NewHBox(
		fact(u.t("circle.for-me"), u.locale.Size(m.ForMe)),
		fact(u.t("circle.for-them"), u.locale.Size(m.ForThem)),
		fact(u.t("circle.free"), freeRoom(u.locale, m)),
	)
	return newCard(container.NewBorder(nil, nil, left, facts, who))
}

// memberState says in words whether a machine is there.
func memberState(l *i18n.Locale, m node.Member, now time.Time) string {
	short := m.Device.Short()
	switch {
	case m.Online && m.Latency > 0:
		return join(l.T("circle.online"), l.T("circle.latency", i18n.A{"ms": max(m.Latency.Milliseconds(), 1)}), short)
	case m.Online:
		return join(l.T("circle.online"), short)
	case !m.Asked && m.LastSeen.IsZero():
		return join(l.T("circle.asking"), short)
	case m.LastSeen.IsZero():
		return join(l.T("circle.never"), short)
	}
	return join(l.T("circle.last-seen", i18n.A{"when": l.When(m.LastSeen, now)}), short)
}

// freeRoom: what a machine would still take is known only when it answers.
func freeRoom(l *i18n.Locale, m node.Member) string {
	if !m.Online || !m.Keeper {
		return "–"
	}
	return l.Size(m.Free)
}

// fact is a number with a small word above it.
func fact(what, number string) fyne.CanvasObject {
	small := styled(what, widget.RichTextStyle{ColorName: colorQuiet, SizeName: theme.SizeNameCaptionText, Alignment: fyne.TextAlignTrailing})
	large := styled(number, widget.RichTextStyle{ColorName: theme.ColorNameForeground, SizeName: theme.SizeNameText, Alignment: fyne.TextAlignTrailing})
	return container.New(widthLayout{100}, container.New(tightLayout{}, small, large))
}

// join sets short facts side by side.
func join(parts ...string) string { return strings.Join(parts, "  ·  ") }

func enable(b *widget.Button, on bool) {
	if on {
		b.Enable()
	} else {
		b.Disable()
	}
}

// say shows what went wrong with joining, or takes it away.
func (c *circleScreen) say(text string) {
	if text != textOf(c.trouble) {
		setText(c.trouble, text)
		c.root.Refresh() // the card is higher or lower now
	}
}

// tryJoin joins a circle with the code in the field.
func (c *circleScreen) tryJoin() {
	code := strings.TrimSpace(c.code.Text)
	if code == "" || c.code.Disabled() {
		return
	}
	u, n := c.ui, c.ui.node
	c.say("")
	c.join.Disable()
	c.join.SetText(u.t("circle.joining"))
	c.code.Disable()
	u.work(func(ctx context.Context) func() {
		_, err := n.Join(ctx, code)
		return func() {
			c.code.Enable()
			c.join.SetText(u.t("circle.join"))
			c.join.Enable()
			if err != nil {
				u.heard(err)
				c.say(u.say(err))
				return
			}
			c.code.SetText("")
			c.refresh()
			u.askHealth()
		}
	})
}

// invite asks for a code and shows it.
func (u *UI) invite() {
	n := u.node
	u.work(func(ctx context.Context) func() {
		invite, err := n.Invite(ctx, node.InviteOptions{})
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("invite.failed"), err)
				return
			}
			u.showInvite(invite)
		}
	})
}

// showInvite shows a code, with a button that copies it: it is too long to be
// read out. Another machine beside this one can photograph it.
func (u *UI) showInvite(invite node.Invite) {
	box, copied := u.copyable(invite.Code)
	code := newQR(invite.Code)
	content := container.NewVBox(newNote(u.t("invite.text")), box)
	if code != nil {
		content.Add(container.NewCenter(code))
	}
	content.Add(newNote(u.t("invite.expires", i18n.A{"when": u.locale.When(invite.Expires, u.opt.Now())})))
	d := dialog.NewCustomWithoutButtons(u.t("invite.title"), container.New(widthLayout{500}, content), u.win)
	d.SetButtons([]fyne.CanvasObject{widget.NewButton(u.t("dialog.close"), d.Hide), copied})
	u.show(d)
}
