// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
)

// brandChoice is a company that files can be granted to.
type brandChoice struct {
	name, key string
	give      string // what the node is given: the card, or the key of a known one
}

// draft is what the person has decided so far. It knows no widget.
type draft struct {
	brand   *brandChoice
	picked  []engine.Path // as chosen, folders too
	files   []item        // what they are at this moment, files only
	until   time.Time
	span    time.Duration
	spanOK  bool
	purpose string
	opens   uint32
	follow  bool
	via     *node.Member
	asked   bool // who decides is known
	deciders,
	need int
}

// missing names the first thing without which nothing can be signed; "" when
// all is there.
func (d *draft) missing(l *i18n.Locale) string {
	switch {
	case !d.asked:
		return l.T("circle.asking")
	case d.deciders == 0:
		return l.T("grant.missing-custodians")
	case d.brand == nil:
		return l.T("grant.missing-brand")
	case len(d.files) == 0:
		return l.T("grant.missing-files")
	case len(d.files) > custody.MaxFiles:
		return l.N("grant.too-many-files", int64(custody.MaxFiles))
	case !d.spanOK:
		return l.T("grant.missing-period")
	case d.via == nil:
		return l.T("grant.missing-via")
	case len(d.via.Addresses) == 0:
		return l.T("grant.via-hidden", i18n.A{"machine": shownName(d.via.Name)})
	}
	return ""
}

// order is the draft as the node takes it.
func (d *draft) order() node.GrantOrder {
	return node.GrantOrder{Brand: d.brand.give, Names: d.picked, Until: d.until, Purpose: strings.TrimSpace(d.purpose),
		Opens: d.opens, Follow: d.follow, Via: []string{d.via.Device.String()}}
}

// readCard takes a brand's card.
func readCard(text string) (*brandChoice, error) {
	text = strings.TrimSpace(text)
	card, err := custody.ParseCard(text)
	if err != nil {
		return nil, err
	}
	return &brandChoice{name: shownName(card.Body.Name), key: card.Body.Root.String(), give: text}, nil
}

// knownBrands are the companies of earlier grants, by name.
func knownBrands(list []grants.Info) []brandChoice {
	var out []brandChoice
	for _, g := range list {
		if !slices.ContainsFunc(out, func(b brandChoice) bool { return b.key == g.BrandKey }) {
			out = append(out, brandChoice{name: shownName(g.Brand), key: g.BrandKey, give: g.BrandKey})
		}
	}
	slices.SortFunc(out, func(a, b brandChoice) int { return strings.Compare(fold(a.name)+a.key, fold(b.name)+b.key) })
	return out
}

// granting is the page on which a grant is made: on the left what the person
// decides, on the right what will be true once it is signed.
type granting struct {
	ui      *UI
	draft   draft
	known   []brandChoice
	members []node.Member
	busy    bool
	request *answering // a company's request that is answered; nil: none

	brands  *widget.Select
	card    *widget.Entry
	cardBad *widget.RichText
	files   *widget.RichText
	period  *period
	opens   *widget.Select
	via     *widget.Select
	deciders,
	lacks *widget.RichText
	trouble *widget.RichText
	ask     *widget.Button
	preview *fyne.Container
	sign    *widget.Button
	root    fyne.CanvasObject
}

// grantPage opens the page, with files that were picked already.
func (u *UI) grantPage(picked []engine.Path) {
	if u.frame == nil {
		return
	}
	g := newGranting(u, nil)
	u.frame.granting = g
	u.frame.open(g, "access")
	g.choose(picked)
}

func newGranting(u *UI, answer *answering) *granting {
	g := &granting{ui: u, request: answer, cardBad: newTrouble(), trouble: newTrouble(), files: newNote(u.t("grant.no-files")),
		deciders: newNote(" "), lacks: newNote(""), preview: container.New(factsLayout{})}
	g.brands = widget.NewSelect(nil, func(string) { g.pickBrand() })
	g.brands.PlaceHolder = u.t("grant.choose-brand")
	g.card = widget.NewEntry()
	g.card.SetPlaceHolder(u.t("grant.card"))
	g.card.OnChanged = g.typedCard
	fromFile := widget.NewButtonWithIcon(u.t("dialog.from-file"), theme.FolderOpenIcon(), func() {
		u.pickText(u.t("grant.brand"), func(text string) { g.card.SetText(strings.TrimSpace(text)) })
	})
	choose := widget.NewButtonWithIcon(u.t("grant.choose-files"), theme.ContentAddIcon(), g.pickFiles)
	g.period = newPeriodUpTo(u, answer.span())
	g.period.changed = g.decided
	purpose := widget.NewEntry()
	purpose.SetPlaceHolder(u.t("grant.purpose-example"))
	purpose.OnChanged = func(s string) { g.draft.purpose = s; g.decided() }
	counts := answer.counts()
	var often []string
	for _, count := range counts {
		words := u.t("grant.opens-any")
		if count > 0 {
			words = u.n("grant.opens", int64(count))
		}
		often = append(often, words)
	}
	g.opens = widget.NewSelect(often, nil)
	g.opens.SetSelectedIndex(0)
	g.opens.OnChanged = func(string) { g.draft.opens = counts[max(g.opens.SelectedIndex(), 0)]; g.decided() }
	follow := widget.NewCheck(u.t("grant.follow"), func(on bool) { g.draft.follow = on; g.decided() })
	g.via = widget.NewSelect(nil, nil)
	g.via.PlaceHolder = u.t("grant.choose-via")
	g.via.OnChanged = func(string) { g.pickedVia() }
	g.ask = widget.NewButton(u.t("access.custodians-choose"), func() {
		if a, ok := u.frame.pages["access"].(*access); ok {
			a.askCustodians()
		}
	})
	g.ask.Importance = widget.HighImportance
	g.ask.Hide()

	company := field(u.t("grant.brand"), container.NewVBox(g.brands, g.card, g.cardBad, container.NewHBox(fromFile)))
	what := field(u.t("grant.purpose"), purpose)
	title := u.t("grant.title")
	if answer != nil {
		company, what, title = answer.asked(u), answer.purposes(u, g.decided), u.t("answer.title")
		follow.Hide()
		g.draft.brand, g.draft.opens, g.draft.follow = answer.company(), counts[0], answer.want.Access.Follow
	}
	form := newCard(container.NewVBox(
		company,
		field(u.t("grant.files"), container.NewVBox(g.files, container.NewHBox(choose))),
		field(u.t("grant.period"), g.period.view),
		field(u.t("grant.opens-title"), g.opens),
		what,
		follow,
		field(u.t("grant.via"), container.NewVBox(g.via, newNote(u.t("grant.via-note")))),
		field(u.t("grant.deciders"), container.NewVBox(g.deciders, container.NewHBox(g.ask))),
	))
	g.sign = widget.NewButtonWithIcon(u.t("grant.sign"), icon("key", theme.ColorNameForegroundOnPrimary), g.make)
	g.sign.Importance = widget.HighImportance
	aside := newCard(container.NewVBox(newHeading(u.t("grant.before")), g.preview, g.trouble, g.lacks, g.sign))
	back := widget.NewButtonWithIcon("", theme.NavigateBackIcon(), func() { u.goTo("access") })
	back.Importance = widget.LowImportance
	head := container.NewBorder(nil, nil, back, nil, newTitle(title))
	body := container.New(twoLayout{aside: 372, stack: 680}, form, container.NewVBox(aside))
	g.root = container.NewBorder(head, nil, nil, nil, scrolled(body))
	g.decided()
	return g
}

// field is a control with its name above it.
func field(name string, control fyne.CanvasObject) fyne.CanvasObject {
	label := widget.NewLabel(name)
	label.TextStyle.Bold = true
	label.Wrapping = fyne.TextWrapWord
	return container.New(tightLayout{}, label, control)
}

func (g *granting) view() fyne.CanvasObject { return g.root }

// refresh asks for what there is to choose from.
func (g *granting) refresh() {
	u, n := g.ui, g.ui.node
	if n == nil {
		return
	}
	u.work(func(ctx context.Context) func() {
		custodians, err := n.Custodians(ctx)
		if err != nil {
			return func() { u.heard(err) }
		}
		members, err := n.Circle(ctx, true)
		if err != nil {
			return func() { u.heard(err) }
		}
		return func() { g.offer(custodians, members) }
	})
	if a, ok := u.frame.pages["access"].(*access); ok {
		g.know(knownBrands(a.list))
	}
}

func (g *granting) know(list []brandChoice) {
	if slices.Equal(list, g.known) {
		return
	}
	g.known = list
	var names []string
	for _, b := range list {
		names = append(names, fmt.Sprintf("%s  ·  %s", b.name, shortKey(b.key)))
	}
	g.brands.SetOptions(names)
	visible(g.brands, len(list) > 0)
}

// offer fills in the machines: who decides, and which one the company sees.
func (g *granting) offer(custodians []node.Custodian, members []node.Member) {
	u := g.ui
	g.draft.asked = true
	g.draft.deciders, g.draft.need = len(custodians), len(custodians)/2+1
	visible(g.ask, len(custodians) == 0)
	var names []string
	for _, c := range custodians {
		names = append(names, shownName(c.Name))
	}
	if len(names) == 0 {
		setText(g.deciders, u.t("access.no-custodians"))
	} else {
		setText(g.deciders, u.n("access.custodians", int64(len(names)), i18n.A{"need": g.draft.need, "names": fewNames(u.locale, names, 5)}))
	}
	g.members = members
	var options []string
	for _, m := range members {
		name := shownName(m.Name)
		if !m.Online {
			name = join(name, u.t("circle.away"))
		}
		options = append(options, name)
	}
	chosen := g.via.SelectedIndex()
	g.via.SetOptions(options)
	if chosen < 0 {
		chosen = slices.IndexFunc(members, func(m node.Member) bool { return m.Online && len(m.Addresses) > 0 })
	}
	if chosen >= 0 && chosen < len(members) {
		g.via.SetSelectedIndex(chosen)
	}
	g.pickedVia()
}

func (g *granting) pickedVia() {
	g.draft.via = nil
	if i := g.via.SelectedIndex(); i >= 0 && i < len(g.members) {
		g.draft.via = &g.members[i]
	}
	g.decided()
}

func (g *granting) pickBrand() {
	if i := g.brands.SelectedIndex(); i >= 0 && i < len(g.known) {
		b := g.known[i]
		g.draft.brand = &b
		g.card.SetText("")
		g.draft.brand = &b
		g.decided()
	}
}

// typedCard takes a card that was pasted or dropped.
func (g *granting) typedCard(text string) {
	setText(g.cardBad, "")
	if strings.TrimSpace(text) == "" {
		if g.brands.SelectedIndex() < 0 {
			g.draft.brand = nil
		}
		g.decided()
		return
	}
	b, err := readCard(text)
	if err != nil {
		setText(g.cardBad, g.ui.t("grant.card-bad"))
	} else {
		g.brands.ClearSelected()
	}
	g.draft.brand = b
	g.decided()
}

// choose takes files, and finds out what is in folders.
func (g *granting) choose(picked []engine.Path) {
	u, n := g.ui, g.ui.node
	g.draft.picked, g.draft.files = picked, nil
	if len(picked) == 0 {
		setText(g.files, u.t("grant.no-files"))
		g.decided()
		return
	}
	u.work(func(ctx context.Context) func() {
		var files []item
		err := n.ListPages(ctx, engine.ListOptions{Recursive: true}, func(page []engine.Entry) error {
			files = append(files, filesOf(page, picked)...)
			return nil
		})
		if err != nil {
			return func() { u.heard(err); setText(g.trouble, u.say(err)) }
		}
		return func() {
			g.draft.files = files
			var names []string
			for _, p := range picked {
				names = append(names, string(p))
			}
			setText(g.files, fewNames(u.locale, names, 6))
			g.decided()
		}
	})
}

// filesOf gives of a page the files that paths name: a folder is the files in it
// now. The page is not good for anything else afterwards.
func filesOf(entries []engine.Entry, picked []engine.Path) []item {
	return newItems(slices.DeleteFunc(entries, func(e engine.Entry) bool {
		return e.Kind != engine.File || !slices.ContainsFunc(picked, func(p engine.Path) bool {
			return e.Path == p || strings.HasPrefix(string(e.Path), string(p)+"/")
		})
	}))
}

// decided shows what will be true with what is decided now.
func (g *granting) decided() {
	if g.sign == nil {
		return
	}
	u, d := g.ui, &g.draft
	d.span, d.spanOK = g.period.span()
	d.until, _ = g.period.until()
	lacks := d.missing(u.locale)
	if lacks == "" && g.request != nil {
		lacks = g.request.missing(u.locale)
	}
	setText(g.lacks, lacks)
	enable(g.sign, lacks == "" && !g.busy)
	g.preview.Objects = nil
	for _, line := range d.promises(u.locale, u.opt.Now()) {
		if line.name == "" {
			g.preview.Add(statement(gradeFragile, line.text))
			continue
		}
		small := styled(line.name, widget.RichTextStyle{ColorName: colorQuiet, SizeName: theme.SizeNameCaptionText})
		large := styled(line.text, widget.RichTextStyle{ColorName: theme.ColorNameForeground, SizeName: theme.SizeNameText})
		large.Wrapping = fyne.TextWrapWord
		g.preview.Add(small)
		g.preview.Add(large)
	}
	g.root.Refresh()
}

// make signs.
func (g *granting) make() {
	u, n := g.ui, g.ui.node
	if g.busy || g.draft.missing(u.locale) != "" {
		return
	}
	g.busy = true
	setText(g.trouble, "")
	g.decided()
	order := g.draft.order()
	u.work(func(ctx context.Context) func() {
		var made *node.Granted
		var err error
		answer := ""
		if g.request != nil {
			made, answer, err = g.request.give(ctx, n, order, g.draft.span)
		} else {
			made, err = n.Grant(ctx, order)
		}
		return func() {
			g.busy = false
			if err != nil {
				u.heard(err)
				setText(g.trouble, u.say(err))
				g.decided()
				return
			}
			if u.frame != nil && u.frame.front == screen(g) {
				u.goTo("access")
			}
			if answer != "" {
				u.showAnswer(u.t("answer.given", i18n.A{"brand": shownName(made.Brand)}), made.ID, made.Ticket+"\n"+answer)
			} else {
				u.showTicket(shownName(made.Brand), made.ID, made.Ticket)
			}
		}
	})
}

// promise is a line of what will be true.
type promise struct{ name, text string }

// promises says what will be readable, by whom, until when, how often, who
// decides and who is seen; and what nobody can prevent.
func (d *draft) promises(l *i18n.Locale, now time.Time) []promise {
	var out []promise
	add := func(name, text string) { out = append(out, promise{name, text}) }
	company := l.T("grant.the-company")
	if d.brand != nil {
		company = d.brand.name
		add(l.T("grant.who"), d.brand.name+"\n"+l.T("grant.key-text", i18n.A{"key": shortKey(d.brand.key)}))
	}
	if len(d.files) > 0 {
		var names []string
		var size int64
		for _, f := range d.files {
			names = append(names, string(f.Path))
			size += f.Size
		}
		text := l.N("access.files", int64(len(d.files)))
		add(l.T("grant.what"), join(text, l.Size(size))+"\n"+bullets(l, names, 8))
	}
	if d.spanOK {
		add(l.T("grant.until"), l.T("grant.until-text", i18n.A{"when": l.Moment(d.until, now), "span": l.Duration(d.span)}))
	}
	often := l.T("grant.often-any")
	if d.opens > 0 {
		often = l.N("grant.often", int64(d.opens))
	}
	add(l.T("grant.how-often"), often)
	if d.follow {
		add(l.T("grant.versions"), l.T("grant.versions-follow"))
	} else {
		add(l.T("grant.versions"), l.T("grant.versions-pinned"))
	}
	if d.deciders > 0 {
		add(l.T("grant.decide"), l.N("grant.decide-text", int64(d.need), i18n.A{"all": d.deciders}))
	}
	if d.via != nil {
		add(l.T("grant.sees"), l.T("grant.sees-text", i18n.A{"machine": shownName(d.via.Name)}))
	}
	return append(out, promise{"", l.T("grant.copies", i18n.A{"brand": company})})
}

// bullets is a list of names, one a line, which says how many more there are.
func bullets(l *i18n.Locale, names []string, most int) string {
	var b strings.Builder
	for i, name := range names[:min(len(names), most)] {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("• " + shownName(name))
	}
	if more := len(names) - most; more > 0 {
		b.WriteString("\n• " + l.N("grant.more-files", int64(more)))
	}
	return b.String()
}
