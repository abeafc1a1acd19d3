// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// pictures is how the list moved: how long each picture of it stood before the
// next one came.
type pictures struct {
	stood  []time.Duration // sorted
	within time.Duration
}

func (p pictures) String() string {
	if len(p.stood) == 0 {
		return "it did not move"
	}
	at := func(part int) time.Duration { return p.stood[(len(p.stood)-1)*part/100].Round(time.Millisecond) }
	return fmt.Sprintf("%.0f pictures a second, each for %v, 99 of 100 for at most %v, the longest for %v",
		float64(len(p.stood))/p.within.Seconds(), at(50), at(99), at(100))
}

// look is how often the screen is looked at.
const look = 2 * time.Millisecond

// moves watches the list, on the screen itself, while something is done. It sees
// what a person would, wherever the time went.
func (s *screen) moves(while func()) pictures {
	s.t.Helper()
	list := s.listOnScreen()
	over := make(chan struct{})
	seen := make(chan pictures, 1)
	go func() {
		var p pictures
		begin := time.Now()
		last, since := list(), time.Time{}
		for tick := time.NewTicker(look); ; {
			select {
			case <-over:
				slices.Sort(p.stood)
				p.within = time.Since(begin)
				seen <- p
				return
			case <-tick.C:
			}
			if now := list(); now != last {
				if !since.IsZero() {
					p.stood = append(p.stood, time.Since(since))
				}
				last, since = now, time.Now()
			}
		}
	}()
	while()
	close(over)
	return <-seen
}

// listOnScreen gives what tells one picture of the list from another. The
// virtual screen keeps its pixels in a file, after a header of which these are
// 32-bit numbers: its own length, the bytes of a line, the colours that follow
// it, 12 bytes each.
func (s *screen) listOnScreen() func() uint64 {
	s.t.Helper()
	const left, right, top, bottom = 230, 990, 220, 680
	f, err := os.Open(filepath.Join(s.dir, "Xvfb_screen0"))
	must(s.t, err)
	defer f.Close()
	info, err := f.Stat()
	must(s.t, err)
	raw, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	must(s.t, err)
	s.t.Cleanup(func() { syscall.Munmap(raw) })
	number := func(i int) int { return int(binary.BigEndian.Uint32(raw[4*i:])) }
	line, start := number(12), number(0)+12*number(19)
	if number(1) != 7 || number(11) != 32 || start+bottom*line > len(raw) {
		s.t.Fatalf("the virtual screen is not kept as expected: %v", raw[:100])
	}
	seed := maphash.MakeSeed()
	return func() uint64 {
		var h maphash.Hash
		h.SetSeed(seed)
		for y := top; y < bottom; y += 5 {
			h.Write(raw[start+y*line+4*left : start+y*line+4*right])
		}
		return h.Sum64()
	}
}
