// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
)

// The calls of ConsentAPI on the local socket.
const (
	pathBrandRequest  = "/v1/brand/request"
	pathBrandRequests = "/v1/brand/requests"
	pathBrandAnswer   = "/v1/brand/answer"
	pathTakeRequest   = "/v1/request/take"
	pathRequests      = "/v1/requests"
	pathAcceptRequest = "/v1/request/accept"
	pathRefuseRequest = "/v1/request/refuse"

	pathBrandReceipt         = "/v1/brand/receipt"
	pathTakeCountersignature = "/v1/request/countersigned"
	pathRequestReceipt       = "/v1/request/receipt"
)

func (s *localServer) consentCalls(mux *http.ServeMux) {
	handle(mux, s, pathBrandRequest, call1(s.api.BrandRequest))
	handle(mux, s, pathBrandRequests, call0(s.api.BrandRequests))
	handle(mux, s, pathBrandAnswer, call1(s.api.BrandAnswer))
	handle(mux, s, pathTakeRequest, call1(s.api.TakeRequest))
	handle(mux, s, pathRequests, call0(s.api.Requests))
	handle(mux, s, pathAcceptRequest, call1(s.api.AcceptRequest))
	handle(mux, s, pathRefuseRequest, call1(s.api.RefuseRequest))
	handle(mux, s, pathBrandReceipt, call1(s.api.BrandReceipt))
	handle(mux, s, pathTakeCountersignature, call1(s.api.TakeCountersignature))
	handle(mux, s, pathRequestReceipt, call1(s.api.RequestReceipt))
}

func (c *client) BrandRequest(ctx context.Context, r RequestOrder) (SentRequest, error) {
	return invoke[SentRequest](ctx, c, pathBrandRequest, r, nil)
}

func (c *client) BrandRequests(ctx context.Context) ([]SentRequest, error) {
	return invoke[[]SentRequest](ctx, c, pathBrandRequests, empty{}, nil)
}

func (c *client) BrandAnswer(ctx context.Context, r string) (SentRequest, error) {
	return invoke[SentRequest](ctx, c, pathBrandAnswer, r, nil)
}

func (c *client) TakeRequest(ctx context.Context, r string) (AskedRequest, error) {
	return invoke[AskedRequest](ctx, c, pathTakeRequest, r, nil)
}

func (c *client) Requests(ctx context.Context) ([]AskedRequest, error) {
	return invoke[[]AskedRequest](ctx, c, pathRequests, empty{}, nil)
}

func (c *client) AcceptRequest(ctx context.Context, r AcceptOrder) (*Accepted, error) {
	return invoke[*Accepted](ctx, c, pathAcceptRequest, r, nil)
}

func (c *client) RefuseRequest(ctx context.Context, r RefuseOrder) (AskedRequest, error) {
	return invoke[AskedRequest](ctx, c, pathRefuseRequest, r, nil)
}

func (c *client) BrandReceipt(ctx context.Context, r string) ([]byte, error) {
	return invoke[[]byte](ctx, c, pathBrandReceipt, r, nil)
}

func (c *client) TakeCountersignature(ctx context.Context, r string) (AskedRequest, error) {
	return invoke[AskedRequest](ctx, c, pathTakeCountersignature, r, nil)
}

func (c *client) RequestReceipt(ctx context.Context, r string) ([]byte, error) {
	return invoke[[]byte](ctx, c, pathRequestReceipt, r, nil)
}
