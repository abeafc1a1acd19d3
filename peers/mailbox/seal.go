// SPDX-License-Identifier: MPL-2.0

package mailbox

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/said"
)

const (
	sealLabel = "preezm/v1/mail"
	signLabel = "preezm/v1/mail-signature"

	// MaxBody bounds a message, in bytes.
	MaxBody = 60 << 10
	// maxKind bounds the name of its kind.
	maxKind = 32
	// sealOverhead is what X-Wing's encapsulation and the tag take.
	sealOverhead = 1120 + 16
	// maxLetter bounds an envelope as it travels.
	maxLetter = 64<<10 + 256
)

// sizes are those that a sealed message can have.
func sizes() []int { return []int{4 << 10, 16 << 10, 64 << 10} }

// Errors of messages.
var (
	// ErrLetter: it is no message, or one for somebody else.
	ErrLetter = errors.New("not a letter to this device")
	// ErrTooLong: it does not fit into the largest size.
	ErrTooLong = said.Error("message-long", "a message may have at most {most} bytes", "most", strconv.Itoa(MaxBody))
)

// ID names a message.
type ID [16]byte

// envelope is what travels. A keeper reads all but Sealed.
type envelope struct {
	To     []byte `cbor:"1,keyasint"`
	ID     []byte `cbor:"2,keyasint"`
	Until  int64  `cbor:"3,keyasint"` // Unix seconds
	Sealed []byte `cbor:"4,keyasint"`
}

// inner is what is sealed, behind its length and before zeros.
type inner struct {
	From []byte `cbor:"1,keyasint"`
	Kind string `cbor:"2,keyasint"`
	At   int64  `cbor:"3,keyasint"` // Unix seconds
	Body []byte `cbor:"4,keyasint"`
	Sign []byte `cbor:"5,keyasint,omitempty"`
}

// Letter is a message as its recipient reads it.
type Letter struct {
	ID   ID
	From peers.DeviceID
	Kind string
	At   time.Time
	Body []byte
}

// header is what of an envelope binds the rest.
func (e *envelope) header(label string) []byte {
	b := append([]byte(label), e.To...)
	return binary.BigEndian.AppendUint64(append(b, e.ID...), uint64(e.Until))
}

// seal makes an envelope of a message.
func seal(c *wire.Codec, l Letter, to peers.DeviceID, kem []byte, sign ed25519.PrivateKey, until time.Time) ([]byte, error) {
	if len(l.Body) > MaxBody || len(l.Kind) > maxKind {
		return nil, ErrTooLong
	}
	e := envelope{To: to[:], ID: l.ID[:], Until: until.Unix()}
	in := inner{From: l.From[:], Kind: l.Kind, At: l.At.Unix(), Body: l.Body}
	bare, err := c.Marshal(in)
	if err != nil {
		return nil, err
	}
	in.Sign = ed25519.Sign(sign, append(e.header(signLabel), bare...))
	raw, err := c.Marshal(in)
	if err != nil {
		return nil, err
	}
	all := sizes()
	i := slices.IndexFunc(all, func(n int) bool { return 4+len(raw)+sealOverhead <= n })
	if i < 0 {
		return nil, ErrTooLong
	}
	plain := make([]byte, all[i]-sealOverhead)
	binary.BigEndian.PutUint32(plain, uint32(len(raw)))
	copy(plain[4:], raw)
	pk, err := hpke.MLKEM768X25519().NewPublicKey(kem)
	if err != nil {
		return nil, fmt.Errorf("the recipient's key: %w", err)
	}
	if e.Sealed, err = hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), e.header(sealLabel), plain); err != nil {
		return nil, fmt.Errorf("seal a letter: %w", err)
	}
	return c.Marshal(e)
}

// readEnvelope checks the outside of an envelope.
func readEnvelope(c *wire.Codec, raw []byte) (e envelope, to peers.DeviceID, id ID, err error) {
	if len(raw) > maxLetter {
		return e, to, id, fmt.Errorf("%w: %d bytes", ErrLetter, len(raw))
	}
	if err := c.Unmarshal(raw, &e); err != nil {
		return e, to, id, fmt.Errorf("%w: %w", ErrLetter, err)
	}
	if len(e.To) != len(to) || len(e.ID) != len(id) || e.Until <= 0 || e.Until > 1<<40 || !slices.Contains(sizes(), len(e.Sealed)) {
		return e, to, id, ErrLetter
	}
	copy(to[:], e.To)
	copy(id[:], e.ID)
	return e, to, id, nil
}

// open reads an envelope to this device. signer gives the key by which a device
// signs, or nil when nobody takes messages of it.
func open(c *wire.Codec, raw []byte, self peers.DeviceID, kem hpke.PrivateKey, signer func(peers.DeviceID) []byte) (Letter, error) {
	e, to, id, err := readEnvelope(c, raw)
	if err != nil {
		return Letter{}, err
	}
	if to != self {
		return Letter{}, ErrLetter
	}
	plain, err := hpke.Open(kem, hpke.HKDFSHA256(), hpke.AES256GCM(), e.header(sealLabel), e.Sealed)
	if err != nil {
		return Letter{}, fmt.Errorf("%w: sealed for another key", ErrLetter)
	}
	return readInner(c, &e, id, plain, signer)
}

// readInner reads what was sealed in an envelope. Any member can seal anything.
func readInner(c *wire.Codec, e *envelope, id ID, plain []byte, signer func(peers.DeviceID) []byte) (Letter, error) {
	if len(plain) < 4 || int64(binary.BigEndian.Uint32(plain)) > int64(len(plain)-4) {
		return Letter{}, fmt.Errorf("%w: bad length", ErrLetter)
	}
	n := binary.BigEndian.Uint32(plain)
	var in inner
	if err := c.Unmarshal(plain[4:4+n], &in); err != nil {
		return Letter{}, fmt.Errorf("%w: %w", ErrLetter, err)
	}
	l := Letter{ID: id, Kind: in.Kind, At: time.Unix(in.At, 0), Body: in.Body}
	if copy(l.From[:], in.From) != len(l.From) || len(in.From) != len(l.From) || len(in.Kind) > maxKind || in.At < 0 || in.At > 1<<40 {
		return Letter{}, fmt.Errorf("%w: bad fields", ErrLetter)
	}
	sign := in.Sign
	in.Sign = nil
	bare, err := c.Marshal(in)
	if err != nil {
		return Letter{}, err
	}
	key := signer(l.From)
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append(e.header(signLabel), bare...), sign) {
		return Letter{}, fmt.Errorf("%w: not signed by a device of the circle", ErrLetter)
	}
	return l, nil
}

func newID() (id ID) {
	rand.Read(id[:]) // never fails, as crypto/rand documents
	return id
}
