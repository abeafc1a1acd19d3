// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"errors"
	"io"

	"github.com/preezm/preezm/peers"
)

// Errors of a depot and its storage, beside the ones of package peers.
var (
	// ErrBusy: another process, or another Depot of this one, has the folder.
	ErrBusy = errors.New("depot is in use by another process")
	// ErrClosed: the depot was closed.
	ErrClosed = errors.New("depot is closed")
	// ErrNewer: a shard file was written by a later version of the program.
	ErrNewer = errors.New("shard file of a newer version")
)

// Shard is an open shard. Offsets count from the first byte of the body; a
// shard stays readable until Close even when it is deleted meanwhile.
type Shard = peers.Shard

// Entry is a stored shard as a listing shows it, without opening it.
type Entry struct {
	ID peers.ShardID
	// Size is that of the body, in bytes, by the length of what is stored.
	// Negative when it is too short to hold a header.
	Size int64
	// Stamp differs whenever the stored object may have changed (on a disk
	// the modification time). Equal stamps spare reading a header again.
	Stamp int64
}

// Object is a Shard together with what its header says. Opening it checked
// the header, not the body: the reader has the root for that.
type Object interface {
	Shard
	Header() *Header
	Stamp() int64
}

// Writer receives one shard. Exactly one of Commit and Abort ends it; Abort
// after Commit does nothing, so it can be deferred.
type Writer interface {
	// Write appends to the body. It fails beyond the size given to Create.
	io.Writer
	// Commit makes the shard durable and then visible under the header's ID,
	// or leaves nothing. fs.ErrExist when the ID is taken; peers.ErrDiskFull
	// when the room runs out; peers.ErrDamaged when the body is short.
	Commit(h *Header) (Entry, error)
	// Abort throws away what was written and frees its room.
	Abort() error
}

// Space is the room of the medium, in bytes.
type Space struct {
	Free  int64 // what this program may still use
	Total int64
}

// Storage holds shards. It knows nothing of quotas and trusts its caller with
// owners. All methods are safe for concurrent use; the caller sees to it that
// one shard is not created and removed at the same time.
type Storage interface {
	// Create begins a shard with a body of size bytes. Nothing of it shows
	// in Open or Walk before Commit, nor after a crash.
	Create(ctx context.Context, id peers.ShardID, size int64) (Writer, error)
	// Open gives a shard whose header is sound. fs.ErrNotExist when there is
	// none, peers.ErrDamaged when it is not what was committed under this
	// ID, ErrNewer when this program is too old for it.
	Open(ctx context.Context, id peers.ShardID) (Object, error)
	// Stat gives what Walk would, without reading the shard. fs.ErrNotExist
	// when there is none.
	Stat(ctx context.Context, id peers.ShardID) (Entry, error)
	// Remove deletes shards durably; ones that do not exist are no error.
	Remove(ctx context.Context, ids ...peers.ShardID) error
	// SetAside takes a damaged shard out of Open and Walk but keeps its
	// bytes where a person can look at them.
	SetAside(ctx context.Context, id peers.ShardID) error
	// Walk calls fn for every shard in ascending order of ID and stops at
	// its first error.
	Walk(ctx context.Context, fn func(Entry) error) error
	// Space tells the room left.
	Space(ctx context.Context) (Space, error)
	// Close releases the storage. Open objects stay usable.
	Close() error
}
