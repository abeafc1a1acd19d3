// SPDX-License-Identifier: MPL-2.0

package desktop

import "context"

// pump carries events from the goroutines to the window. An event is what
// there is to do on the window's own thread. The pump gathers all that are
// waiting and hands them over as one batch, so a burst of progress costs the
// window one redraw.
type pump struct {
	events chan func()
	do     func(func()) // runs its argument on the window's thread; fyne.Do
}

func newPump(do func(func())) *pump {
	return &pump{events: make(chan func(), 256), do: do}
}

// post hands an event in; it gives up when ctx ends, because nobody reads then.
func (p *pump) post(ctx context.Context, event func()) {
	select {
	case p.events <- event:
	case <-ctx.Done():
	}
}

// run hands batches over until ctx ends.
func (p *pump) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-p.events:
			batch := append([]func(){event}, p.waiting()...)
			p.do(func() {
				for _, event := range batch {
					event()
				}
			})
		}
	}
}

// waiting takes what is in the channel now.
func (p *pump) waiting() []func() {
	var batch []func()
	for {
		select {
		case event := <-p.events:
			batch = append(batch, event)
		default:
			return batch
		}
	}
}
