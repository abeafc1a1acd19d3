// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
)

// The calls of MemberAPI on the local socket.
const (
	pathInviteMember = "/v1/brand/member/invite"
	pathJoinBrand    = "/v1/brand/join"
	pathBrandMembers = "/v1/brand/members"
	pathRevokeMember = "/v1/brand/member/revoke"
)

func (s *localServer) memberCalls(mux *http.ServeMux) {
	handle(mux, s, pathInviteMember, call1(s.api.InviteMember))
	handle(mux, s, pathJoinBrand, call1(s.api.JoinBrand))
	handle(mux, s, pathBrandMembers, call0(s.api.BrandMembers))
	handle(mux, s, pathRevokeMember, call1(s.api.RevokeMember))
}

func (c *client) InviteMember(ctx context.Context, role string) (MemberInvite, error) {
	return invoke[MemberInvite](ctx, c, pathInviteMember, role, nil)
}

func (c *client) JoinBrand(ctx context.Context, code string) (BrandInfo, error) {
	return invoke[BrandInfo](ctx, c, pathJoinBrand, code, nil)
}

func (c *client) BrandMembers(ctx context.Context) ([]BrandMember, error) {
	return invoke[[]BrandMember](ctx, c, pathBrandMembers, empty{}, nil)
}

func (c *client) RevokeMember(ctx context.Context, who string) (BrandMember, error) {
	return invoke[BrandMember](ctx, c, pathRevokeMember, who, nil)
}
