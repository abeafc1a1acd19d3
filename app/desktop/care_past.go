// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// pastCard is what is kept of the past, how long, and the trash.
type pastCard struct {
	ui     *UI
	asked  time.Time // when it was read last
	policy engine.Retention
	trash  []engine.Trashed

	kept, rule, bin *widget.RichText
	empty           *widget.Button
	view            *panel
}

// pastEvery is how often the past is read anew while one looks at it: that
// walks through every former version.
const pastEvery = 5 * time.Minute

func newPastCard(u *UI) *pastCard {
	p := &pastCard{ui: u, kept: newNote(" "), rule: newNote(" "), bin: newNote(" ")}
	change := widget.NewButton(u.t("care.change-policy"), p.askPolicy)
	open := widget.NewButtonWithIcon(u.t("trash.open"), theme.DeleteIcon(), u.showTrash)
	p.empty = widget.NewButton(u.t("trash.empty")+"…", func() { u.askToEmptyTrash(p.trash) })
	p.empty.Disable()
	p.view = newCard(container.NewVBox(newWideHeading(u.t("care.past")), container.New(tightLayout{}, p.kept, p.rule, p.bin),
		container.New(&flowLayout{}, change, open, p.empty)))
	return p
}

// pastKept is what there is of the past.
type pastKept struct {
	policy engine.Retention
	trash  []engine.Trashed
	former *engine.PruneReport
}

func readPast(ctx context.Context, n Node) (k pastKept, err error) {
	if k.policy, err = n.Retention(ctx); err != nil {
		return k, err
	}
	if k.trash, err = n.Trash(ctx); err != nil {
		return k, err
	}
	// What a policy that wants nothing would let go of is all there is.
	k.former, err = n.Prune(ctx, node.PruneOrder{Dry: true, Policy: engine.Retention{TrashDays: k.policy.TrashDays}})
	return k, err
}

// refresh reads it anew when that is due.
func (p *pastCard) refresh() {
	if now := p.ui.opt.Now(); p.asked.IsZero() || now.Sub(p.asked) >= pastEvery {
		p.asked = now
		p.read()
	}
}

func (p *pastCard) read() {
	u, n := p.ui, p.ui.node
	u.work(func(ctx context.Context) func() {
		k, err := readPast(ctx, n)
		if err != nil {
			return func() { u.heard(err); setText(p.kept, u.say(err)) }
		}
		return func() { p.show(k) }
	})
}

func (p *pastCard) show(k pastKept) {
	l := p.ui.locale
	p.policy, p.trash = k.policy, k.trash
	setText(p.kept, l.N("care.former", k.former.Versions, i18n.A{"size": l.Size(k.former.Bytes)}))
	setText(p.rule, retentionWords(l, k.policy))
	var files, bytes int64
	for _, t := range k.trash {
		files, bytes = files+t.Files, bytes+t.Bytes
	}
	words := l.T("trash.none")
	if len(k.trash) > 0 {
		words = l.N("care.trash", files, i18n.A{"size": l.Size(bytes)})
	}
	setText(p.bin, words)
	enable(p.empty, len(k.trash) > 0)
	p.ui.relayout()
}

// errCount: what was typed is no number of versions or days.
var errCount = errors.New("no whole number from 0 to 36525")

func readCount(text string) (int64, error) {
	const most = 36525
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, errCount
	}
	return n, nil
}

// askPolicy changes how much of the past stays.
func (p *pastCard) askPolicy() {
	u := p.ui
	grid := container.NewVBox()
	next := p.policy
	type part struct {
		entry *widget.Entry
		to    *int64
	}
	var parts []part
	add := func(words string, to *int64) {
		e := widget.NewEntry()
		e.SetText(strconv.FormatInt(*to, 10))
		parts = append(parts, part{e, to})
		label := widget.NewLabel(words)
		label.Wrapping = fyne.TextWrapWord
		grid.Add(beside(200, label, container.New(widthLayout{90}, e)))
	}
	add(u.t("care.policy-last"), &next.Last)
	add(u.t("care.policy-daily"), &next.Daily)
	add(u.t("care.policy-weekly"), &next.Weekly)
	add(u.t("care.policy-monthly"), &next.Monthly)
	add(u.t("care.policy-trash"), &next.TrashDays)
	content := container.NewVBox(newNote(u.t("care.policy-text")), grid)
	u.confirm(u.t("care.policy"), u.t("dialog.save"), widget.HighImportance, content, func() {
		for _, q := range parts {
			n, err := readCount(q.entry.Text)
			if err != nil {
				u.tell(u.t("settings.not-changed"), err)
				return
			}
			*q.to = n
		}
		p.weigh(next)
	})
}

// weigh says what a new policy lets go of, before it does.
func (p *pastCard) weigh(next engine.Retention) {
	u, n := p.ui, p.ui.node
	u.work(func(ctx context.Context) func() {
		r, err := n.Prune(ctx, node.PruneOrder{Policy: next, Dry: true})
		return func() {
			switch {
			case err != nil:
				u.heard(err)
				u.tell(u.t("settings.not-changed"), err)
			case r.Versions+r.Trashed == 0:
				p.set(next)
			default:
				content := container.NewVBox(newNote(retentionWords(u.locale, next)))
				if r.Versions > 0 {
					content.Add(statement(gradeFragile, u.n("care.lets-go", r.Versions, i18n.A{"size": u.locale.Size(r.Bytes)})))
				}
				if r.Trashed > 0 {
					content.Add(statement(gradeFragile, u.n("care.lets-go-trash", r.Trashed)))
				}
				u.confirm(u.t("care.policy"), u.t("care.policy-yes"), widget.DangerImportance, content, func() { p.set(next) })
			}
		}
	})
}

func (p *pastCard) set(next engine.Retention) {
	u, n := p.ui, p.ui.node
	u.work(func(ctx context.Context) func() {
		err := n.SetRetention(ctx, next)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("settings.not-changed"), err)
			}
			p.read()
		}
	})
}

// askToEmptyTrash lets go of all removals after a question.
func (u *UI) askToEmptyTrash(list []engine.Trashed) {
	n := u.node
	u.confirm(u.t("trash.empty"), u.t("trash.empty"), widget.DangerImportance, newNote(u.n("trash.empty-text", int64(len(list)))), func() {
		u.work(func(ctx context.Context) func() {
			_, err := n.EmptyTrash(ctx, nil)
			return func() {
				if err != nil {
					u.heard(err)
					u.tell(u.t("trash.empty"), err)
				}
				u.changed()
			}
		})
	})
}

// care is the screen on which the home's health is shown at length.
func (f *frame) care() *careScreen {
	c, _ := f.pages["care"].(*careScreen)
	return c
}
