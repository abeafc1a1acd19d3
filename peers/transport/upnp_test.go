// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const igd = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device><deviceList><device>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<controlURL>%s</controlURL></service></serviceList></device></deviceList></device></deviceList></device></root>`

// fakeRouter answers as a router would. It knows mappings without an end only.
func fakeRouter(t *testing.T, external, control string) (at *url.URL, mapped *[]string) {
	t.Helper()
	mapped = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/igd.xml":
			fmt.Fprintf(w, igd, control)
		case strings.HasSuffix(r.Header.Get("SOAPAction"), `#GetExternalIPAddress"`):
			fmt.Fprintf(w, `<s:Envelope><s:Body><u:R><NewExternalIPAddress>%s</NewExternalIPAddress></u:R></s:Body></s:Envelope>`, external)
		case strings.HasSuffix(r.Header.Get("SOAPAction"), `#AddPortMapping"`):
			if !strings.Contains(string(body), "<NewLeaseDuration>0<") {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			*mapped = append(*mapped, string(body))
		}
	}))
	t.Cleanup(srv.Close)
	at, err := url.Parse(srv.URL + "/igd.xml")
	if err != nil {
		t.Fatal(err)
	}
	return at, mapped
}

func TestUPnP(t *testing.T) {
	at, mapped := fakeRouter(t, "203.0.113.7", "/control")
	got, err := askRouter(t.Context(), at, "tcp", 24930)
	if err != nil || got.String() != "203.0.113.7:24930" {
		t.Fatal(got, err)
	}
	if len(*mapped) != 1 || !strings.Contains((*mapped)[0], "<NewProtocol>TCP</NewProtocol><NewInternalPort>24930</NewInternalPort><NewInternalClient>127.0.0.1<") {
		t.Errorf("%q", *mapped)
	}
	if got, err := askRouter(t.Context(), at, "udp", 24931); err != nil || got.String() != "203.0.113.7:24931" ||
		len(*mapped) != 2 || !strings.Contains((*mapped)[1], "<NewProtocol>UDP</NewProtocol><NewInternalPort>24931<") {
		t.Error(got, err, *mapped)
	}
	// One that sends this machine elsewhere is asked where it answered.
	at, mapped = fakeRouter(t, "203.0.113.7", "http://192.0.2.1/control")
	if _, err := askRouter(t.Context(), at, "tcp", 24930); err != nil || len(*mapped) != 1 {
		t.Error(err, len(*mapped))
	}
	for _, private := range []string{"192.168.1.1", "100.64.3.4", "127.0.0.1", "0.0.0.0", "no"} {
		at, mapped := fakeRouter(t, private, "/control")
		if got, err := askRouter(t.Context(), at, "tcp", 24930); err == nil || len(*mapped) != 0 {
			t.Errorf("external %s: %s", private, got)
		}
	}
}

// Only the address that answered may be fetched.
func TestUPnPLocation(t *testing.T) {
	from := netip.MustParseAddr("192.168.1.1")
	for loc, ok := range map[string]bool{
		"http://192.168.1.1:5000/igd.xml": true, "http://192.168.1.2/": false, "http://router.example/": false,
		"https://192.168.1.1/": false, "file:///etc/passwd": false, "http://192.168.1.1.example/": false, "": false,
	} {
		answer := "HTTP/1.1 200 OK\r\nST: x\r\nLocation: " + loc + "\r\n\r\n"
		if got := location([]byte(answer), from); (got != nil) != ok {
			t.Errorf("%q: %v", loc, got)
		}
	}
	public := netip.MustParseAddr("203.0.113.1")
	if location([]byte("HTTP/1.1 200 OK\r\nLocation: http://203.0.113.1/\r\n\r\n"), public) != nil {
		t.Error("a router on the internet")
	}
}

func TestNATPMP(t *testing.T) {
	// The library asks port 5351 of the router; a loopback address of our own
	// leaves that of others alone.
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 53, 51), Port: 5351})
	if err != nil {
		t.Skip("SKIPPED: no port 5351 here:", err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFromUDP(buf)
			if err != nil {
				return
			}
			answer := []byte{0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 9}
			if n == 12 {
				answer = append([]byte{0, 128 + buf[1], 0, 0, 0, 0, 0, 1}, buf[4], buf[5])
				answer = binary.BigEndian.AppendUint16(answer, 40000+uint16(buf[1])) // another than asked for
				answer = append(answer, buf[8:12]...)
			}
			_, _ = c.WriteToUDP(answer, from)
		}
	}()
	// What is asked for is 1 for UDP and 2 for TCP.
	for network, want := range map[string]string{"tcp": "203.0.113.9:40002", "udp": "203.0.113.9:40001"} {
		if got, err := askPMP(t.Context(), net.IPv4(127, 0, 53, 51), network, 24930); err != nil || got.String() != want {
			t.Error(network, got, err)
		}
	}
}

func TestRoutes(t *testing.T) {
	all := []string{
		"relay://203.0.113.1:22067/?id=X", "203.0.113.1:1", "nas.example:1", "10.0.0.1:1", "[fd00::1]:1", "127.0.0.1:1", "[2001:db8::1]:1", "[fe80::1%eth0]:1",
	}
	want := []Route{Relayed, Direct, Direct, LAN, LAN, SameMachine, Direct, LAN}
	for i, a := range all {
		if got := RouteOf(a); got != want[i] {
			t.Errorf("%s: %s", a, got)
		}
	}
	ByRoute(all)
	if all[0] != "127.0.0.1:1" || all[1] != "10.0.0.1:1" || !strings.HasPrefix(all[len(all)-1], "relay://") {
		t.Errorf("%q", all)
	}
}

func FuzzDiscoveryAnswers(f *testing.F) {
	f.Add([]byte(`{"addresses":["tcp://203.0.113.1:1","relay://203.0.113.1:2/?id=x","quic://x"]}`))
	f.Add([]byte("HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1/\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, err := decodeFound(raw); err == nil && len(got) > maxAnnounced {
			t.Errorf("%d addresses", len(got))
		}
		if u := location(raw, netip.MustParseAddr("192.168.1.1")); u != nil && u.Hostname() != "192.168.1.1" {
			t.Errorf("would fetch %s", u)
		}
	})
}

// Any machine of the network can play a router.
func FuzzRouter(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(igd, "http://192.0.2.1/control")))
	f.Add([]byte("<s:Envelope><s:Body><u:R><NewExternalIPAddress>203.0.113.1</NewExternalIPAddress></u:R></s:Body></s:Envelope>"))
	at := &url.URL{Scheme: "http", Host: "192.168.1.1:5000", Path: "/igd.xml"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if service, control, err := described(raw, at); err == nil && (service == "" || control.Host != at.Host || control.Scheme != at.Scheme) {
			t.Errorf("would ask %s of %s", service, control)
		}
		ip, err := netip.ParseAddr(elements(raw)["NewExternalIPAddress"])
		if err != nil {
			return
		}
		if to, err := mappedAt(ip, 1); err == nil && (to.Addr().IsPrivate() || to.Addr().IsLoopback() || !to.Addr().IsGlobalUnicast()) {
			t.Errorf("would announce %s", to)
		}
	})
}

func TestFound(t *testing.T) {
	got, err := decodeFound([]byte(`{"seen":"x","addresses":["tcp://203.0.113.1:1","relay://203.0.113.1:2/?id=x","quic://203.0.113.1:3"]}`))
	if err != nil || !slices.Equal(got, []string{"203.0.113.1:1", "relay://203.0.113.1:2/?id=x"}) {
		t.Error(got, err)
	}
}
