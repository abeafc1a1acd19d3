// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// compressMin is the shortest chunk worth the try: what could be won is
	// less than the padding of a segment.
	compressMin = 512
	// probeSize is how much of a chunk is tried first.
	probeSize = 64 << 10
)

// Compress appends src to dst as one zstd frame and returns true, when that
// pays: a probe of the first 64 KiB shrinks by more than 10 %, and the whole by
// more than 3 %. Otherwise, and for less than 512 bytes, it returns dst as it
// came and false. src must not be longer than Max.
func (c *Compressor) Compress(dst, src []byte) (out []byte, ok bool) {
	if len(src) < compressMin || len(src) > Max {
		return dst, false
	}
	if len(src) > probeSize {
		// Into memory of its own: most of what fails the probe is media, and
		// dst need not grow for it.
		c.probe = c.enc.EncodeAll(src[:probeSize], c.probe[:0])
		if !shrunk(probeSize, len(c.probe), 10) {
			return dst, false
		}
	}
	out = c.enc.EncodeAll(src, slices.Grow(dst, c.enc.MaxEncodedSize(len(src))))
	percent := 3
	if len(src) <= probeSize { // then this was the probe
		percent = 10
	}
	if !shrunk(len(src), len(out)-len(dst), percent) {
		return dst, false
	}
	return out, true
}

// shrunk says whether to is more than percent smaller than from.
func shrunk(from, to, percent int) bool { return to*100 < from*(100-percent) }

// Decompress appends what Compress made of a chunk of plainLen bytes to dst,
// exactly that many bytes, or returns dst as it came and ErrCorrupt, wrapped.
// It takes no more memory than plainLen and a constant, whatever src holds.
// Safe for concurrent use.
func Decompress(dst, src []byte, plainLen int) ([]byte, error) {
	if plainLen < 0 || plainLen > Max {
		return dst, fmt.Errorf("%w: a chunk has no %d bytes", ErrCorrupt, plainLen)
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return dst, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(plainLen) {
		return dst, fmt.Errorf("%w: not a frame of %d bytes", ErrCorrupt, plainLen)
	}
	dec := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(dec)
	// The decoder stops at the capacity of what it is given, so the third index
	// is the limit.
	end := len(dst) + plainLen
	room := slices.Grow(dst, plainLen)[len(dst):end:end]
	out, err := dec.DecodeAll(src, room[:0])
	if err != nil {
		return dst, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if len(out) != plainLen {
		return dst, fmt.Errorf("%w: %d bytes, not %d", ErrCorrupt, len(out), plainLen)
	}
	if plainLen > 0 && &out[0] != &room[0] {
		copy(room, out)
	}
	return append(dst, room...), nil
}

// windowSize is how far back the encoder looks. It takes twice that in memory;
// most chunks are not much longer.
const windowSize = 1 << 20

// Compressor is an encoder with room for what it makes of a probe: some MiB.
// One goroutine at a time.
type Compressor struct {
	enc   *zstd.Encoder
	probe []byte
}

// NewCompressor gives one that was used before, if there is one. Hand it to
// Done after use.
func NewCompressor() *Compressor { return compressors.Get().(*Compressor) }

// Done leaves the Compressor for others.
func (c *Compressor) Done() { compressors.Put(c) }

// Encoders and decoders hold tables worth keeping from chunk to chunk. With
// one thread and no stream of their own they start no goroutines.
var (
	compressors = sync.Pool{New: func() any {
		enc, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(windowSize),
			zstd.WithEncoderCRC(false)) // what is sealed needs no checksum
		if err != nil {
			panic(err) // constant options
		}
		return &Compressor{enc: enc, probe: make([]byte, 0, enc.MaxEncodedSize(probeSize))}
	}}
	decoders = sync.Pool{New: func() any {
		dec, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(4<<20),
			zstd.WithDecoderMaxMemory(Max),
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err) // constant options
		}
		return dec
	}}
)
