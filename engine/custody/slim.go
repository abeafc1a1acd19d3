// SPDX-License-Identifier: MPL-2.0

package custody

// SlimRequest is an open-request without the grant and the package inside it,
// for keeping many under one grant: those are the same in each, and far larger
// than the rest. Nothing of it is trusted: put together again, it is a request
// or not.
type SlimRequest struct {
	Package Hash     `cbor:"1,keyasint"`
	Body    []byte   `cbor:"2,keyasint"` // the payload, its fields 1 and 2 empty
	Signer  Key      `cbor:"3,keyasint"`
	Sig     [64]byte `cbor:"4,keyasint"`
}

// Slim takes the grant and the package out of a signed open-request, and gives
// the package.
func Slim(raw []byte) (slim, pkg []byte, err error) {
	var e envelope
	if err := Unmarshal(raw, &e); err != nil {
		return nil, nil, err
	}
	r, err := Parse[OpenRequest](raw)
	if err != nil {
		return nil, nil, err
	}
	p, err := Parse[KeyPackage](r.Body.Package)
	if err != nil {
		return nil, nil, err
	}
	body := r.Body
	body.Grant, body.Package = []byte{}, []byte{}
	s := SlimRequest{Package: p.Hash, Signer: e.Signer, Sig: e.Sig}
	if s.Body, err = Marshal(body); err != nil {
		return nil, nil, err
	}
	slim, err = Marshal(s)
	return slim, p.Raw, err
}

// ReadSlim reads what Slim made.
func ReadSlim(raw []byte) (*SlimRequest, error) {
	var s SlimRequest
	if err := Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Whole puts the signed request together again, byte by byte, and checks its
// signature.
func (s *SlimRequest) Whole(grant, pkg []byte) ([]byte, error) {
	var body OpenRequest
	if err := Unmarshal(s.Body, &body); err != nil {
		return nil, err
	}
	if len(body.Grant)+len(body.Package) > 0 {
		return nil, malformed("a slim request that is not slim")
	}
	body.Grant, body.Package = grant, pkg
	e := envelope{Type: body.Type(), Signer: s.Signer, Sig: s.Sig}
	var err error
	if e.Payload, err = Marshal(body); err != nil {
		return nil, err
	}
	raw, err := Marshal(e)
	if err != nil {
		return nil, err
	}
	_, err = Parse[OpenRequest](raw)
	return raw, err
}
