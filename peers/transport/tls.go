// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// ALPN names the protocol of requests inside the handshake.
const ALPN = "preezm/1"

// Errors of connecting.
var (
	// ErrWrongDevice: whoever answers has not the key of the dialled device.
	ErrWrongDevice = said.Error("wrong-device", "another device answers there")
	// ErrNotAdmitted: the device that answered does not let this one in.
	ErrNotAdmitted = said.Error("not-admitted", "it does not know this device")
	// ErrBusy: the device that answered has all the connections it allows.
	ErrBusy = said.Error("busy", "it is too busy now")
)

// tlsConfig is what both ends have in common. want is the device that must be
// at the other end; nil accepts any (the listener then decides). A dialler
// offers one kind of connection, a listener takes all.
func (i *Identity) tlsConfig(want *peers.DeviceID, offer ...string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{i.cert},
		MinVersion:   tls.VersionTLS13,
		NextProtos:   offer,
		ClientAuth:   tls.RequireAnyClientCert,
		// There is no authority to ask: VerifyConnection compares the
		// certificate's hash with the device ID instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if !slices.Contains(offer, cs.NegotiatedProtocol) {
				return fmt.Errorf("no %s at the other end", offer[0])
			}
			id, err := deviceOf(cs)
			if err != nil {
				return err
			}
			if want != nil && id != *want {
				return ErrWrongDevice
			}
			return nil
		},
		SessionTicketsDisabled: true,
		// Full records from the first byte on: less work for each.
		DynamicRecordSizingDisabled: true,
	}
}

func deviceOf(cs tls.ConnectionState) (peers.DeviceID, error) {
	if n := len(cs.PeerCertificates); n != 1 {
		return peers.DeviceID{}, fmt.Errorf("%d certificates at the other end instead of one", n)
	}
	return sha256.Sum256(cs.PeerCertificates[0].Raw), nil
}
