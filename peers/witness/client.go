// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// The verbs of a custodian, on the wire.
const (
	verbAppoint = "appoint"
	verbLetter  = "letter"
	verbRevoke  = "revoke"
	verbStatus  = "status"
	verbLog     = "log"
	verbGossip  = "gossip"

	verbEvidence = "evidence"
	verbRevoked  = "revoked"
)

// Caller carries messages to one custodian: *rpc.Client does.
type Caller interface {
	Witness(ctx context.Context, verb string, raw []byte) ([]byte, error)
}

// Client asks one custodian. Errors are those of package peers:
// peers.ErrNoCustodian when it has no part in the owner's keys.
type Client struct{ Caller Caller }

// Appoint hands the custodian its chain. Repeating it after an error is safe.
func (c Client) Appoint(ctx context.Context, a Appointing) (*Appointed, error) {
	return ask[Appointed](ctx, c, verbAppoint, a)
}

// Letter brings an open-request, custody.SealLetter, to the custodian. The same
// letter again gets the same answer and is not counted twice.
func (c Client) Letter(ctx context.Context, letter []byte) (*Reply, error) {
	raw, err := c.Caller.Witness(ctx, verbLetter, letter)
	if err != nil {
		return nil, err
	}
	return ParseReply(raw)
}

// Revoke brings a signed revocation. When it returns without an error the
// custodian has it on its disk.
func (c Client) Revoke(ctx context.Context, revocation []byte) (*Standing, error) {
	return answered[Standing](c.Caller.Witness(ctx, verbRevoke, revocation))
}

// Status brings news of an owner. What was known already does no harm; the
// first document that is wrong ends it with peers.ErrRefused, and those before
// it are kept.
func (c Client) Status(ctx context.Context, n News) (*Standing, error) {
	return ask[Standing](ctx, c, verbStatus, n)
}

// Log reads the owner's log behind entry after.
func (c Client) Log(ctx context.Context, owner custody.Key, after uint64) (*LogAnswer, error) {
	return ask[LogAnswer](ctx, c, verbLog, LogQuery{Owner: owner, After: after})
}

// Evidence reads what a custodian keeps of one grant's releases, from those
// behind log entry after on. It is asked again until there is no more.
func (c Client) Evidence(ctx context.Context, owner custody.Key, grant custody.Hash, after uint64) (*Evidence, error) {
	return ask[Evidence](ctx, c, verbEvidence, EvidenceQuery{Owner: owner, Grant: grant, After: after})
}

// gossip exchanges news with a fellow custodian.
func (c Client) gossip(ctx context.Context, w Whispers) (*Whispers, error) {
	return ask[Whispers](ctx, c, verbGossip, w)
}

// revoked asks a fellow for the withdrawal of one grant.
func (c Client) revoked(ctx context.Context, q RevokedQuery) (*RevokedAnswer, error) {
	return ask[RevokedAnswer](ctx, c, verbRevoked, q)
}

func ask[A any](ctx context.Context, c Client, verb string, msg any) (*A, error) {
	raw, err := custody.Marshal(msg)
	if err != nil {
		return nil, err
	}
	return answered[A](c.Caller.Witness(ctx, verb, raw))
}

func answered[A any](raw []byte, err error) (*A, error) {
	if err != nil {
		return nil, err
	}
	var a A
	if err := custody.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrProtocol, err)
	}
	return &a, nil
}
