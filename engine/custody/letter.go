// SPDX-License-Identifier: MPL-2.0

package custody

// Letter is an open-request on its way through a gateway to one custodian. The
// gateway learns which grant it is for and its size, and nothing else.
type Letter struct {
	GrantID    [16]byte `cbor:"1,keyasint"`
	Owner      Key      `cbor:"2,keyasint"`
	Generation uint32   `cbor:"3,keyasint"`
	Day        uint32   `cbor:"4,keyasint"` // the grant's expiry day
	Mailbox    Key      `cbor:"5,keyasint"` // the custodian's, in this grant
	Sealed     []byte   `cbor:"6,keyasint"`
}

func (l *Letter) info() []byte {
	b := append([]byte("preezm/v1/letter"), l.GrantID[:]...)
	b = append(append(b, l.Owner[:]...), be32(l.Generation)...)
	return append(append(b, be32(l.Day)...), l.Mailbox[:]...)
}

// SealLetter puts a request into a letter to custodian index of its grant.
func SealLetter(request []byte, g *Signed[Grant], index int) ([]byte, error) {
	if index < 0 || index >= len(g.Body.Mailboxes) {
		return nil, errCount
	}
	l := Letter{
		GrantID: g.Body.ID, Owner: g.Body.Owner, Generation: g.Body.Generation,
		Day: ExpiryDay(g.Body.NotAfter), Mailbox: g.Body.Mailboxes[index],
	}
	var err error
	if l.Sealed, err = sealX25519(l.Mailbox, l.info(), request); err != nil {
		return nil, err
	}
	return Marshal(l)
}

// ReadLetter reads the outside of a letter, for delivering it.
func ReadLetter(raw []byte) (*Letter, error) {
	var l Letter
	if err := Unmarshal(raw, &l); err != nil {
		return nil, err
	}
	return &l, nil
}

// Open gives the request to the custodian whose chain of the letter's owner and
// generation this is: ErrErased when its day is gone, ErrMalformed when the
// letter is for another one.
func (l *Letter) Open(c Chain) ([]byte, error) {
	// Nobody has signed a letter: do not step far for it.
	if l.Day > c.Day && l.Day-c.Day > MaxGrantTime/86400+margin+2 {
		return nil, malformed("a letter for a day too far away")
	}
	day, err := c.expiry(l.Day)
	if err != nil {
		return nil, err
	}
	key, err := day.mailbox(l.GrantID)
	if err != nil {
		return nil, err
	}
	if Key(key.PublicKey().Bytes()) != l.Mailbox {
		return nil, malformed("a letter to another mailbox")
	}
	return openX25519(key, l.info(), l.Sealed)
}
