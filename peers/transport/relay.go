// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	relay "github.com/syncthing/syncthing/lib/relay/protocol"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

const (
	// relayTime bounds each step with a relay.
	relayTime = 10 * time.Second
	// relaySilence is how long a relay may say nothing: Syncthing's pings
	// each minute, ours more often.
	relaySilence = 150 * time.Second
	// relayDoubt is how long it may take to answer when there is doubt.
	relayDoubt = 3 * time.Second
	// sessionGap is the head start of the device that waits over the one that
	// dials: strelaysrv sends one of two away that come at the very same moment.
	// Then sessionTries are made.
	sessionGap   = 30 * time.Millisecond
	sessionTries = 4
)

// Errors of relays.
var (
	// ErrRelay: the relay does not do what was asked of it.
	ErrRelay = said.Error("relay", "the relay refused")
	// ErrNotThere: the device is not connected to that relay now.
	ErrNotThere = said.Error("relay-absent", "it is not at that relay now")
	// errTaken: the relay still has an older connection of this device.
	errTaken = errors.New("the relay has an older connection of this device")
)

// Relay is a Syncthing relay, strelaysrv. It passes bytes on between two devices
// that cannot reach each other; TLS runs on top, so all it learns is who talks
// to whom, when and how much.
//
// Syncthing's lib/relay/client is not used: after its dial it can no longer be
// cancelled, it loses connections when a handshake fails, and it dials whatever
// address an invitation holds. Its messages, lib/relay/protocol, are.
type Relay struct {
	id    *Identity
	url   *url.URL
	relay peers.DeviceID // zero: any
	plain *net.Dialer    // for the bytes below TLS
}

// Relay reads the address of a relay, relay://host:port/?id=DEVICE, with
// &token=... where it wants one of those who wait there.
func (i *Identity) Relay(address string) (*Relay, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != RelayScheme || u.Hostname() == "" || u.Port() == "" {
		return nil, fmt.Errorf("%q is not a relay's address: relay://host:port/?id=ID", address)
	}
	r := &Relay{id: i, url: u, plain: new(net.Dialer)}
	if s := u.Query().Get("id"); s != "" {
		if r.relay, err = peers.ParseDeviceID(s); err != nil {
			return nil, fmt.Errorf("relay %s: %w", u.Host, err)
		}
	}
	return r, nil
}

// Public is the address under which others find this device there: without
// the token, which they do not need.
func (r *Relay) Public() string {
	u := url.URL{Scheme: RelayScheme, Host: r.url.Host, Path: "/"}
	if id := r.url.Query().Get("id"); id != "" {
		u.RawQuery = url.Values{"id": {id}}.Encode()
	}
	return u.String()
}

// connect opens a TLS connection to the relay that ends with ctx; stop takes
// that off and says whether ctx still lived.
func (r *Relay) connect(ctx context.Context) (c *tls.Conn, stop func() bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	raw, err := r.plain.DialContext(dialing, "tcp", r.url.Host)
	if err != nil {
		return nil, nil, err
	}
	c = tls.Client(raw, &tls.Config{
		Certificates: []tls.Certificate{r.id.cert},
		NextProtos:   []string{relay.ProtocolName},
		// The relay is its certificate, as a device is.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			switch {
			case cs.NegotiatedProtocol != relay.ProtocolName:
				return errors.New("no relay answers there")
			case r.relay == peers.DeviceID{}:
				return nil
			case len(cs.PeerCertificates) != 1 || sha256.Sum256(cs.PeerCertificates[0].Raw) != r.relay:
				return ErrWrongDevice
			}
			return nil
		},
		MinVersion:             tls.VersionTLS12, // what strelaysrv asks for
		SessionTicketsDisabled: true,
	})
	if err := c.HandshakeContext(dialing); err != nil {
		raw.Close()
		return nil, nil, err
	}
	return c, context.AfterFunc(ctx, func() { raw.Close() }), nil
}

// ask sends one message and reads the answer.
func ask(c net.Conn, message any) (any, error) {
	if err := c.SetDeadline(time.Now().Add(relayTime)); err != nil {
		return nil, err
	}
	if err := relay.WriteMessage(c, message); err != nil {
		return nil, err
	}
	answer, err := relay.ReadMessage(c)
	if err != nil {
		return nil, err
	}
	return answer, c.SetDeadline(time.Time{})
}

// refusal is what a relay's Response means.
func refusal(r relay.Response) error {
	switch r.Code {
	case relay.ResponseSuccess.Code:
		return nil
	case relay.ResponseNotFound.Code:
		return ErrNotThere
	case relay.ResponseAlreadyConnected.Code:
		return errTaken
	case relay.ResponseWrongToken.Code:
		return fmt.Errorf("%w: wrong token", ErrRelay)
	}
	return fmt.Errorf("%w: code %d", ErrRelay, r.Code)
}

// dial opens a session with a device that waits there.
func (r *Relay) dial(ctx context.Context, device peers.DeviceID) (net.Conn, error) {
	for n := 1; ; n++ {
		c, err := r.dialOnce(ctx, device)
		if err == nil || n == sessionTries || !errors.Is(err, errTaken) {
			return c, err
		}
	}
}

// dialOnce asks the relay for a session and takes it up.
func (r *Relay) dialOnce(ctx context.Context, device peers.DeviceID) (net.Conn, error) {
	c, stop, err := r.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", r.url.Host, err)
	}
	answer, err := ask(c, relay.ConnectRequest{ID: device[:]})
	stop()
	c.NetConn().Close() // a session is a connection of its own
	if err == nil {
		switch m := answer.(type) {
		case relay.SessionInvitation:
			select {
			case <-time.After(sessionGap):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			return r.session(ctx, m)
		case relay.Response:
			err = refusal(m)
		default:
			err = fmt.Errorf("%w: an unexpected %T", ErrRelay, answer)
		}
	}
	return nil, fmt.Errorf("relay %s: %w", r.url.Host, orCause(ctx, err))
}

// session takes up an invitation. Sessions run at the relay's own address,
// whatever the invitation says: it shall not have this device dial others.
func (r *Relay) session(ctx context.Context, m relay.SessionInvitation) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	c, err := r.plain.DialContext(ctx, "tcp", net.JoinHostPort(r.url.Hostname(), strconv.Itoa(int(m.Port))))
	if err != nil {
		return nil, fmt.Errorf("relay session: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	answer, err := ask(c, relay.JoinSessionRequest{Key: m.Key})
	if err == nil {
		if a, ok := answer.(relay.Response); !ok {
			err = fmt.Errorf("%w: an unexpected %T", ErrRelay, answer)
		} else {
			err = refusal(a)
		}
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("relay session: %w", orCause(ctx, err))
	}
	return &relayConn{Conn: c}, nil
}

// Wait waits at the relay for devices that want to talk to this one, and hands
// their connections to take, which returns at once. It returns when the relay
// cannot be had any more, or ctx ends. joined is called once it waits. A value
// in doubt has it ask the relay whether it is still there: leaving and coming
// back would cut the sessions that it passes on.
func (r *Relay) Wait(ctx context.Context, doubt <-chan struct{}, joined func(), take func(net.Conn)) error {
	c, stop, err := r.connect(ctx)
	if err != nil {
		return orCause(ctx, err)
	}
	defer func() {
		stop()
		c.NetConn().Close()
	}()
	answer, err := ask(c, relay.JoinRelayRequest{Token: r.url.Query().Get("token")})
	if err != nil {
		return orCause(ctx, err)
	}
	switch m := answer.(type) {
	case relay.Response:
		if err := refusal(m); err != nil {
			return err
		}
	case relay.RelayFull:
		return fmt.Errorf("%w: it is full", ErrRelay)
	default:
		return fmt.Errorf("%w: an unexpected %T", ErrRelay, answer)
	}
	joined()
	over := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-doubt:
				if relay.WriteMessage(c, relay.Ping{}) != nil || c.SetReadDeadline(time.Now().Add(relayDoubt)) != nil {
					c.NetConn().Close()
				}
			case <-over:
				return
			}
		}
	})
	err = r.wait(ctx, c, take)
	close(over)
	c.NetConn().Close() // ends a write that hangs
	asking.Wait()
	return orCause(ctx, err)
}

// wait answers the relay's messages. maxInvited of them are taken up at once;
// a relay that sends more is out of its mind.
func (r *Relay) wait(ctx context.Context, c net.Conn, take func(net.Conn)) error {
	const maxInvited = 32
	places := make(chan struct{}, maxInvited)
	sessions, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for range maxInvited { // every place is given back: nobody is left
			places <- struct{}{}
		}
	}()
	for {
		if err := c.SetReadDeadline(time.Now().Add(relaySilence)); err != nil {
			return err
		}
		message, err := relay.ReadMessage(c)
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case relay.Pong:
		case relay.Ping:
			if err := relay.WriteMessage(c, relay.Pong{}); err != nil {
				return err
			}
		case relay.SessionInvitation:
			select {
			case places <- struct{}{}:
			default:
				continue
			}
			go func() {
				defer func() { <-places }()
				if s, err := r.session(sessions, m); err == nil {
					take(s)
				}
			}()
		case relay.RelayFull:
			return fmt.Errorf("%w: it is full", ErrRelay)
		default:
			return fmt.Errorf("%w: an unexpected %T", ErrRelay, message)
		}
	}
}

// Taken says whether a relay refused only because it has not noticed yet that
// an older connection of this device is gone: worth trying again soon.
func Taken(err error) bool { return errors.Is(err, errTaken) }

func orCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// relayConn marks a connection that a relay passes on.
type relayConn struct{ net.Conn }

// dialRelay is the way to a device through the relay in its address.
func (i *Identity) dialRelay(ctx context.Context, device peers.DeviceID, address string, plain *net.Dialer) (net.Conn, error) {
	r, err := i.Relay(address)
	if err != nil {
		return nil, err
	}
	r.plain = plain
	return r.dial(ctx, device)
}
