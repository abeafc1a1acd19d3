// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

// Every error a person may meet becomes one line that names a remedy.
func TestExplain(t *testing.T) {
	a := &app{homeFlag: "/tmp/home"}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{node.ErrNoHome, "'preezm init'"},
		{node.ErrHomeExists, "/tmp/home"},
		{&node.BusyError{Home: "/tmp/home", PID: 12, Role: node.RoleServe}, "(process 12) already serves"},
		{&node.BusyError{PID: 12, Role: node.RoleCommand}, "wait until it is done"},
		{&node.BusyError{PID: 12, Role: node.RoleWindow}, "close it first"},
		{&node.BusyError{}, "another process"},
		{node.ErrHomeBusy, "another process"},
		{node.ErrNoAnswer, "start it again"},
		{node.ErrOtherVersion, "start the new one"},
		{node.ErrSettings, "Nothing was changed"},
		{engine.ErrNoKeepers, "'preezm invite'"},
		{engine.ErrTooFewKeepers, "'preezm circle'"},
		{engine.ErrNotFound, "'preezm ls'"},
		{engine.ErrInvalidPath, "separated by '/'"},
		{peers.ErrQuota, "offer more"},
		{peers.ErrDiskFull, "room again"},
		{peers.ErrUnreachable, "'preezm serve'"},
		{peers.ErrRefused, "new invite"},
		{peers.ErrDamaged, "'preezm verify'"},
		{peers.ErrProtocol, "same version"},
		{circle.ErrInviteExpired, "new one"},
		{fs.ErrPermission, "not allowed"},
		{context.DeadlineExceeded, "too long"},
		{context.Canceled, "stopped"},
	} {
		for _, err := range []error{tc.err, fmt.Errorf("laptop\n\x1b[2J: %w", tc.err), errors.Join(errors.New("x"), tc.err)} {
			got := a.explain(err)
			if !strings.Contains(got, tc.want) || strings.ContainsAny(got, "\n\x1b") {
				t.Errorf("%v: got %q, want %q in it", tc.err, got, tc.want)
			}
		}
	}
}
