// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"runtime"
	"testing"

	"github.com/preezm/preezm/peers"
)

// TestSegmentPoolKeeps tells that a buffer that came back is used again while
// the work goes on, whatever the garbage collector does meanwhile.
func TestSegmentPoolKeeps(t *testing.T) {
	var p segmentPool
	a, b := p.get(2), p.get(2)
	if len(a) != 2*peers.MaxShard || &a[0] == &b[0] {
		t.Fatal("two buffers of two shards, each its own")
	}
	p.put(a)
	runtime.GC()
	runtime.GC()
	if c := p.get(1); len(c) != peers.MaxShard || &c[0] != &a[0] {
		t.Error("a new buffer though one is there")
	}
	if d := p.get(3); len(d) != 3*peers.MaxShard {
		t.Errorf("%d bytes for three shards", len(d))
	}
}

// TestSegmentPoolLetsGo tells that an idle program holds no buffers itself.
func TestSegmentPoolLetsGo(t *testing.T) {
	var p segmentPool
	a, b := p.get(1), p.get(1)
	p.put(a)
	p.put(b)
	if len(p.free) > 0 || p.out != 0 {
		t.Errorf("%d buffers held, %d out", len(p.free), p.out)
	}
}

func TestSegmentPoolBounded(t *testing.T) {
	var p segmentPool
	p.get(1)
	for range 3 * mostSegments {
		p.put(make([]byte, peers.MaxShard))
		p.out++ // as if another were taken from elsewhere
	}
	if len(p.free) > mostSegments {
		t.Errorf("%d buffers held", len(p.free))
	}
}

func TestBytePoolUsesWhatIsThere(t *testing.T) {
	var p bytePool
	big, small := p.get(3<<20), p.get(10<<10)
	if len(*big) != 3<<20 || cap(*big) != 4<<20 || len(*small) != 10<<10 || cap(*small) != 16<<10 {
		t.Fatalf("%d of %d, %d of %d", len(*big), cap(*big), len(*small), cap(*small))
	}
	p.put(big)
	p.put(small)
	if b := p.get(1); b != small || len(*b) != 1 {
		t.Error("not the smallest that is there")
	}
	if b := p.get(1); b != big || len(*b) != 1 {
		t.Error("a new buffer though one is there")
	}
	if b := p.get(0); len(*b) != 0 || p.held != 0 {
		t.Errorf("%d bytes, %d held", len(*b), p.held)
	}
	for range 3 * mostHeld {
		b := make([]byte, 1<<10)
		p.put(&b)
	}
	if p.held != mostHeld {
		t.Errorf("%d held", p.held)
	}
}
