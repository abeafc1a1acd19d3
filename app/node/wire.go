// SPDX-License-Identifier: MPL-2.0

package node

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/engine/watch"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/vault"
)

// The local protocol: POST to one path per call with one CBOR value for a
// body; the answer is a sequence of CBOR frames, any number with progress and
// one, the last, with the result or the error. Every frame is flushed. Closing
// the connection cancels the work.
const (
	pathAbout  = "/v1/about"
	pathInvite = "/v1/invite"
	pathJoin   = "/v1/join"
	pathCircle = "/v1/circle"
	pathPut    = "/v1/put"
	pathGet    = "/v1/get"
	pathList   = "/v1/list"
	pathRemove = "/v1/remove"
	pathStatus = "/v1/status"
	pathVerify = "/v1/verify"

	contentType = "application/cbor-seq"

	// maxRequest bounds a request body in bytes: a shell passes at most 2 MiB
	// of arguments, paths are lengthened to absolute ones.
	maxRequest = 8 << 20
	// maxAnswer bounds an answer, in bytes: a listing of a million files.
	maxAnswer = 1 << 30
	// maxElements bounds arrays in a message: files in one listing.
	maxElements = 1 << 24
)

// frame is one item of an answer: progress, or, as the last one, a result or
// an error. An error may come with a result, such as the report of a put that
// kept all files but one.
type frame struct {
	Progress *engine.Progress `cbor:"p,omitempty"`
	Result   cbor.RawMessage  `cbor:"r,omitempty"`
	Error    *wireError       `cbor:"e,omitempty"`
	Data     []byte           `cbor:"d,omitempty"` // of a call that streams, before the last frame
}

// wireError is an error with the sentinels it stands for, so that errors.Is
// tells the client what it would have told in the node's own process.
type wireError struct {
	Codes []string   `cbor:"c,omitempty"`
	Note  said.Note  `cbor:"n"`
	Busy  *BusyError `cbor:"b,omitempty"`
}

// request and answer bodies that are not a type of the API already.
type (
	joinRequest   struct{ Code string }
	circleRequest struct{ Probe bool }
	removeRequest struct{ Names []engine.Path }
	empty         struct{}
)

// codec holds the two CBOR modes. They are strict but for one thing: names in
// a catalog and on a disk are any bytes, so text is not held to be UTF-8.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCodec() (*codec, error) {
	enc, err := cbor.EncOptions{
		Sort:        cbor.SortBytewiseLexical,
		Time:        cbor.TimeRFC3339Nano,
		IndefLength: cbor.IndefLengthForbidden,
	}.EncMode()
	if err != nil {
		return nil, err
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8DecodeInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxArrayElements:  maxElements,
		MaxNestedLevels:   8,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}

// sentinels are the errors that survive the trip, by the code they travel
// under. Codes are part of the protocol: never reuse one.
func sentinels() map[string]error {
	all := said.Known()
	for _, err := range []error{
		ErrNoHome, ErrHomeExists, ErrHomeBusy, ErrSettings, ErrLocked, vault.ErrPassphrase, vault.ErrNeedPassphrase,
		ErrOtherOwner, ErrWordsGone, ErrNothingRuns, ErrWindowRuns, vault.ErrWeak, vault.ErrNoKeychain, ErrBadRequest,
		engine.ErrNotFound, engine.ErrNotThen, engine.ErrNotTrashed, engine.ErrExists, engine.ErrTooFewKeepers, engine.ErrNoKeepers, engine.ErrInvalidPath,
		engine.ErrOccupied, watch.ErrUnknown, watch.ErrTwice, engine.ErrNotKept, engine.ErrNotBack,
		peers.ErrUnreachable, peers.ErrRefused, peers.ErrNotFound, peers.ErrQuota, peers.ErrDiskFull, peers.ErrDamaged,
		peers.ErrProtocol, grants.ErrNoCustodians, grants.ErrNoGateway, grants.ErrUnknown, grants.ErrOver,
		grants.ErrPinned, grants.ErrUnchanged, brand.ErrNoBrand, brand.ErrExists, brand.ErrNotOffice, brand.ErrCopy,
		brand.ErrCopyKey, brand.ErrNoMember, brand.ErrCode, brand.ErrOffice, brand.ErrOfficeRefused, brand.ErrOpening,
		grants.ErrAnswered, grants.ErrSensitive, consent.ErrText, consent.ErrExpired, consent.ErrMore,
		brand.ErrNotOurs, brand.ErrUnknown, ticket.ErrTicket, custody.ErrMalformed, ErrGrantRefused, ErrWaiting,
		peers.ErrNoCustodian, circle.ErrInviteCode, circle.ErrInviteExpired, circle.ErrInviteUsed,
		circle.ErrInviteUnknown, circle.ErrTooManyPeers, ErrNotServing, ErrNoAnswer, ErrOtherVersion, ErrNoPairing,
		ErrThisDevice, ErrNoDevice, ErrNoConflict, errMustServe, errCareNobody, errCareChanged, engine.ErrNotDrained,
		grants.ErrSpent, grants.ErrUnanswered, consent.ErrReceipt, helper.ErrNoRequest, helper.ErrWrongWords,
		helper.ErrOver, brand.ErrUnanswered, brand.ErrClosed, rpc.ErrSelf, circle.ErrUnknownPeer, peers.ErrUnknown,
		transport.ErrWrongDevice, transport.ErrNotAdmitted, account.ErrNotListed,
	} {
		all[said.By(err).Code] = err
	}
	return all
}

// toWire describes err for the trip.
func toWire(err error) *wireError {
	w := &wireError{Note: said.By(err)}
	for code, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			w.Codes = append(w.Codes, code)
		}
	}
	errors.As(err, &w.Busy)
	return w
}

// remoteError is what came out of the other end of toWire.
type remoteError struct {
	note said.Note
	is   []error
}

func (e *remoteError) Error() string   { return e.note.Text }
func (e *remoteError) Unwrap() []error { return e.is }
func (e *remoteError) Said() said.Note { return e.note }

func fromWire(w *wireError) error {
	e := &remoteError{note: w.Note}
	known := sentinels()
	for _, code := range w.Codes {
		if s, ok := known[code]; ok {
			e.is = append(e.is, s)
		}
	}
	if w.Busy != nil {
		e.is = append(e.is, w.Busy)
	}
	return e
}

// malformed wraps a decoding error as a bad request.
func malformed(err error) error { return fmt.Errorf("%w: %w", ErrBadRequest, err) }
