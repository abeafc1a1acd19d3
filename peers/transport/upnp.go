// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	ssdpGroup = "239.255.255.250:1900"
	// ssdpTime is how long routers may take to show themselves, upnpTime how
	// long one may take to answer.
	ssdpTime, upnpTime = 3 * time.Second, 5 * time.Second
	// maxUPnP bounds what is read of a router, in bytes, and maxIGD the routers
	// that are asked.
	maxUPnP = 256 << 10
	maxIGD  = 8
)

// searches are what is looked for: the two kinds of routers.
func searches() []string {
	return []string{"urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"}
}

// mapUPnP looks for routers and asks the first that opens the port.
func mapUPnP(ctx context.Context, network string, port int) (netip.AddrPort, error) {
	places, err := searchRouters(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	err = errors.New("no router showed itself")
	for _, p := range places {
		var at netip.AddrPort
		if at, err = askRouter(ctx, p, network, port); err == nil {
			return at, nil
		}
	}
	return netip.AddrPort{}, err
}

// searchRouters asks all networks of this machine for routers, and gives where
// they describe themselves: at the address that answered, nowhere else.
func searchRouters(ctx context.Context) ([]*url.URL, error) {
	group, err := net.ResolveUDPAddr("udp4", ssdpGroup)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	for _, what := range searches() {
		ask := fmt.Sprintf("M-SEARCH * HTTP/1.1\r\nHOST: %s\r\nST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\r\n", ssdpGroup, what)
		if _, err := c.WriteToUDP([]byte(ask), group); err != nil {
			return nil, err
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(ssdpTime)); err != nil {
		return nil, err
	}
	var out []*url.URL
	seen := map[string]bool{}
	buf := make([]byte, 4<<10)
	for len(out) < maxIGD {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return out, ctx.Err() // the time is over
		}
		if u := location(buf[:n], from.Addr().Unmap()); u != nil && !seen[u.String()] {
			seen[u.String()] = true
			out = append(out, u)
		}
	}
	return out, nil
}

// location reads a router's answer. Anybody in the network can send one: it
// may name its own address only, so that nobody has this machine fetch
// something elsewhere.
func location(answer []byte, from netip.Addr) *url.URL {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return nil
	}
	r.Body.Close()
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil || u.Scheme != "http" || !from.IsPrivate() {
		return nil
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err != nil || ip != from {
		return nil
	}
	return u
}

// upnpDevice is what of a description matters.
type upnpDevice struct {
	Services []struct {
		Type    string `xml:"serviceType"`
		Control string `xml:"controlURL"`
	} `xml:"serviceList>service"`
	Devices []upnpDevice `xml:"deviceList>device"`
}

// askRouter reads a router's description and has it map the port.
func askRouter(ctx context.Context, at *url.URL, network string, port int) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*upnpTime)
	defer cancel()
	router := &router{http: &http.Client{
		Timeout:       upnpTime,
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 8 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	raw, local, err := router.do(ctx, http.MethodGet, at, "", "")
	if err != nil {
		return netip.AddrPort{}, err
	}
	if router.service, router.control, err = described(raw, at); err != nil {
		return netip.AddrPort{}, err
	}
	return router.mapPort(ctx, local, network, port)
}

// described reads what a router at an address says of itself: its service that
// maps ports, and where that is asked.
func described(raw []byte, at *url.URL) (service string, control *url.URL, err error) {
	var root struct {
		Device upnpDevice `xml:"device"`
	}
	if err := xml.Unmarshal(raw, &root); err != nil {
		return "", nil, fmt.Errorf("the router's description: %w", err)
	}
	service, path := root.Device.wan(0)
	if service == "" {
		return "", nil, errors.New("the router has no service that maps ports")
	}
	ref, err := url.Parse(path)
	if err != nil {
		return "", nil, err
	}
	// Whatever it says, it is asked where it answered.
	control = at.ResolveReference(ref)
	control.Scheme, control.Host = at.Scheme, at.Host
	return service, control, nil
}

// wan finds the service that maps ports.
func (d upnpDevice) wan(depth int) (service, control string) {
	for _, s := range d.Services {
		if strings.HasPrefix(s.Type, "urn:schemas-upnp-org:service:WANIPConnection:") ||
			strings.HasPrefix(s.Type, "urn:schemas-upnp-org:service:WANPPPConnection:") {
			return s.Type, s.Control
		}
	}
	for _, sub := range d.Devices {
		if depth < 4 {
			if service, control = sub.wan(depth + 1); service != "" {
				return service, control
			}
		}
	}
	return "", ""
}

// router is one that is being asked.
type router struct {
	http    *http.Client
	service string
	control *url.URL
}

func (r *router) mapPort(ctx context.Context, local netip.Addr, network string, port int) (netip.AddrPort, error) {
	answer, err := r.call(ctx, "GetExternalIPAddress", "")
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip, err := netip.ParseAddr(strings.TrimSpace(answer["NewExternalIPAddress"]))
	if err != nil {
		return netip.AddrPort{}, errors.New("the router does not tell its address")
	}
	at, err := mappedAt(ip, port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	args := func(lease int) string {
		return fmt.Sprintf("<NewRemoteHost></NewRemoteHost><NewExternalPort>%d</NewExternalPort><NewProtocol>%s</NewProtocol>"+
			"<NewInternalPort>%d</NewInternalPort><NewInternalClient>%s</NewInternalClient><NewEnabled>1</NewEnabled>"+
			"<NewPortMappingDescription>preezm</NewPortMappingDescription><NewLeaseDuration>%d</NewLeaseDuration>", port, strings.ToUpper(network), port, local, lease)
	}
	if _, err = r.call(ctx, "AddPortMapping", args(int(mappingLease/time.Second))); err != nil {
		// Some know only mappings without an end.
		if _, err = r.call(ctx, "AddPortMapping", args(0)); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return at, nil
}

// call asks the router for something and gives the elements of its answer.
func (r *router) call(ctx context.Context, action, args string) (map[string]string, error) {
	body := fmt.Sprintf(`<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" `+
		`s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:%s xmlns:u="%s">%s</u:%s></s:Body></s:Envelope>`,
		action, r.service, args, action)
	raw, _, err := r.do(ctx, http.MethodPost, r.control, `"`+r.service+"#"+action+`"`, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	return elements(raw), nil
}

// elements gives the texts of an answer's elements by their names, as far as it
// can be read.
func elements(raw []byte) map[string]string {
	out := make(map[string]string)
	d := xml.NewDecoder(bytes.NewReader(raw))
	name := ""
	for {
		t, err := d.Token()
		if err != nil {
			return out
		}
		switch t := t.(type) {
		case xml.StartElement:
			name = t.Name.Local
		case xml.CharData:
			if name != "" {
				out[name] += string(t)
			}
		case xml.EndElement:
			name = ""
		}
	}
}

// do makes one request, and gives the address that this machine had in it.
func (r *router) do(ctx context.Context, method string, to *url.URL, action, body string) ([]byte, netip.Addr, error) {
	var local netip.Addr
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if t, ok := i.Conn.LocalAddr().(*net.TCPAddr); ok {
			local = t.AddrPort().Addr().Unmap()
		}
	}})
	req, err := http.NewRequestWithContext(ctx, method, to.String(), strings.NewReader(body))
	if err != nil {
		return nil, netip.Addr{}, err
	}
	if action != "" {
		req.Header["SOAPAction"] = []string{action}
		req.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, local, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxUPnP))
	if err != nil {
		return nil, local, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, local, errors.New("the router answers " + strconv.Itoa(resp.StatusCode))
	}
	return raw, local, nil
}
