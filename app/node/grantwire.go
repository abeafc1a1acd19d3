// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/grants"
)

// The calls of GrantAPI on the local socket.
const (
	pathCustodians      = "/v1/custodians"
	pathWhoIs           = "/v1/custodians/who"
	pathAddCustodian    = "/v1/custodians/add"
	pathRemoveCustodian = "/v1/custodians/remove"
	pathGrant           = "/v1/grant"
	pathGrants          = "/v1/grants"
	pathRevoke          = "/v1/grant/revoke"
	pathExtend          = "/v1/grant/extend"
	pathLedger          = "/v1/ledger"
	pathVerifyLedger    = "/v1/ledger/verify"
	pathProof           = "/v1/proof"
	pathRefresh         = "/v1/grant/refresh"
	pathView            = "/v1/brand/view"
	pathEndView         = "/v1/brand/view/end"
	pathBrandInit       = "/v1/brand/init"
	pathBrand           = "/v1/brand"
	pathReceive         = "/v1/brand/receive"
	pathReceived        = "/v1/brand/received"
	pathOpenGrant       = "/v1/brand/open"
)

// call0 and call1 fit calls without progress, and without arguments, to
// handle.
func call0[Res any](f func(context.Context) (Res, error)) func(context.Context, empty, func(engine.Progress)) (Res, error) {
	return func(ctx context.Context, _ empty, _ func(engine.Progress)) (Res, error) { return f(ctx) }
}

func call1[Req, Res any](f func(context.Context, Req) (Res, error)) func(context.Context, Req, func(engine.Progress)) (Res, error) {
	return func(ctx context.Context, r Req, _ func(engine.Progress)) (Res, error) { return f(ctx, r) }
}

func (s *localServer) grantCalls(mux *http.ServeMux) {
	handle(mux, s, pathCustodians, call0(s.api.Custodians))
	handle(mux, s, pathWhoIs, call1(s.api.WhoIs))
	handle(mux, s, pathAddCustodian, call1(s.api.AddCustodian))
	handle(mux, s, pathRemoveCustodian, s.api.RemoveCustodian)
	handle(mux, s, pathGrant, call1(s.api.Grant))
	handle(mux, s, pathGrants, call0(s.api.Grants))
	handle(mux, s, pathRevoke, call1(s.api.Revoke))
	handle(mux, s, pathExtend, call1(s.api.Extend))
	handle(mux, s, pathLedger, call0(s.api.Ledger))
	handle(mux, s, pathVerifyLedger, call0(s.api.VerifyLedger))
	handle(mux, s, pathRefresh, call1(s.api.Refresh))
	handle(mux, s, pathView, call1(s.api.View))
	handle(mux, s, pathEndView, call1(s.api.EndView))
	handle(mux, s, pathProof, call1(s.api.Proof))
	handle(mux, s, pathBrandInit, call1(s.api.BrandInit))
	handle(mux, s, pathBrand, call0(s.api.Brand))
	handle(mux, s, pathReceive, call1(s.api.Receive))
	handle(mux, s, pathReceived, call0(s.api.Received))
	handle(mux, s, pathOpenGrant, s.api.OpenGrant)
}

func (c *client) Custodians(ctx context.Context) ([]Custodian, error) {
	return invoke[[]Custodian](ctx, c, pathCustodians, empty{}, nil)
}

func (c *client) AddCustodian(ctx context.Context, r string) (Custodian, error) {
	return invoke[Custodian](ctx, c, pathAddCustodian, r, nil)
}

func (c *client) RemoveCustodian(ctx context.Context, r string, progress func(engine.Progress)) (*CustodianRemoved, error) {
	return invoke[*CustodianRemoved](ctx, c, pathRemoveCustodian, r, progress)
}

func (c *client) Grant(ctx context.Context, r GrantOrder) (*Granted, error) {
	return invoke[*Granted](ctx, c, pathGrant, r, nil)
}

func (c *client) Grants(ctx context.Context) (*GrantList, error) {
	return invoke[*GrantList](ctx, c, pathGrants, empty{}, nil)
}

func (c *client) Revoke(ctx context.Context, r RevokeOrder) (*grants.Info, error) {
	return invoke[*grants.Info](ctx, c, pathRevoke, r, nil)
}

func (c *client) Extend(ctx context.Context, r ExtendOrder) (*Granted, error) {
	return invoke[*Granted](ctx, c, pathExtend, r, nil)
}

func (c *client) Ledger(ctx context.Context) (*LedgerView, error) {
	return invoke[*LedgerView](ctx, c, pathLedger, empty{}, nil)
}

func (c *client) VerifyLedger(ctx context.Context) ([]grants.Checked, error) {
	return invoke[[]grants.Checked](ctx, c, pathVerifyLedger, empty{}, nil)
}

func (c *client) BrandInit(ctx context.Context, r BrandOptions) (BrandInfo, error) {
	return invoke[BrandInfo](ctx, c, pathBrandInit, r, nil)
}

func (c *client) Brand(ctx context.Context) (BrandInfo, error) {
	return invoke[BrandInfo](ctx, c, pathBrand, empty{}, nil)
}

func (c *client) Receive(ctx context.Context, r string) (Received, error) {
	return invoke[Received](ctx, c, pathReceive, r, nil)
}

func (c *client) Received(ctx context.Context) ([]Received, error) {
	return invoke[[]Received](ctx, c, pathReceived, empty{}, nil)
}

func (c *client) OpenGrant(ctx context.Context, r OpenOrder, progress func(engine.Progress)) (*OpenReport, error) {
	return invoke[*OpenReport](ctx, c, pathOpenGrant, r, progress)
}

func (c *client) Proof(ctx context.Context, id string) ([]byte, error) {
	return invoke[[]byte](ctx, c, pathProof, id, nil)
}

func (c *client) Refresh(ctx context.Context, id string) (*Granted, error) {
	return invoke[*Granted](ctx, c, pathRefresh, id, nil)
}

func (c *client) View(ctx context.Context, r ViewOrder) (View, error) {
	return invoke[View](ctx, c, pathView, r, nil)
}

func (c *client) EndView(ctx context.Context, r string) (View, error) {
	return invoke[View](ctx, c, pathEndView, r, nil)
}

func (c *client) WhoIs(ctx context.Context, name string) ([]KnownCustodian, error) {
	return invoke[[]KnownCustodian](ctx, c, pathWhoIs, name, nil)
}
