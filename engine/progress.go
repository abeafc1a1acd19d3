// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"sync"
	"sync/atomic"
	"time"
)

// meter counts what an operation did and reports it ten times a second.
type meter struct {
	files, totalFiles, bytes, totalBytes atomic.Int64
	totalKnown                           atomic.Bool
	now                                  atomic.Pointer[string]
	stage                                atomic.Pointer[Stage]
	started                              time.Time
	report                               func(Progress)
	stop                                 chan struct{}
	done                                 sync.WaitGroup
}

const meterEvery = 100 * time.Millisecond

func newMeter(stage Stage, report func(Progress)) *meter {
	m := &meter{started: time.Now(), report: report, stop: make(chan struct{})}
	m.stage.Store(&stage)
	if report == nil {
		return m
	}
	m.done.Go(func() {
		tick := time.NewTicker(meterEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.report(m.snapshot())
			case <-m.stop:
				m.report(m.snapshot())
				return
			}
		}
	})
	return m
}

func (m *meter) snapshot() Progress {
	p := Progress{
		Stage: *m.stage.Load(), Files: m.files.Load(), TotalFiles: m.totalFiles.Load(), Bytes: m.bytes.Load(),
		TotalBytes: m.totalBytes.Load(), TotalKnown: m.totalKnown.Load(), Started: m.started,
	}
	if s := m.now.Load(); s != nil {
		p.Now = *s
	}
	return p
}

func (m *meter) set(s Stage)            { m.stage.Store(&s) }
func (m *meter) working(on string)      { m.now.Store(&on) }
func (m *meter) elapsed() time.Duration { return time.Since(m.started) }

// close sends the last snapshot and waits for the reporter.
func (m *meter) close() {
	close(m.stop)
	m.done.Wait()
}
