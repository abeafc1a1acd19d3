// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"net/http"

	"github.com/preezm/preezm/peers"
)

const (
	pathOffice = "/v1/office/"
	verbJoin   = "join"

	// maxOffice bounds what a member asks its office and hears from it, in
	// bytes: a ticket and little more.
	maxOffice = 33 << 20
	// maxOfficeJoin is what a stranger may send.
	maxOfficeJoin = 16 << 10
	// maxOfficeAsks are answered at once: each may hold a ticket.
	maxOfficeAsks = 4
)

// Office answers the members of an organisation whose office this device is.
// Package brand implements it; rpc carries bytes. Errors are those of package
// peers.
type Office interface {
	// Inviting says whether a stranger may come to become a member.
	Inviting() bool
	// Member says whether a device is one, or was.
	Member(device peers.DeviceID) bool
	// Answer serves a member, or with the verb "join" anybody.
	Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error)
}

// office serves members of an organisation, wherever their connection came in.
func (v *server) office(w http.ResponseWriter, r *http.Request) {
	c, o := connOf(r), v.s.cfg.Office
	verb := r.PathValue("verb")
	if c == nil || o == nil || verb != verbJoin && !o.Member(c.Device()) {
		v.fail(w, r, peers.ErrRefused)
		return
	}
	raw, err := v.atOffice(w, r, o, verb, c.Device())
	if err != nil {
		v.fail(w, r, err)
		return
	}
	v.write(w, http.StatusOK, raw)
}

// atOffice reads what somebody says to the office and gives the answer. A stranger
// has a place there only once all of that has come, so that who is slow on
// purpose takes none of a member's.
func (v *server) atOffice(w http.ResponseWriter, r *http.Request, o Office, verb string, from peers.DeviceID) (raw []byte, err error) {
	if verb == verbJoin {
		if raw, err = v.body1(w, r, maxOfficeJoin); err != nil {
			return nil, err
		}
	}
	leave, err := enter(v.staff)
	if err != nil {
		return nil, err
	}
	defer leave()
	if verb != verbJoin {
		if raw, err = v.body1(w, r, maxOffice); err != nil {
			return nil, err
		}
	}
	return o.Answer(r.Context(), verb, from, raw)
}

// mayCome says whether an organisation's office has reason to let a device in.
func (v *server) mayCome(d peers.DeviceID) bool {
	o := v.s.cfg.Office
	return o != nil && (o.Inviting() || o.Member(d))
}

// employee says whether a device is a member of the organisation here.
func (v *server) employee(d peers.DeviceID) bool {
	return v.s.cfg.Office != nil && v.s.cfg.Office.Member(d)
}

// Office asks the office of this device's organisation.
func (v *Visit) Office(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	answer, err := v.c.link.post(ctx, pathOffice+verb, raw, maxOffice)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	return answer, nil
}

// Show shows the pass though nothing is asked: the device takes from it what is
// new.
func (v *Visit) Show(ctx context.Context) error {
	if err := v.show(ctx); err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	return nil
}
