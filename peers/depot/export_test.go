// SPDX-License-Identifier: MPL-2.0

package depot

// SetStep has fn called at each point of a put or delete; crash tests die
// there. Before the first put only.
func (d *Depot) SetStep(fn func(point string)) {
	d.step = fn
	if disk, ok := d.storage.(*Disk); ok {
		disk.step = fn
	}
}

// Cost is what a shard of size bytes takes of a quota.
func Cost(size int64) int64 { return cost(size) }
