// SPDX-License-Identifier: MPL-2.0

package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

const (
	// FrameSize is the plaintext length in bytes of every frame but the last.
	FrameSize = 64 << 10
	// Tag is what a frame is longer than its plaintext, in bytes.
	Tag = 16

	sealedFrame = FrameSize + Tag

	// maxPlain keeps sums of lengths that strangers name from overflowing.
	maxPlain = math.MaxInt / 2
)

var (
	// ErrAuthentic: the bytes are not what was sealed under this key and
	// associated data, or not all of it. The same error for every reason, so
	// that it tells an attacker nothing.
	ErrAuthentic = errors.New("seal: not authentic")
	// ErrLength: no message has this sealed length.
	ErrLength = errors.New("seal: impossible length")
)

// Frames is the number of frames of a message of plain bytes; never 0, as an
// empty message is one empty frame.
func Frames(plain int) int {
	if plain <= 0 {
		return 1
	}
	return (plain-1)/FrameSize + 1
}

// SealedLen is the length in bytes of a sealed message of plain bytes.
func SealedLen(plain int) int { return plain + Tag*Frames(plain) }

// PlainLen is the inverse of SealedLen. It returns ErrLength when no message
// seals to that length.
func PlainLen(sealed int) (int, error) {
	if sealed < Tag {
		return 0, ErrLength
	}
	frames := (sealed-1)/sealedFrame + 1
	plain := sealed - frames*Tag
	if plain < 0 || Frames(plain) != frames {
		return 0, ErrLength
	}
	return plain, nil
}

// Seal appends the sealed form of plain to dst. The associated data is not in
// the output: whoever opens must know it, and cannot open with any other. A
// key seals ONE message, ever: nonces count from zero. The spare capacity of
// dst must not overlap plain.
func Seal(dst []byte, key Key, ad, plain []byte) []byte {
	s := newStream(&key)
	dst = slices.Grow(dst, SealedLen(len(plain)))
	for len(plain) > FrameSize {
		dst = s.aead.Seal(dst, s.nonce[:], plain[:FrameSize], ad)
		plain = plain[FrameSize:]
		s.next()
	}
	s.last()
	return s.aead.Seal(dst, s.nonce[:], plain, ad)
}

// Open appends the plaintext of a sealed message to dst. On any mismatch it
// returns dst as it came and ErrAuthentic; what was decrypted until then is
// wiped from the spare capacity of dst, which must not overlap sealed.
func Open(dst []byte, key Key, ad, sealed []byte) ([]byte, error) {
	plainLen, err := PlainLen(len(sealed))
	if err != nil {
		return dst, ErrAuthentic
	}
	return OpenRange(dst, key, ad, plainLen, 0, sealed)
}

// OpenRange appends the plaintext of a run of whole frames, the first of
// which is number firstFrame of a message of plainLen bytes, to dst. Only the
// position and the content of these frames are checked; that plainLen is
// right is known when the run includes the last frame. Errors as Open; an
// empty run is one, too.
func OpenRange(dst []byte, key Key, ad []byte, plainLen, firstFrame int, frames []byte) ([]byte, error) {
	if plainLen < 0 || plainLen > maxPlain || firstFrame < 0 || firstFrame >= Frames(plainLen) || len(frames) == 0 {
		return dst, ErrAuthentic
	}
	left := SealedLen(plainLen) - firstFrame*sealedFrame // to the end of the message
	if len(frames) > left || len(frames) < left && len(frames)%sealedFrame != 0 {
		return dst, ErrAuthentic
	}
	s := newStream(&key)
	s.seek(firstFrame)
	out := slices.Grow(dst, len(frames)-Tag*((len(frames)-1)/sealedFrame+1))
	for len(frames) > 0 {
		n := min(len(frames), sealedFrame)
		if n == left {
			s.last()
		}
		opened, err := s.aead.Open(out, s.nonce[:], frames[:n], ad)
		if err != nil {
			clear(out[len(dst):]) // GCM has wiped the frame that failed
			return dst, ErrAuthentic
		}
		out = opened
		frames = frames[n:]
		left -= n
		s.next()
	}
	return out, nil
}

// stream is AES-256-GCM with the nonces of STREAM (Hoang, Reyhanitabar,
// Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse
// Misuse-Resistance", 2015): the frame number, 11 bytes big-endian, then 1 in
// the last frame and 0 in the others, so that frames cannot be dropped,
// repeated or put in another order.
type stream struct {
	aead  cipher.AEAD
	frame uint64
	nonce [12]byte
}

func (s *stream) seek(frame int) {
	s.frame = uint64(frame)
	binary.BigEndian.PutUint64(s.nonce[3:11], s.frame)
}

func (s *stream) next() {
	s.frame++
	binary.BigEndian.PutUint64(s.nonce[3:11], s.frame)
}

func (s *stream) last() { s.nonce[11] = 1 }

func newStream(key *Key) *stream {
	enc := expand(key, labelKey)
	block, err := aes.NewCipher(enc[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // the block has 16 bytes
	}
	return &stream{aead: aead}
}
