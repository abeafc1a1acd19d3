// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"

	"github.com/preezm/preezm/peers/transport"
)

func (s *Service) keepMapped(ctx context.Context, l *transport.Listener) {
	<-ctx.Done()
}
