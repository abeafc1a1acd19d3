// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/preezm/preezm/peers"
)

// askTime bounds the look at who answers at an address.
const askTime = 10 * time.Second

// WhoAnswers gives the device that answers at host:port, for whoever knows a
// machine's address and not its ID. Who that is nobody has vouched for.
func (i *Identity) WhoAnswers(ctx context.Context, address string) (peers.DeviceID, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return peers.DeviceID{}, err
	}
	defer c.Close()
	t := tls.Client(c, i.tlsConfig(nil, Requests.alpn()))
	if err := t.HandshakeContext(ctx); err != nil {
		return peers.DeviceID{}, err
	}
	return deviceOf(t.ConnectionState())
}
