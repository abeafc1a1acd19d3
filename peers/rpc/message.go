// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/said"
)

// Paths and headers of the protocol.
const (
	pathHello  = "/v1/hello"
	pathJoin   = "/v1/join"
	pathShards = "/v1/shards/"
	pathStat   = "/v1/shards/stat"
	pathDelete = "/v1/shards/delete"

	pathWitness = "/v1/witness/"

	headerRoot = "Preezm-Root"
	typeCBOR   = "application/cbor"
)

// Limits of messages, in bytes.
const (
	maxSmall   = 16 << 10 // hello and its answer, an error
	maxJoin    = 10 << 10 // join: the sender is a stranger
	maxIDs     = 4096     // shards in one stat or delete
	maxList    = 32*maxIDs + 64
	maxSizes   = 9*maxIDs + 64
	maxHeaders = 8 << 10
)

// helloMsg says who asks and where it can be reached. No addresses means
// "as before": the sender does not listen now.
type helloMsg struct {
	Name      string   `cbor:"1,keyasint"`
	Version   string   `cbor:"2,keyasint"`
	Addresses []string `cbor:"3,keyasint"`
	Keys      *keysMsg `cbor:"4,keyasint,omitempty"`
	Own       []byte   `cbor:"5,keyasint,omitempty"` // the list of its person's machines
}

// helloAnswer is what a keeper says of itself to one owner.
type helloAnswer struct {
	Name     string `cbor:"1,keyasint"`
	Version  string `cbor:"2,keyasint"`
	Quota    int64  `cbor:"3,keyasint"`
	Used     int64  `cbor:"4,keyasint"`
	Free     int64  `cbor:"5,keyasint"`
	Shards   int64  `cbor:"6,keyasint"`
	UnixTime int64  `cbor:"7,keyasint"`

	Keys  *keysMsg `cbor:"8,keyasint,omitempty"`
	Own   []byte   `cbor:"9,keyasint,omitempty"`
	Newer []byte   `cbor:"10,keyasint,omitempty"` // a newer list than the one shown
}

// joinMsg redeems an invite.
type joinMsg struct {
	Token     []byte   `cbor:"1,keyasint"`
	Name      string   `cbor:"2,keyasint"`
	Version   string   `cbor:"3,keyasint"`
	Addresses []string `cbor:"4,keyasint"`
	Keys      *keysMsg `cbor:"5,keyasint,omitempty"`
	Own       []byte   `cbor:"6,keyasint,omitempty"`
}

// joinAnswer tells the new member about the one that let it in.
type joinAnswer struct {
	Name      string   `cbor:"1,keyasint"`
	Version   string   `cbor:"2,keyasint"`
	Addresses []string `cbor:"3,keyasint"`
	Keys      *keysMsg `cbor:"4,keyasint,omitempty"`
	Own       []byte   `cbor:"5,keyasint,omitempty"`
}

// keysMsg are the sender's own keys, for documents; missing when it has none.
type keysMsg struct {
	Sign    []byte `cbor:"1,keyasint"` // Ed25519
	KEM     []byte `cbor:"2,keyasint"` // X-Wing
	Witness bool   `cbor:"3,keyasint"` // it is a custodian for who asks
}

// shardsMsg lists shards: 32 bytes each, one after the other.
type shardsMsg struct {
	IDs []byte `cbor:"1,keyasint"`
}

// statAnswer has one size for each shard asked for, -1 where it is missing.
type statAnswer struct {
	Sizes []int64 `cbor:"1,keyasint"`
}

// errorMsg goes with every status but the good ones.
type errorMsg struct {
	Code string `cbor:"1,keyasint"`
}

func newShardsMsg(ids []peers.ShardID) shardsMsg {
	b := make([]byte, 0, 32*len(ids))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return shardsMsg{IDs: b}
}

func (m shardsMsg) ids() ([]peers.ShardID, error) {
	if len(m.IDs)%32 != 0 || len(m.IDs) > 32*maxIDs {
		return nil, fmt.Errorf("%w: bad list of shards", wire.ErrMessage)
	}
	out := make([]peers.ShardID, len(m.IDs)/32)
	for i := range out {
		copy(out[i][:], m.IDs[32*i:])
	}
	return out, nil
}

// failure is one way a request can end badly: the code that travels, the HTTP
// status beside it, and the error both sides know it as.
type failure struct {
	code   string
	status int
	err    error
}

// Errors that travel but are no peers.Err* of their own.
var (
	errMessage  = wire.ErrMessage
	errTooLarge = errors.New("is larger than a keeper takes")
	errRange    = errors.New("reaches beyond the shard's end")
	errInternal = said.Error("peer-trouble", "has trouble of its own")
	errBusy     = said.Error("peer-busy", "is too busy now")
	errPath     = peers.ErrUnknown
)

// failures lists the ways, most telling first.
func failures() []failure {
	return []failure{
		{"not_found", http.StatusNotFound, peers.ErrNotFound},
		{"quota", http.StatusInsufficientStorage, peers.ErrQuota},
		{"disk_full", http.StatusInsufficientStorage, peers.ErrDiskFull},
		{"damaged", http.StatusUnprocessableEntity, peers.ErrDamaged},
		{"invite_expired", http.StatusForbidden, circle.ErrInviteExpired},
		{"invite_used", http.StatusForbidden, circle.ErrInviteUsed},
		{"invite_unknown", http.StatusForbidden, circle.ErrInviteUnknown},
		{"circle_full", http.StatusForbidden, circle.ErrTooManyPeers},
		{"stale", http.StatusConflict, peers.ErrStale},
		{"no_custodian", http.StatusNotFound, peers.ErrNoCustodian},
		{"refused", http.StatusForbidden, peers.ErrRefused},
		{"range", http.StatusRequestedRangeNotSatisfiable, errRange},
		{"too_large", http.StatusRequestEntityTooLarge, errTooLarge},
		{"malformed", http.StatusBadRequest, errMessage},
		{"unreachable", http.StatusServiceUnavailable, peers.ErrUnreachable}, // of a gateway: those behind it
		{"unknown_path", http.StatusNotFound, errPath},
		{"busy", http.StatusServiceUnavailable, errBusy},
		{"internal", http.StatusInternalServerError, errInternal},
	}
}

// failureOf finds what travels for err; an error nobody named is internal,
// and its text stays here.
func failureOf(err error) failure {
	all := failures()
	for _, f := range all {
		if errors.Is(err, f.err) {
			return f
		}
	}
	return all[len(all)-1]
}

// remoteError is what a code that came back means to the caller: one of the
// errors of package peers (or circle, for invites), with the detail where
// they are too coarse.
func remoteError(code string) error {
	for _, f := range failures() {
		if f.code != code {
			continue
		}
		switch f.err {
		case errTooLarge, errMessage, errInternal:
			return fmt.Errorf("%w (it %s)", peers.ErrRefused, remoteText(f.err))
		case errRange:
			return fmt.Errorf("%w (the shard is shorter)", peers.ErrDamaged)
		case errPath:
			return fmt.Errorf("%w (it %w)", peers.ErrProtocol, errPath)
		case errBusy:
			return fmt.Errorf("%w (it %w)", peers.ErrUnreachable, errBusy)
		}
		return f.err
	}
	return fmt.Errorf("%w (an unknown error code)", peers.ErrProtocol)
}

func remoteText(err error) string {
	switch err {
	case errTooLarge:
		return "takes nothing so large"
	case errMessage:
		return "could not read it"
	}
	return err.Error()
}
