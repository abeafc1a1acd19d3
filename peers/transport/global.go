// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
)

const (
	// globalTime bounds one request to a discovery server.
	globalTime = 10 * time.Second
	// maxGlobal bounds an answer, in bytes.
	maxGlobal = 16 << 10
	// globalAge is how long an answer counts, good or bad, and how soon a
	// device that was looked for is looked for again.
	globalAge = 30 * time.Second
	// maxAsked bounds the devices whose answers are remembered.
	maxAsked = 512
)

// Global finds devices with Syncthing's discovery server, stdiscosrv, and lets
// itself be found. The server is told this device's addresses and asked for
// those of others; it proves itself with its certificate.
//
// Syncthing's lib/discover is not used: it reads answers of any length, tries
// again only after five minutes, follows the environment's proxies, and brings
// the rest of Syncthing with it (its configuration and its database).
type Global struct {
	self   peers.DeviceID
	server string
	http   *http.Client
	asks   *http.Client // shows no certificate: who asks is nobody's business

	mu    sync.Mutex
	known map[peers.DeviceID]found
}

type found struct {
	at        time.Time
	addresses []string
}

// announced is what the server is sent and sends.
type announced struct {
	Addresses []string `json:"addresses"`
}

// NewGlobal reads the address of a server, https://host:port/?id=DEVICE. It
// does nothing yet.
func (i *Identity) NewGlobal(server string) (*Global, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a discovery server's address: https://host:port/?id=ID", server)
	}
	id, err := peers.ParseDeviceID(u.Query().Get("id"))
	if err != nil {
		return nil, fmt.Errorf("discovery server %s: %w", u.Host, err)
	}
	client := func(certs ...tls.Certificate) *http.Client {
		return &http.Client{Timeout: globalTime, Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: globalTime}).DialContext,
			TLSClientConfig: &tls.Config{
				Certificates:       certs,
				InsecureSkipVerify: true, // the server is its certificate
				VerifyConnection: func(cs tls.ConnectionState) error {
					if len(cs.PeerCertificates) == 0 || sha256.Sum256(cs.PeerCertificates[0].Raw) != id {
						return ErrWrongDevice
					}
					return nil
				},
				MinVersion: tls.VersionTLS13,
			},
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxGlobal,
			DisableCompression:     true,
		}}
	}
	return &Global{
		self: i.device, server: (&url.URL{Scheme: "https", Host: u.Host, Path: "/v2/"}).String(),
		http: client(i.cert), asks: client(), known: make(map[peers.DeviceID]found),
	}, nil
}

// Close closes idle connections.
func (g *Global) Close() {
	g.http.CloseIdleConnections()
	g.asks.CloseIdleConnections()
}

// Announce tells the server where this device is; the port stands for it at
// whatever address the server sees it come from. It says when to do it again.
func (g *Global) Announce(ctx context.Context, addresses []string, port int) (again time.Duration, err error) {
	var a announced
	for _, s := range addresses {
		if !strings.Contains(s, "://") {
			s = "tcp://" + s
		}
		a.Addresses = append(a.Addresses, s)
	}
	if port != 0 {
		a.Addresses = append(a.Addresses, "tcp://0.0.0.0:"+strconv.Itoa(port))
	}
	body, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.server, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return 0, fmt.Errorf("the discovery server answers %s", resp.Status)
	}
	const most, least = 30 * time.Minute, time.Minute
	again = most
	if s, err := strconv.ParseUint(resp.Header.Get("Reannounce-After"), 10, 16); err == nil {
		again = min(max(time.Duration(s)*time.Second, least), most)
	}
	return again, nil
}

// Find asks the server for a device, at most once in half a minute. What it
// says is a hint: TLS decides who is there.
func (g *Global) Find(ctx context.Context, device peers.DeviceID) []string {
	g.mu.Lock()
	f, ok := g.known[device]
	fresh := ok && time.Since(f.at) < globalAge
	if !fresh {
		if !ok && len(g.known) >= maxAsked {
			clear(g.known)
		}
		g.known[device] = found{time.Now(), f.addresses} // others need not ask as well
	}
	g.mu.Unlock()
	if fresh {
		return f.addresses
	}
	addresses, err := g.ask(ctx, device)
	if err != nil {
		return f.addresses // what it said last is better than nothing
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known[device] = found{time.Now(), addresses}
	return addresses
}

func (g *Global) ask(ctx context.Context, device peers.DeviceID) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.server+"?device="+device.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := g.asks.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxGlobal+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode != http.StatusOK || len(raw) > maxGlobal:
		return nil, fmt.Errorf("the discovery server answers %s", resp.Status)
	}
	return decodeFound(raw)
}

// decodeFound reads a server's answer.
func decodeFound(raw []byte) ([]string, error) {
	var a announced
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("the discovery server's answer: %w", err)
	}
	var out []string
	for _, s := range a.Addresses[:min(len(a.Addresses), maxAnnounced)] {
		if rest, ok := strings.CutPrefix(s, "tcp://"); ok {
			out = append(out, rest)
		} else if strings.HasPrefix(s, RelayScheme+"://") {
			out = append(out, s)
		}
	}
	return out, nil
}
