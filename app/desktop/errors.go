// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"net"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/helper"
)

// gone tells whether an error means that the node is no longer there: it says
// so, it broke off, or nobody is at its local socket.
func gone(err error) bool {
	var dial *net.OpError
	return errors.Is(err, node.ErrNotServing) || errors.Is(err, node.ErrNoAnswer) ||
		errors.As(err, &dial) && dial.Op == "dial" && dial.Net == "unix"
}

// say turns an error into words for people, with the remedy where there is
// one. What has no words of its own is shown as it is: a sentence in English
// helps more than none.
func (u *UI) say(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return u.t("error.cancelled")
	case errors.Is(err, engine.ErrNoKeepers):
		return u.t("error.no-keepers")
	case errors.Is(err, engine.ErrTooFewKeepers):
		return u.t("error.too-few-keepers")
	case errors.Is(err, engine.ErrExists):
		return u.t("error.exists")
	case errors.Is(err, circle.ErrInviteExpired):
		return u.t("error.invite-expired")
	case errors.Is(err, circle.ErrInviteUsed), errors.Is(err, circle.ErrInviteUnknown):
		return u.t("error.invite-used")
	case errors.Is(err, circle.ErrInviteCode):
		return u.t("error.invite-code")
	case errors.Is(err, node.ErrHomeBusy):
		return u.t("error.home-busy")
	case errors.Is(err, node.ErrNotServing):
		return u.t("error.not-serving")
	case errors.Is(err, node.ErrOtherVersion):
		return u.t("error.other-version")
	case errors.Is(err, brand.ErrNoBrand):
		return u.t("error.no-brand")
	case errors.Is(err, brand.ErrNotOurs):
		return u.t("error.not-ours")
	case errors.Is(err, ticket.ErrTicket), errors.Is(err, custody.ErrMalformed):
		return u.t("error.ticket")
	case errors.Is(err, consent.ErrText):
		return u.t("error.request")
	case errors.Is(err, consent.ErrExpired):
		return u.t("error.request-over")
	case errors.Is(err, grants.ErrNoCustodians):
		return u.t("error.no-custodians")
	case errors.Is(err, grants.ErrNoGateway):
		return u.t("error.no-gateway")
	case errors.Is(err, grants.ErrOver):
		return u.t("error.grant-over")
	case errors.Is(err, grants.ErrUnchanged):
		return u.t("error.unchanged")
	case errors.Is(err, grants.ErrPinned):
		return u.t("error.pinned")
	case errors.Is(err, node.ErrWaiting):
		return u.t("error.waiting")
	case errors.Is(err, errRate):
		return u.t("error.rate")
	case errors.Is(err, helper.ErrWrongWords):
		return u.t("error.wrong-words")
	case errors.Is(err, helper.ErrOver), errors.Is(err, helper.ErrNoRequest):
		return u.t("error.request-decided")
	case errors.Is(err, errCount):
		return u.t("error.count")
	case errors.Is(err, engine.ErrNotDrained):
		return u.t("error.not-drained")
	case errors.Is(err, node.ErrLocked):
		return u.t("error.locked")
	case errors.Is(err, errPeriod):
		return u.t("error.period")
	case errors.Is(err, peers.ErrRefused):
		return u.t("error.refused")
	case errors.Is(err, peers.ErrUnreachable):
		return u.t("error.unreachable")
	case errors.Is(err, peers.ErrQuota):
		return u.t("error.quota")
	case errors.Is(err, peers.ErrDiskFull):
		return u.t("error.disk-full")
	}
	return err.Error()
}
