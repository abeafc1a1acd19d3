// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/preezm/preezm/engine"
)

const (
	// quietFirst and quietEvery space the lines of long work where no line
	// can be redrawn: in a pipe, a log, a dumb terminal.
	quietFirst = 3 * time.Second
	quietEvery = 5 * time.Second
	// speedOver is the time the shown speed looks back.
	speedOver = 5 * time.Second
	// defaultWidth is for a terminal that does not tell its own.
	defaultWidth = 80
)

// meter shows the progress of one long operation on standard error: one
// redrawn line on a terminal, a line now and then elsewhere. Its methods are
// called from one goroutine.
type meter struct {
	w       io.Writer
	tty     *os.File // nil: no redrawing
	now     func() time.Time
	width   func() int
	started time.Time
	spoke   time.Time // last quiet line
	drawn   int       // columns of the line on the screen
	last    engine.Progress
	window  []sample // of the last speedOver, oldest first
}

type sample struct {
	at    time.Time
	bytes int64
}

func (a *app) meter() *meter {
	m := &meter{w: a.err, now: time.Now}
	if f, ok := a.terminal(a.err); ok {
		m.tty = f
		m.width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				return w
			}
			return defaultWidth
		}
	}
	m.started = m.now()
	m.spoke = m.started
	return m
}

// update takes a snapshot in.
func (m *meter) update(p engine.Progress) {
	now := m.now()
	if p.Stage != m.last.Stage {
		m.window = m.window[:0]
	}
	m.last = p
	m.window = append(m.window, sample{now, p.Bytes})
	for len(m.window) > 2 && now.Sub(m.window[1].at) >= speedOver {
		m.window = m.window[1:]
	}
	if m.tty != nil {
		m.draw(m.line(m.width() - 1))
		return
	}
	gap := quietEvery
	if m.spoke.Equal(m.started) {
		gap = quietFirst
	}
	if now.Sub(m.spoke) >= gap {
		m.spoke = now
		fmt.Fprintln(m.w, m.line(1<<10))
	}
}

// draw replaces the line. Spaces wipe the rest of the old one: escape
// sequences would be one more thing a console may not know.
func (m *meter) draw(line string) {
	n := columns(line)
	pad := strings.Repeat(" ", max(m.drawn-n, 0))
	fmt.Fprintf(m.w, "\r%s%s", line, pad)
	if pad != "" {
		fmt.Fprintf(m.w, "\r%s", line)
	}
	m.drawn = n
}

// done takes the line off the screen.
func (m *meter) done() {
	if m.tty != nil && m.drawn > 0 {
		fmt.Fprintf(m.w, "\r%s\r", strings.Repeat(" ", m.drawn))
		m.drawn = 0
	}
}

// line writes the last snapshot in at most cells columns: what is left out
// first is the name in work, then the time left.
func (m *meter) line(cells int) string {
	p := m.last
	parts := []string{stageWord(p.Stage)}
	if p.Stage == engine.StageAsk {
		parts = append(parts, fmt.Sprintf("%d of %d agreed", p.Files, p.TotalFiles))
		if more := p.TotalFiles - p.Files; more == 1 {
			parts[1] += ", waiting for one more"
		} else if more > 1 {
			parts[1] += fmt.Sprintf(", waiting for %d more", more)
		}
	} else if p.Stage == engine.StageScan {
		parts = append(parts, count(p.TotalFiles, "file", "files"), size(p.TotalBytes))
	} else {
		known := p.TotalKnown && p.TotalBytes > 0
		if known {
			parts = append(parts, fmt.Sprintf("%3d %%", min(p.Bytes*100/p.TotalBytes, 100)))
		}
		if p.TotalBytes > 0 {
			more := ""
			if !p.TotalKnown {
				more = "+" // the scan still finds files
			}
			parts = append(parts, fmt.Sprintf("%s of %s%s", size(p.Bytes), size(p.TotalBytes), more))
		}
		if p.TotalFiles > 1 {
			parts = append(parts, fmt.Sprintf("%s of %s", humanize.Comma(p.Files), count(p.TotalFiles, "file", "files")))
		}
		if speed := m.speed(); speed > 0 {
			parts = append(parts, size(int64(speed))+"/s")
			if known && p.Bytes < p.TotalBytes {
				left := time.Duration(float64(p.TotalBytes-p.Bytes) / speed * float64(time.Second))
				parts = append(parts, about(left)+" left")
			}
		}
	}
	if p.Now != "" {
		parts = append(parts, printable(p.Now))
	}
	return cut(strings.Join(parts, "  "), cells)
}

// speed gives bytes per second over the last few seconds; 0: not known yet.
func (m *meter) speed() float64 {
	if len(m.window) < 2 {
		return 0
	}
	first, last := m.window[0], m.window[len(m.window)-1]
	d := last.at.Sub(first.at).Seconds()
	if d < 0.5 || last.bytes <= first.bytes {
		return 0
	}
	return float64(last.bytes-first.bytes) / d
}

func stageWord(s engine.Stage) string {
	switch s {
	case engine.StageScan:
		return "Looking"
	case engine.StagePut:
		return "Keeping"
	case engine.StageGet:
		return "Bringing back"
	case engine.StageVerify:
		return "Checking"
	case engine.StageCompact:
		return "Compacting"
	case engine.StageBackup:
		return "Copying the list of files"
	case engine.StageRepair:
		return "Repairing"
	case engine.StageWait:
		return "Waiting"
	case engine.StageAsk:
		return "Asking"
	}
	return "Working"
}

// about rounds a time left to what can be promised.
func about(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds())+1)
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes())+1)
	case d < 100*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours())+1)
	}
	return "days"
}
