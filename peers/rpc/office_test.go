// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"testing"

	"github.com/preezm/preezm/peers"
)

// desk is an office with one member, which says what it is told.
type desk struct{ member peers.DeviceID }

func (d *desk) Inviting() bool               { return true }
func (d *desk) Member(m peers.DeviceID) bool { return m == d.member }

func (d *desk) Answer(_ context.Context, _ string, _ peers.DeviceID, raw []byte) ([]byte, error) {
	return raw, nil
}

// Strangers that are slow with what they say take no place of a member's.
func TestSlowStrangersAtAnOffice(t *testing.T) {
	noLeaks(t)
	host, member, stranger := newNode(t, "host", times{}), newNode(t, "member", times{}), newNode(t, "stranger", times{})
	host.stop()
	host.cfg.Office = &desk{member.id.Device()}
	host.start()
	for range maxOfficeAsks {
		if _, err := fmt.Fprintf(stranger.raw(host), "POST %sjoin HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx", pathOffice); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "they are in", func() bool { return host.guests() == maxOfficeAsks })
	v := member.visitTo(host, "")
	for range 10 {
		if got, err := v.Office(t.Context(), "hello", []byte("hello")); err != nil || string(got) != "hello" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	// One that says all of it is answered.
	if status, _, _ := ask(stranger.raw(host), stranger, fmt.Sprintf("POST %sjoin HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", pathOffice)); status != 200 {
		t.Errorf("status %d", status)
	}
}
