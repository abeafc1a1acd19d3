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
	"sync"
	"time"

	"fyne.io/fyne/v2"
)

// threadPace is how soon the window's thread came to what it was asked to do, since
// the last time somebody wanted to know.
type threadPace struct {
	Count                int
	Median, Late, Latest time.Duration // half, 99 of 100, and all came sooner
}

// beat is how often the window's thread is asked, when it keeps up.
const beat = 4 * time.Millisecond

// startPace measures the window's thread all the time and answers each
// connection to the socket beside the probe's with how it did since the last.
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
	var mu sync.Mutex
	var took []time.Duration
	asked := false
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			p := paceOf(took)
			took = took[:0]
			first := !asked
			asked = true
			mu.Unlock()
			if first { // from now on
				go func() {
					for u.ctx.Err() == nil {
						begin := time.Now()
						done := make(chan struct{})
						fyne.Do(func() { close(done) })
						select {
						case <-done:
						case <-u.ctx.Done():
							return
						}
						mu.Lock()
						took = append(took, time.Since(begin))
						mu.Unlock()
						time.Sleep(beat)
					}
				}()
			}
			if err := json.NewEncoder(c).Encode(p); err != nil {
				fyne.LogError("pace", err)
			}
			c.Close()
		}
	}()
}

func paceOf(took []time.Duration) threadPace {
	p := threadPace{Count: len(took)}
	if p.Count > 0 {
		sorted := slices.Sorted(slices.Values(took))
		p.Median, p.Late, p.Latest = sorted[len(sorted)/2], sorted[len(sorted)*99/100], sorted[len(sorted)-1]
	}
	return p
}
