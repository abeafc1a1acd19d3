// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/grants"
)

// wanted is what of a request's record the window shows and asks about.
type wanted struct {
	Controller struct {
		LegalName string `json:"legal_name"`
		Contact   string `json:"contact"`
		Key       string `json:"key"`
	} `json:"dpv:hasDataController"`
	Purposes []struct {
		Text      string `json:"text"`
		Necessary bool   `json:"dpv:hasNecessity"`
	} `json:"purposes"`
	Kinds []struct {
		Text    string `json:"text"`
		Special bool   `json:"special"`
	} `json:"kinds"`
	Access struct {
		Seconds  int64  `json:"seconds"`
		MaxOpens uint32 `json:"max_opens"`
		Follow   bool   `json:"follow"`
	} `json:"access"`
	Retention string `json:"retention"`
}

func readWanted(record json.RawMessage) (wanted, error) {
	var r struct {
		Request wanted `json:"request"`
	}
	err := json.Unmarshal(record, &r)
	return r.Request, err
}

func (w *wanted) span() time.Duration { return time.Duration(w.Access.Seconds) * time.Second }

func (w *wanted) sensitive() bool {
	for _, k := range w.Kinds {
		if k.Special {
			return true
		}
	}
	return false
}

func (w *wanted) kinds() string {
	var out []string
	for _, k := range w.Kinds {
		out = append(out, shownName(k.Text))
	}
	return strings.Join(out, ", ")
}

func (w *wanted) purposes() string {
	var out []string
	for _, p := range w.Purposes {
		out = append(out, shownName(p.Text))
	}
	return strings.Join(out, ", ")
}

// opening says for how long and how often.
func (w *wanted) opening(l *i18n.Locale) string {
	often := l.T("grant.often-any")
	if w.Access.MaxOpens > 0 {
		often = l.N("grant.often", int64(w.Access.MaxOpens))
	}
	words := join(l.Duration(w.span()), often)
	if w.Access.Follow {
		words = join(words, l.T("asked.follow"))
	}
	return words
}

// askedCards are the requests of companies, on the Access screen.
type askedCards struct {
	ui     *UI
	list   []node.AskedRequest
	loaded bool
	mine   map[string]bool // taken in this window: no notice of these
	view   *fyne.Container
}

func newAskedCards(u *UI) *askedCards {
	return &askedCards{ui: u, mine: map[string]bool{}, view: container.NewVBox()}
}

func (c *askedCards) refresh() {
	u, n := c.ui, c.ui.node
	if n == nil {
		return
	}
	learn(u, n.Requests, c.show)
}

func isOpen(r node.AskedRequest) bool { return r.State == grants.RequestOpen }

func (c *askedCards) show(list []node.AskedRequest) {
	u := c.ui
	for _, r := range list {
		if isOpen(r) && u.prefs.once("asked:"+r.ID) && !c.mine[r.ID] {
			u.notify(noticeAsked, u.t("notify.asked", i18n.A{"brand": shownName(r.Company)}))
		}
	}
	if c.loaded && reflect.DeepEqual(list, c.list) {
		return
	}
	c.list, c.loaded = list, true
	open := 0
	c.view.Objects = nil
	for i := range list {
		if isOpen(list[i]) {
			open++
			c.view.Add(c.card(&list[i]))
		}
	}
	if over := len(list) - open; over > 0 {
		more := widget.NewButton(u.n("asked.answered", int64(over)), c.showAnswered)
		more.Importance = widget.LowImportance
		c.view.Add(container.NewHBox(more))
	}
	if u.frame != nil {
		u.frame.items["access"].count(open)
	}
	u.relayout()
}

// card is a request that waits for an answer.
func (c *askedCards) card(r *node.AskedRequest) fyne.CanvasObject {
	u, l := c.ui, c.ui.locale
	w, err := readWanted(r.Record)
	if err != nil {
		return newCard(statement(gradeLost, u.t("asked.unreadable")))
	}
	title := widget.NewLabel(u.t("asked.title", i18n.A{"brand": shownName(r.Company)}))
	title.TextStyle.Bold = true
	title.Truncation = fyne.TextTruncateEllipsis
	until := newNote(u.t("asked.until", i18n.A{"when": l.When(r.Expires, u.opt.Now())}))
	until.Wrapping = fyne.TextWrapOff
	facts := container.New(factsLayout{})
	add := func(name, text string) {
		if text == "" {
			return
		}
		small := styled(name, widget.RichTextStyle{ColorName: colorQuiet, SizeName: theme.SizeNameCaptionText})
		large := styled(text, widget.RichTextStyle{ColorName: theme.ColorNameForeground, SizeName: theme.SizeNameText})
		large.Wrapping = fyne.TextWrapWord
		facts.Add(small)
		facts.Add(large)
	}
	add(u.t("asked.wants"), w.kinds())
	add(u.t("asked.for"), w.purposes())
	add(u.t("asked.opens"), w.opening(l))
	add(u.t("asked.keeps"), shownName(w.Retention))
	box := container.NewVBox(beside(230, container.NewBorder(nil, nil, container.NewCenter(iconOf(icon("inbox", theme.ColorNamePrimary), 22)), nil, title), until),
		container.New(indentLayout{28}, facts))
	if w.sensitive() {
		box.Add(container.New(indentLayout{28}, statement(gradeFragile, u.t("asked.sensitive"))))
	}
	yes := widget.NewButtonWithIcon(u.t("asked.answer"), icon("key", theme.ColorNameForegroundOnPrimary), func() { u.answerPage(r) })
	yes.Importance = widget.HighImportance
	box.Add(container.New(indentLayout{36}, container.New(&flowLayout{}, yes,
		widget.NewButton(u.t("asked.refuse"), func() { c.askToRefuse(r) }),
		widget.NewButton(u.t("asked.read"), func() { u.readRequest(r) }))))
	return newCard(box)
}

// fullText is a request in the words that a person must be able to read.
func fullText(text string) fyne.CanvasObject {
	var b strings.Builder
	for _, l := range lines(text) { // the spaces that align it need letters of one width
		b.WriteString(strings.Join(strings.Fields(l), " ") + "\n")
	}
	words := widget.NewLabel(strings.TrimSpace(b.String()))
	words.Wrapping = fyne.TextWrapWord
	words.Selectable = true
	ground := newPanel(theme.ColorNameBackground, 8, words)
	ground.outline = true
	return ground
}

func (u *UI) readRequest(r *node.AskedRequest) {
	size := u.win.Canvas().Size()
	d := dialog.NewCustomWithoutButtons(u.t("asked.read"), container.NewVScroll(container.NewVBox(fullText(r.Displayed), newNote(u.t("asked.key-note")))), u.win)
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide)))
	d.Resize(fyne.NewSize(min(size.Width-60, 760), min(size.Height-60, 560)))
	u.show(d)
}

// stateWords say how a request was answered.
func stateWords(l *i18n.Locale, state string) (grade, string) {
	switch state {
	case string(consent.Given):
		return gradeSafe, l.T("asked.state-given")
	case string(consent.Reduced):
		return gradeSafe, l.T("asked.state-reduced")
	case grants.RequestRefused:
		return gradeNone, l.T("asked.state-refused")
	case grants.RequestExpired:
		return gradeNone, l.T("asked.state-expired")
	case grants.RequestOpen:
		return gradeFragile, l.T("asked.state-open")
	}
	return gradeLost, l.T("asked.unreadable")
}

// showAnswered lists the requests that need no answer any more.
func (c *askedCards) showAnswered() {
	u := c.ui
	var d *dialog.CustomDialog
	var rows []fyne.CanvasObject
	for _, r := range c.list {
		if isOpen(r) {
			continue
		}
		g, state := stateWords(u.locale, r.State)
		title := widget.NewLabel(shownName(r.Company))
		title.TextStyle.Bold = true
		words := []string{state, r.ID, u.locale.When(r.Got, u.opt.Now())}
		if !r.Countersigned.IsZero() {
			words = append(words, u.t("receipt.signed-by-both"))
		}
		line := newNote(join(words...))
		line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
		buttons := container.New(&flowLayout{}, widget.NewButton(u.t("asked.read"), func() { d.Hide(); u.readRequest(&r) }))
		if r.Answer != "" {
			buttons.Add(widget.NewButton(u.t("asked.show-answer"), func() { d.Hide(); u.showAnswer(state, r.ID, r.Answer) }))
			buttons.Add(widget.NewButton(u.t("receipt.show"), func() { d.Hide(); u.fetchReceipt(r.ID, u.node.RequestReceipt) }))
		}
		mark := container.NewCenter(iconOf(g.icon(), 20))
		rows = append(rows, container.NewVBox(container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, title, line)),
			container.New(indentLayout{32}, buttons), widget.NewSeparator()))
	}
	d = u.listDialog(u.t("asked.answered-title"), u.t("asked.answered-text"), rows)
}

// askForText takes a request that was pasted or comes in a file.
func (c *askedCards) askForText() {
	u := c.ui
	entry := widget.NewMultiLineEntry()
	entry.Wrapping = fyne.TextWrapBreak
	entry.SetPlaceHolder(consent.RequestPrefix + "…")
	entry.SetMinRowsVisible(4)
	fromFile := widget.NewButtonWithIcon(u.t("dialog.from-file"), theme.FolderOpenIcon(), func() {
		u.pickText(u.t("asked.add"), func(text string) { c.take(text) })
	})
	content := container.NewVBox(newNote(u.t("asked.add-text")), entry, container.NewHBox(fromFile))
	u.confirm(u.t("asked.add"), u.t("asked.add-yes"), widget.HighImportance, content, func() { c.take(entry.Text) })
}

// take keeps a request. It promises nothing.
func (c *askedCards) take(text string) {
	u, n := c.ui, c.ui.node
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, consent.CountersignPrefix) {
		u.takeCountersignature(text, c.refresh)
		return
	}
	u.work(func(ctx context.Context) func() {
		r, err := n.TakeRequest(ctx, text)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("asked.add"), err)
				return
			}
			c.mine[r.ID] = true
			c.refresh()
		}
	})
}

// askToRefuse says no, with a reason or without.
func (c *askedCards) askToRefuse(r *node.AskedRequest) {
	u, n := c.ui, c.ui.node
	reason := widget.NewEntry()
	reason.SetPlaceHolder(u.t("asked.reason-example"))
	content := container.NewVBox(newNote(u.t("asked.refuse-text", i18n.A{"brand": shownName(r.Company)})), field(u.t("asked.reason"), reason))
	u.confirm(u.t("asked.refuse-title"), u.t("asked.refuse-yes"), widget.DangerImportance, content, func() {
		o := node.RefuseOrder{ID: r.ID, Reason: strings.TrimSpace(reason.Text)}
		u.work(func(ctx context.Context) func() {
			done, err := n.RefuseRequest(ctx, o)
			return func() {
				if err != nil {
					u.heard(err)
					u.tell(u.t("asked.refuse-title"), err)
					return
				}
				c.refresh()
				u.showAnswer(u.t("asked.state-refused"), done.ID, done.Answer)
			}
		})
	})
}

// showAnswer shows what to send to the company.
func (u *UI) showAnswer(title, id, answer string) {
	box, copied := u.copyable(answer)
	d := dialog.NewCustomWithoutButtons(title, u.fit(520, container.NewVBox(newNote(u.t("answer.send")), box)), u.win)
	save := widget.NewButtonWithIcon(u.t("ticket.save"), theme.DocumentSaveIcon(), func() {
		u.saveAs(u.t("ticket.save"), id+".answer", func(context.Context) ([]byte, error) { return []byte(answer + "\n"), nil })
	})
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), save, copied))
	u.show(d)
}

// answering is a request that is being answered on the page where grants are
// made. The page asks for no more than the company did.
type answering struct {
	asks     *node.AskedRequest
	want     wanted
	without  []int // purposes that are not given, from 0
	explicit bool  // yes to sensitive data
}

// answerPage opens that page.
func (u *UI) answerPage(r *node.AskedRequest) {
	w, err := readWanted(r.Record)
	if err != nil || u.frame == nil {
		u.tell(u.t("asked.unreadable"), err)
		return
	}
	g := newGranting(u, &answering{asks: r, want: w})
	u.frame.granting = g
	u.frame.open(g, "access")
	g.choose(nil)
}

// span is how long was asked for; 0 is nobody asked.
func (a *answering) span() time.Duration {
	if a == nil {
		return 0
	}
	return a.want.span()
}

// counts are how often files may be opened, to choose from; what is proposed
// comes first.
func (a *answering) counts() []uint32 {
	all := []uint32{0, 1, 3, 10}
	if a == nil || a.want.Access.MaxOpens == 0 {
		return all
	}
	most := a.want.Access.MaxOpens
	return append([]uint32{most}, slices.DeleteFunc(all, func(n uint32) bool { return n == 0 || n >= most })...)
}

func (a *answering) company() *brandChoice {
	return &brandChoice{name: shownName(a.asks.Company), key: a.asks.Key, give: a.asks.Key}
}

// asked is the request, as it must be read before it is answered.
func (a *answering) asked(u *UI) fyne.CanvasObject {
	return field(u.t("answer.asked", i18n.A{"brand": shownName(a.asks.Company)}), container.NewVBox(fullText(a.asks.Displayed), newNote(u.t("asked.key-note"))))
}

// purposes lets each be given or not, and asks about sensitive data.
func (a *answering) purposes(u *UI, changed func()) fyne.CanvasObject {
	box := container.NewVBox()
	for i, p := range a.want.Purposes {
		words := shownName(p.Text)
		if p.Necessary {
			words = join(words, u.t("answer.necessary"))
		}
		check := widget.NewCheck(ellipsizeEnd(words, 340, theme.TextSize()), nil)
		check.Checked = true
		check.OnChanged = func(on bool) {
			a.without = slices.DeleteFunc(a.without, func(j int) bool { return j == i })
			if !on {
				a.without = append(a.without, i)
			}
			changed()
		}
		box.Add(check)
	}
	if a.want.sensitive() {
		explicit := widget.NewCheck(u.t("answer.explicit"), func(on bool) { a.explicit = on; changed() })
		box.Add(statement(gradeFragile, u.t("asked.sensitive")))
		box.Add(explicit)
	}
	return field(u.t("answer.purposes"), box)
}

// missing names what stands in the way of a yes.
func (a *answering) missing(l *i18n.Locale) string {
	switch {
	case len(a.without) == len(a.want.Purposes):
		return l.T("answer.no-purpose")
	case a.want.sensitive() && !a.explicit:
		return l.T("answer.say-explicit")
	}
	return ""
}

// give says yes, or to less, and makes the grant.
func (a *answering) give(ctx context.Context, n Node, order node.GrantOrder, span time.Duration) (*node.Granted, string, error) {
	o := node.AcceptOrder{ID: a.asks.ID, Without: a.without, For: span, Opens: order.Opens, Via: order.Via, Displayed: a.asks.Displayed, Explicit: a.explicit}
	for _, p := range order.Names {
		o.Names = append(o.Names, string(p))
	}
	done, err := n.AcceptRequest(ctx, o)
	if err != nil {
		return nil, "", err
	}
	return done.Grant, done.Request.Answer, nil
}
