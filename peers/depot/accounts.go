// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"fmt"
	"sync"

	"github.com/preezm/preezm/peers"
)

// cost is what a shard of size bytes takes of a quota: the header block and
// the body in blocks of 4 KiB, as a disk counts. Charging the body alone would
// let a stranger with a small quota fill the disk with one-byte shards.
func cost(size int64) int64 {
	return HeaderSize + (size+HeaderSize-1)/HeaderSize*HeaderSize
}

// Usage is how much room is promised, used and left, in bytes as cost counts.
type Usage = peers.Usage

// account is one owner's part.
type account struct {
	used, reserved, shards int64
	// beside is what lies elsewhere in the home for this owner and counts as
	// room, though it is no shard.
	beside int64
}

// taken is what of a quota is gone.
func (a *account) taken() int64 { return a.used + a.reserved + a.beside }

// accounts keeps the sums of quota, offer and disk. A put reserves its bytes
// before the first one is read, so that puts side by side never overrun.
type accounts struct {
	mu      sync.Mutex
	offer   int64
	minFree int64
	all     account
	owners  map[peers.DeviceID]*account
	// same gives the name of the account that an owner belongs to; owners
	// holds what each device stored before it was known to be one of several.
	same func(peers.DeviceID) peers.DeviceID
}

// sum adds up all that belongs to an account. The lock is held by the caller.
func (a *accounts) sum(owner peers.DeviceID) (out account) {
	name := a.same(owner)
	for id, acc := range a.owners {
		if id == name || a.same(id) == name {
			out.used += acc.used
			out.reserved += acc.reserved
			out.shards += acc.shards
			out.beside += acc.beside
		}
	}
	return out
}

// owner gives the account, made when needed. The lock is held by the caller.
func (a *accounts) owner(id peers.DeviceID) *account {
	acc := a.owners[id]
	if acc == nil {
		acc = &account{}
		a.owners[id] = acc
	}
	return acc
}

// prune drops an empty account: whoever came and left takes no memory.
func (a *accounts) prune(id peers.DeviceID, acc *account) {
	if *acc == (account{}) {
		delete(a.owners, id)
	}
}

// limit is what an owner may use: its quota, or the whole offer when it has
// none of its own (0). A quota above the offer promises no more than it.
func limit(quota, offer int64) int64 {
	if quota == 0 || quota > offer {
		return max(offer, 0)
	}
	return max(quota, 0)
}

// reserve sets n bytes aside for owner. space is asked under the lock, because
// a put that ends in between would count twice or not at all.
func (a *accounts) reserve(owner peers.DeviceID, n, quota int64, space func() (Space, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.owner(owner)
	defer a.prune(owner, acc)
	sum := a.sum(owner)
	if err := a.room(&sum, &a.all, n, quota, a.offer, space); err != nil {
		return err
	}
	acc.reserved += n
	a.all.reserved += n
	return nil
}

// room looks whether n bytes more fit what is promised to an owner, what is
// offered to all, and the disk. The lock is held by the caller.
func (a *accounts) room(sum, all *account, n, quota, offer int64, space func() (Space, error)) error {
	if lim := limit(quota, offer); sum.taken()+n > lim {
		return fmt.Errorf("%d of %d bytes used: %w", sum.taken(), lim, peers.ErrQuota)
	}
	if all.taken()+n > offer {
		return fmt.Errorf("the offer to all is used up: %w", peers.ErrQuota)
	}
	s, err := space()
	if err != nil {
		return err
	}
	// Bytes in flight may be on the disk already and then count twice: an
	// error on the careful side, of a few shards.
	if s.Free-a.all.reserved-n < a.minFree {
		return peers.ErrDiskFull
	}
	return nil
}

// take counts n bytes beside the shards, where there is room. With nothing
// offered there is a little all the same, which all owners share.
func (a *accounts) take(owner peers.DeviceID, n, quota int64, space func() (Space, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum, all, offer := a.sum(owner), a.all, a.offer
	if offer <= 0 {
		sum, all, offer = account{beside: sum.beside}, account{beside: all.beside}, BesideNoOffer
	}
	if err := a.room(&sum, &all, n, quota, offer, space); err != nil {
		return err
	}
	a.owner(owner).beside += n
	a.all.beside += n
	return nil
}

// hold counts n bytes beside the shards that are there already, or, negative,
// are gone.
func (a *accounts) hold(owner peers.DeviceID, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.owner(owner)
	acc.beside += n
	a.all.beside += n
	a.prune(owner, acc)
}

// settle ends a reservation: the bytes are stored now, or free again.
func (a *accounts) settle(owner peers.DeviceID, n int64, stored bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.owner(owner)
	for _, x := range [...]*account{acc, &a.all} {
		x.reserved -= n
		if stored {
			x.used += n
			x.shards++
		}
	}
	a.prune(owner, acc)
}

// release gives back the room of deleted shards.
func (a *accounts) release(owner peers.DeviceID, n, shards int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.owner(owner)
	for _, x := range [...]*account{acc, &a.all} {
		x.used -= n
		x.shards -= shards
	}
	a.prune(owner, acc)
}

// load replaces the sums by those of the index.
func (a *accounts) load(owners map[peers.DeviceID]*account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owners, a.all = owners, account{}
	for _, acc := range owners {
		a.all.used += acc.used
		a.all.shards += acc.shards
	}
}

func (a *accounts) setOffer(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.offer = n
}

// usage of one owner; disk is the free room of the medium.
func (a *accounts) usage(owner peers.DeviceID, quota, disk int64) Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.sum(owner)
	lim := limit(quota, a.offer)
	return Usage{
		Quota:  lim,
		Used:   acc.used,
		Free:   max(0, min(lim-acc.taken(), a.left(disk))),
		Shards: acc.shards,
	}
}

// total of all owners.
func (a *accounts) total(disk int64) Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Usage{Quota: max(a.offer, 0), Used: a.all.used, Free: max(0, a.left(disk)), Shards: a.all.shards}
}

// left is the room under offer and disk. The lock is held by the caller.
func (a *accounts) left(disk int64) int64 {
	return min(a.offer-a.all.taken(), disk-a.all.reserved-a.minFree)
}
