// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers"
)

// circleScreen is whose machines keep for me, and I for them.
type circleScreen struct {
	ui     *UI
	told   []node.Member // of whom the cards are
	loaded bool

	picture *circleMap
	offer   *widget.Slider
	offered *widget.RichText
	room    node.LimitsView

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
	head := beside(110, newTitle(u.t("nav.circle")), invite)
	c.picture = newCircleMap(u)
	c.offered = newNote(" ")
	c.offer = widget.NewSlider(0, float64(len(offers())-1))
	c.offer.OnChanged = func(v float64) {
		setText(c.offered, u.t("circle.offer-new", i18n.A{"size": u.locale.Size(offers()[int(v)])}))
	}
	c.offer.OnChangeEnded = func(v float64) { c.setOffer(offers()[int(v)]) }
	aside := newCard(container.NewVBox(
		newHeading(u.t("circle.join-title")),
		newNote(u.t("circle.join-text")),
		beside(150, c.code, c.join),
		c.trouble,
		newHeading(u.t("circle.offer")), c.offered, c.offer,
	))
	body := container.NewVBox(container.New(twoLayout{aside: 350, stack: 640}, newCard(c.picture), aside), c.list)
	c.root = container.NewBorder(head, nil, nil, nil, scrolled(body))
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
		if view, err := n.Limits(ctx); err == nil {
			c.ui.pump.post(ctx, func() { c.showOffer(view) })
		}
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
	if c.loaded && reflect.DeepEqual(asTold(members, c.told), c.told) {
		return
	}
	c.told, c.loaded = asTold(members, nil), true
	c.picture.show(members)
	u := c.ui
	c.list.Objects = nil
	if len(members) == 0 {
		c.list.Add(container.NewPadded(container.NewVBox(
			container.NewCenter(iconOf(icon("circle", theme.ColorNamePrimary), 72)),
			centred(newHeading(u.t("circle.empty-title"))),
			centred(newNote(u.t("circle.empty"))),
		)))
	}
	names := map[peers.DeviceID]string{}
	for _, m := range members {
		names[m.Device] = shownName(m.Name)
		c.list.Add(memberCard(u, m, names[m.SameAs]))
	}
	c.list.Refresh()
}

// asTold leaves out what a card does not tell of a machine, and what is nearly as
// it was told before: it changes with each look, and the whole window would be
// drawn anew for it.
func asTold(members, before []node.Member) []node.Member {
	told := slices.Clone(members)
	for i := range told {
		m := &told[i]
		if m.Online {
			m.LastSeen = time.Time{}
		}
		at := slices.IndexFunc(before, func(b node.Member) bool { return b.Device == m.Device })
		if at < 0 {
			continue
		}
		if b := &before[at]; near(m.Latency, b.Latency) {
			m.Latency = b.Latency
		}
		if b := &before[at]; max(m.Free-b.Free, b.Free-m.Free) < b.Free/100 {
			m.Free = b.Free
		}
	}
	return told
}

// near tells whether two latencies are the same to a person.
func near(a, b time.Duration) bool {
	const little = 25 * time.Millisecond
	return a > 0 && b > 0 && (max(a, b) < 2*min(a, b) || max(a, b)-min(a, b) < little)
}

// showOffer shows what this machine offers, unless it is being changed.
func (c *circleScreen) showOffer(v node.LimitsView) {
	if v.Offer == c.room.Offer && v.Kept == c.room.Kept {
		return
	}
	c.room = v
	nearest := 0
	for i, o := range offers() {
		if o <= v.Offer {
			nearest = i
		}
	}
	// What is set here was not chosen by the person.
	told, ended := c.offer.OnChanged, c.offer.OnChangeEnded
	c.offer.OnChanged, c.offer.OnChangeEnded = nil, nil
	c.offer.SetValue(float64(nearest))
	c.offer.OnChanged, c.offer.OnChangeEnded = told, ended
	setText(c.offered, c.ui.t("settings.room", i18n.A{"offer": c.ui.locale.Size(v.Offer), "kept": c.ui.locale.Size(v.Kept)}))
}

// setOffer changes what this machine offers. Less than is in use takes
// nothing away: no more comes in.
func (c *circleScreen) setOffer(bytes int64) {
	u, n := c.ui, c.ui.node
	u.work(func(ctx context.Context) func() {
		view, err := n.Limits(ctx)
		if err == nil {
			view, err = n.SetLimits(ctx, node.LimitsOrder{Limits: view.Limits, Offer: bytes})
		}
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("circle.offer"), err)
				return
			}
			c.room = node.LimitsView{}
			c.showOffer(view)
		}
	})
}

// memberCard is one machine: is it there, and what we keep for each other. first
// is the machine of the same person that comes before it, if one does.
func memberCard(u *UI, m node.Member, first string) fyne.CanvasObject {
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
	more := widget.NewButtonWithIcon("", theme.MoreVerticalIcon(), nil)
	more.Importance = widget.LowImportance
	more.OnTapped = func() {
		u.memberMenu(m, fyne.CurrentApp().Driver().AbsolutePositionForObject(more).AddXY(0, more.Size().Height))
	}
	left := container.NewCenter(container.NewStack(container.NewGridWrap(fyne.NewSquareSize(16), widget.NewIcon(mark))))
	forThem := u.locale.Size(m.ForThem)
	if first != "" {
		forThem = "–"
	}
	facts := container.NewHBox(
		fact(u.t("circle.for-me"), u.locale.Size(m.ForMe)),
		fact(u.t("circle.for-them"), forThem),
		fact(u.t("circle.free"), freeRoom(u.locale, m)),
	)
	card := beside(200, container.NewBorder(nil, nil, left, nil, who), facts, more)
	if words := balanceWords(u.locale, m, first, u.opt.Now()); len(words) > 0 {
		below := container.NewVBox(card)
		for _, w := range words {
			below.Add(styledNote(w))
		}
		return newCard(below)
	}
	return newCard(card)
}

// balanceWords says what two persons have kept for each other so far, as both
// signed it, and why not more of it is signed.
func balanceWords(l *i18n.Locale, m node.Member, first string, now time.Time) (out []string) {
	if first != "" {
		out = append(out, l.T("circle.same", i18n.A{"name": first}))
	}
	size := func(gbDays float64) string { return l.Size(int64(gbDays * 1e9)) }
	if b := m.Balance; b.Gave > 0 || b.Took > 0 {
		out = append(out, l.T("circle.balance", i18n.A{"gave": size(b.Gave), "took": size(b.Took)}))
	}
	if !m.Balance.Note.IsZero() {
		out = append(out, l.T("circle.disputed", i18n.A{"why": spelled(l, m.Balance.Note, now)}))
	}
	return out
}

// memberState says in words whether a machine is there.
func memberState(l *i18n.Locale, m node.Member, now time.Time) string {
	short := m.Device.Short()
	for _, more := range []string{m.Person, m.House} {
		if more != "" {
			short = join(short, shownName(more))
		}
	}
	if m.Custodian {
		short = join(short, l.T("circle.decides"))
	}
	if m.Leaving {
		short = join(short, l.T("circle.leaving"))
	}
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
		m, err := n.Join(ctx, code)
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
			if words := m.Words[u.locale.Lang()]; len(words) > 0 {
				u.showWords(shownName(m.Name), words, func(same bool) {
					if !same {
						u.dismiss(m.Device)
					}
				}, u.undecided)
			}
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
// read out. Another machine beside this one can photograph it. Once it is used,
// the words to compare take its place.
func (u *UI) showInvite(invite node.Invite) {
	n := u.node
	box, copied := u.copyable(invite.Code)
	code := newQR(invite.Code)
	content := container.NewVBox(newNote(u.t("invite.text")), box)
	if code != nil {
		content.Add(container.NewCenter(code))
	}
	content.Add(newNote(u.t("invite.expires", i18n.A{"when": u.locale.When(invite.Expires, u.opt.Now())})))
	d := dialog.NewCustomWithoutButtons(u.t("invite.title"), u.fit(500, content), u.win)
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), copied))
	ctx, cancel := context.WithCancel(u.ctx)
	d.SetOnClosed(cancel)
	u.show(d)
	u.work(func(context.Context) func() {
		p, err := n.Paired(ctx, node.PairedOrder{ID: invite.ID})
		if err != nil { // closed, or the invite cannot be used any more
			return nil
		}
		return func() {
			d.Hide()
			u.showWords(shownName(p.Name), p.Words[u.locale.Lang()], func(same bool) {
				if same {
					u.mention(u.t("words.good", i18n.A{"name": shownName(p.Name)}))
				} else {
					u.dismiss(p.Device)
				}
			}, u.undecided)
			u.circleChanged()
		}
	})
}

// showWords asks whether two screens show the same words: somebody between the
// two machines could not make them so. Closed is called when the dialog goes
// without an answer, as with the Escape key: nothing is decided then.
func (u *UI) showWords(name string, words []string, answer func(same bool), closed func()) {
	u.compare(u.t("words.title", i18n.A{"name": name}), u.t("words.text"), words, answer, closed)
}

func (u *UI) compare(title, text string, words []string, answer func(same bool), closed func()) {
	d := dialog.NewCustomWithoutButtons(title, u.fit(460, container.NewVBox(newNote(text), wordsPanel(words))), u.win)
	answered := false
	button := func(words string, same bool) *widget.Button {
		return widget.NewButton(words, func() {
			answered = true
			d.Hide()
			answer(same)
		})
	}
	same := button(u.t("words.same"), true)
	same.Importance = widget.HighImportance
	d.SetButtons(u.buttons(button(u.t("words.different"), false), same))
	d.SetOnClosed(func() {
		if !answered && closed != nil {
			closed()
		}
	})
	u.show(d)
}

// wordsPanel shows words to compare, each with its number.
func wordsPanel(words []string) fyne.CanvasObject {
	row := container.NewGridWithColumns(2)
	for i, w := range words {
		row.Add(container.NewCenter(newHeading(strconv.Itoa(i+1) + ". " + w)))
	}
	ground := newPanel(theme.ColorNameBackground, 10, container.NewPadded(row))
	ground.outline = true
	return ground
}

// undecided says what it means that the words were not compared.
func (u *UI) undecided() { u.mention(u.t("words.undecided")) }

// dismiss takes a machine out again whose words were not the same.
func (u *UI) dismiss(device peers.DeviceID) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		_, err := n.Dismiss(ctx, device)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("words.failed"), err)
				return
			}
			u.inform(u.t("words.out-title"), newNote(u.t("words.out")))
			if u.frame != nil {
				u.frame.pages["circle"].refresh()
			}
		}
	})
}
