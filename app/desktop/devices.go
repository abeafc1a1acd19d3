// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"reflect"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// ownMachines is the part of the settings about the person's own machines.
type ownMachines struct {
	ui    *UI
	asked time.Time
	list  []node.Device
	code  *node.NewDevice     // given out and not used yet
	guest *node.DevicePairing // used it, and waits for an answer
	front *dialog.CustomDialog

	rows  *fyne.Container
	wait  *fyne.Container
	add   *widget.Button
	view  *panel
	watch context.CancelFunc // ends the wait for a machine; nil while there is none
}

// devicesEvery is how often the list is read anew while one looks at it: for
// that, keepers are asked when each machine was there last.
const devicesEvery = 2 * time.Minute

func newOwnMachines(u *UI) *ownMachines {
	m := &ownMachines{ui: u, rows: container.NewVBox(), wait: container.NewVBox()}
	m.add = widget.NewButtonWithIcon(u.t("devices.add"), theme.ComputerIcon(), m.begin)
	m.view = newCard(container.NewVBox(newWideHeading(u.t("devices.title")), newNote(u.t("devices.text")), m.rows, m.wait, container.NewHBox(m.add)))
	return m
}

func (m *ownMachines) refresh() {
	if now := m.ui.opt.Now(); m.asked.IsZero() || now.Sub(m.asked) >= devicesEvery {
		m.asked = now
		m.read()
	}
}

func (m *ownMachines) read() {
	u, n := m.ui, m.ui.node
	if n == nil {
		return
	}
	learn(u, n.Devices, m.show)
}

func (m *ownMachines) show(list []node.Device) {
	if len(m.rows.Objects) > 0 && reflect.DeepEqual(list, m.list) {
		return
	}
	m.list = list
	m.rows.Objects = nil
	for _, d := range list {
		m.rows.Add(m.row(d))
	}
	m.ui.relayout()
}

func (m *ownMachines) row(d node.Device) fyne.CanvasObject {
	u := m.ui
	name := widget.NewLabel(shownName(d.Name))
	name.TextStyle.Bold = true
	name.Truncation = fyne.TextTruncateEllipsis
	line := newNote(deviceWords(u.locale, &d, u.opt.Now()))
	line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
	color := theme.ColorNameForeground
	if !d.Removed.IsZero() {
		color = colorQuiet
	}
	mark := container.NewCenter(iconOf(tinted(theme.ComputerIcon(), color), 20))
	remove := widget.NewButton(u.t("devices.remove"), func() { m.askToRemove(d) })
	visible(remove, !d.This && d.Removed.IsZero())
	return beside(230, container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, name, line)), remove)
}

// deviceWords say what is known of one of the person's machines.
func deviceWords(l *i18n.Locale, d *node.Device, now time.Time) string {
	switch {
	case d.This:
		return join(l.T("devices.this"), d.Device.Short())
	case !d.Removed.IsZero() && d.Stolen:
		return join(l.T("devices.stolen", i18n.A{"when": l.When(d.Removed, now)}), d.Device.Short())
	case !d.Removed.IsZero():
		return join(l.T("devices.removed", i18n.A{"when": l.When(d.Removed, now)}), d.Device.Short())
	case d.Seen.IsZero():
		return join(l.T("devices.not-seen"), d.Device.Short())
	}
	return join(l.T("devices.seen", i18n.A{"when": l.When(d.Seen, now)}), d.Device.Short())
}

// begin gives a code for a further machine, or shows again what is under way.
func (m *ownMachines) begin() {
	u, n := m.ui, m.ui.node
	switch {
	case m.guest != nil:
		m.compare()
		return
	case m.code != nil && u.opt.Now().Before(m.code.Expires):
		m.showCode()
		return
	}
	m.add.Disable()
	u.work(func(ctx context.Context) func() {
		code, err := n.AddDevice(ctx)
		return func() {
			m.add.Enable()
			if err != nil {
				u.heard(err)
				u.tell(u.t("devices.add"), err)
				return
			}
			m.code = &code
			m.await(n)
			m.showCode()
			m.showWait()
		}
	})
}

// await waits until a machine used the code. Closing the dialog with the code
// changes nothing about that.
func (m *ownMachines) await(n Node) {
	u := m.ui
	if m.watch != nil {
		m.watch()
	}
	ctx, cancel := context.WithCancel(u.ctx)
	m.watch = cancel
	u.work(func(context.Context) func() {
		p, err := n.PairingDevice(ctx)
		return func() {
			if ctx.Err() != nil {
				return
			}
			m.watch = nil
			cancel()
			if m.front != nil {
				m.front.Hide()
			}
			m.code = nil
			if err == nil {
				m.guest = &p
			}
			m.showWait()
			switch {
			case errors.Is(err, node.ErrNoPairing): // nobody came in time
			case err != nil:
				u.heard(err)
			case u.frame != nil:
				m.compare()
			}
		}
	})
}

// showCode shows the code and how to use it.
func (m *ownMachines) showCode() {
	u := m.ui
	box, copied := u.copyable(m.code.Code)
	content := container.NewVBox(newNote(u.t("devices.code-text")), box)
	if code := newQR(m.code.Code); code != nil {
		content.Add(container.NewCenter(code))
	}
	content.Add(newNote(u.t("devices.code-until", i18n.A{"time": m.code.Expires.In(u.opt.Now().Location()).Format("15:04")})))
	d := dialog.NewCustomWithoutButtons(u.t("devices.add"), u.fit(500, content), u.win)
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), copied))
	d.SetOnClosed(func() { m.front = nil })
	m.front = d
	u.show(d)
}

// showWait says what waits for the person.
func (m *ownMachines) showWait() {
	u := m.ui
	m.wait.Objects = nil
	words := u.t("devices.add")
	switch {
	case m.guest != nil:
		m.wait.Add(statement(gradeFragile, u.t("devices.waits", i18n.A{"name": shownName(m.guest.Name)})))
		words = u.t("devices.compare")
	case m.code != nil:
		m.wait.Add(newNote(u.t("devices.awaited")))
		words = u.t("devices.show-code")
	}
	m.add.SetText(words)
	u.relayout()
}

// compare asks whether the other machine shows the same words. Without an
// answer it goes on waiting.
func (m *ownMachines) compare() {
	u, p := m.ui, m.guest
	u.compare(u.t("devices.words-title", i18n.A{"name": shownName(p.Name)}), u.t("devices.words-text"), p.Words[u.locale.Lang()],
		func(same bool) { m.decide(p, same) }, nil)
}

func (m *ownMachines) decide(p *node.DevicePairing, same bool) {
	u, n := m.ui, m.ui.node
	m.guest = nil
	m.showWait()
	m.add.Disable()
	if same {
		u.mention(u.t("devices.handing", i18n.A{"name": shownName(p.Name)}))
	}
	u.work(func(ctx context.Context) func() {
		_, err := n.DecideDevice(ctx, node.DeviceDecision{Device: p.Device, Yes: same})
		return func() {
			m.add.Enable()
			switch {
			case err != nil:
				u.heard(err)
				u.mention("")
				u.tell(u.t("devices.add"), err)
			case same:
				u.mention(u.t("devices.added", i18n.A{"name": shownName(p.Name)}))
			default:
				u.inform(u.t("devices.sent-away"), newNote(u.t("words.out")))
			}
			m.read()
		}
	})
}

// askToRemove ends that a machine counts as the person's.
func (m *ownMachines) askToRemove(d node.Device) {
	u := m.ui
	stolen := widget.NewCheck(u.t("devices.was-stolen"), nil)
	content := container.NewVBox(newNote(u.t("devices.remove-text")), stolen)
	u.confirm(u.t("devices.remove-title", i18n.A{"name": shownName(d.Name)}), u.t("devices.remove"), widget.DangerImportance, content, func() {
		m.remove(node.DeviceRemoval{Who: d.Device.String(), Stolen: stolen.Checked})
	})
}

func (m *ownMachines) remove(o node.DeviceRemoval) {
	u, n := m.ui, m.ui.node
	var r node.DeviceRemoved
	u.transfers.start(theme.ComputerIcon(), u.t("devices.removing"), func(ctx context.Context, _ func(engine.Progress)) (outcome, error) {
		var err error
		r, err = n.RemoveDevice(ctx, o)
		return outcome{summary: u.locale.T("member.removed")}, err
	}, func(t *transfer) {
		m.read()
		if t.err != nil {
			u.tell(u.t("devices.remove"), t.err)
			return
		}
		content := container.NewVBox(newNote(u.n("devices.told", int64(r.Told), i18n.A{"all": r.Of, "name": shownName(r.Name)})))
		if r.CustodianN > 0 {
			content.Add(newNote(u.n("devices.told-custodians", int64(r.Custodians), i18n.A{"all": r.CustodianN})))
		}
		if r.Told < r.Of || r.Custodians < r.CustodianN {
			content.Add(newNote(u.t("devices.told-later")))
		}
		if o.Stolen {
			content.Add(statement(gradeFragile, u.t("devices.stolen-text")))
		}
		u.inform(u.t("devices.removed-title"), content)
	})
}
