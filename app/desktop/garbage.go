// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"runtime/debug"
	"sync"
)

// How much garbage may lie beside what is in use, in percent of it, before it is
// collected: usually, and while a listing of 100,000 files makes more of it than it
// keeps.
const usualGarbage, listingGarbage = 50, 20

// garbage is what the window does about it.
var garbage thrift

// thrift lets several be thrifty at once.
type thrift struct {
	mu    sync.Mutex
	usual int // 0: the person's own choice holds
	users int
}

// limit sets what holds usually.
func (g *thrift) limit(percent int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.usual = percent
	debug.SetGCPercent(percent)
}

// during runs f with little garbage.
func (g *thrift) during(f func()) {
	g.change(1)
	defer g.change(-1)
	f()
}

func (g *thrift) change(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.users > 0
	g.users += by
	switch after := g.users > 0; {
	case g.usual == 0 || before == after:
	case after:
		debug.SetGCPercent(listingGarbage)
	default:
		debug.SetGCPercent(g.usual)
	}
}
