// SPDX-License-Identifier: MPL-2.0

//go:build probe

package desktop

import (
	"encoding/json"
	"net"
	"net/http"
	_ "net/http/pprof" // for whoever measures the window
	"os"
	"slices"
	"sync/atomic"
	"time"

	"fyne.io/fyne/v2"
)

// threadPace is how soon the window's thread came to what it was asked to do.
type threadPace struct {
	Count                int
	Median, Late, Latest time.Duration // half, 99 of 100, and all came sooner
}

// beat is how often the window's thread is asked, when it keeps up.
const beat = 4 * time.Millisecond

// startPace measures the window's thread for whoever connects to the socket
// beside the probe's, until they say that it is enough, and answers how it did.
// In between it keeps quiet: asking keeps the thread awake.
func startPace(u *UI, path string) {
	l, err := net.Listen("unix", path+".pace")
	if err != nil {
		fyne.LogError("pace", err)
		return
	}
	go func() {
		<-u.ctx.Done()
		l.Close()
	}()
	if on := os.Getenv("PREEZM_PPROF"); on != "" {
		go func() { fyne.LogError("pprof", http.ListenAndServe(on, nil)) }()
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var enough atomic.Bool
			go func() {
				_, _ = c.Read(make([]byte, 1))
				enough.Store(true)
			}()
			if err := json.NewEncoder(c).Encode(u.measure(&enough)); err != nil {
				fyne.LogError("pace", err)
			}
			c.Close()
		}
	}()
}

func (u *UI) measure(enough *atomic.Bool) threadPace {
	var took []time.Duration
	for !enough.Load() {
		begin := time.Now()
		done := make(chan struct{})
		u.opt.do(func() { close(done) })
		select {
		case <-done:
		case <-u.ctx.Done():
			return paceOf(took)
		}
		took = append(took, time.Since(begin))
		time.Sleep(beat)
	}
	return paceOf(took)
}

func paceOf(took []time.Duration) threadPace {
	p := threadPace{Count: len(took)}
	if p.Count > 0 {
		sorted := slices.Sorted(slices.Values(took))
		p.Median, p.Late, p.Latest = sorted[len(sorted)/2], sorted[len(sorted)*99/100], sorted[len(sorted)-1]
	}
	return p
}
