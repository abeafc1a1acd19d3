// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/transport"
)

// The programs that a node runs for its circle: Syncthing's own servers, as
// packaging/servers builds them. They are main packages and no libraries, so
// they run as processes of their own; a crash of theirs is not one of ours.
const (
	relayProgram     = "strelaysrv"
	discoveryProgram = "stdiscosrv"
	// DefaultRelay and DefaultDiscovery are where they listen unless told
	// otherwise.
	DefaultRelay     = ":22067"
	DefaultDiscovery = ":24932"

	serversFolder = "servers"
	// Ours notice a lost connection within a minute, not Syncthing's three.
	relayPing, relayTimeout = "15s", "45s"
	// serverStop is how long a server may take to stop before it is killed.
	serverStop = 5 * time.Second
	// serverAgain and serverAgainMost are the pauses before a server that
	// ended is started again.
	serverAgain, serverAgainMost = time.Second, time.Minute
	// maxOffered bounds the addresses under which one server is offered.
	maxOffered = 2
)

// ErrNoServer: the program of a server is not there.
var ErrNoServer = said.Error("no-server", "'make servers' builds it; put it beside preezm or on PATH")

// server is one program that a node runs.
type server struct {
	program string // its file
	listen  string // host:port
	id      peers.DeviceID
	token   string
	args    []string
	dir     string

	mu   sync.Mutex
	said string // the last line that it wrote
}

// findProgram looks beside this program, then on PATH.
func findProgram(name string) (string, error) {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if fi, err := os.Stat(beside); err == nil && fi.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", said.Wrap(ErrNoServer, "server-missing", "{name} is not installed: {why}", "name", name)
	}
	return path, nil
}

// prepareServers makes what the settings say this node runs: the keys by which
// each server is known, and its command line.
func (n *Node) prepareServers() error {
	s := n.settings
	if s.Relay != "" {
		r, err := n.prepareServer(relayProgram, s.Relay)
		if err != nil {
			return err
		}
		if r.token, err = serverToken(r.dir); err != nil {
			return err
		}
		// -pools="" and no status server: nobody but the circle hears of it.
		r.args = []string{
			"-listen", s.Relay, "-keys", r.dir, "-pools=", "-status-srv=", "-token", r.token,
			"-ping-interval", relayPing, "-network-timeout", relayTimeout,
		}
		n.servers = append(n.servers, r)
	}
	if s.Discovery != "" {
		d, err := n.prepareServer(discoveryProgram, s.Discovery)
		if err != nil {
			return err
		}
		d.args = []string{
			"--listen=" + s.Discovery, "--cert=" + filepath.Join(d.dir, "cert.pem"), "--key=" + filepath.Join(d.dir, "key.pem"),
			"--db-dir=" + d.dir,
		}
		n.servers = append(n.servers, d)
	}
	return nil
}

func (n *Node) prepareServer(name, listen string) (*server, error) {
	program, err := findProgram(name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(n.home, serversFolder, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	id, err := transport.LoadIdentity(cert, key)
	if errors.Is(err, os.ErrNotExist) {
		id, err = transport.CreateIdentity(cert, key)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &server{program: program, listen: listen, id: id.Device(), dir: dir}, nil
}

// serverToken is what a device must know to wait at this node's relay.
func serverToken(dir string) (string, error) {
	path := filepath.Join(dir, "token")
	raw, err := os.ReadFile(path)
	if err == nil && len(raw) == 32 {
		return string(raw), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	var b [16]byte
	rand.Read(b[:]) // never fails, as crypto/rand documents
	token := hex.EncodeToString(b[:])
	return token, os.WriteFile(path, []byte(token), 0o600)
}

// offers are the addresses of the servers that this node runs, for its circle.
func (n *Node) offers() []string {
	var out []string
	for _, s := range n.servers {
		out = append(out, s.offers(n.addresses(), n.net.MappedPort(s.port()))...)
	}
	return out
}

// serverPorts are the ports of the servers that a router is to pass on.
func (n *Node) serverPorts() []int {
	var out []int
	for _, s := range n.servers {
		if host, _, err := net.SplitHostPort(s.listen); err == nil && everywhere(host) {
			out = append(out, s.port())
		}
	}
	return out
}

// port is where the server listens.
func (s *server) port() int {
	_, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port) // checked with the settings
	return n
}

// everywhere says whether a host to listen on is every address of the machine.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// offers gives the server's address at the hosts where this node is reached:
// one of the internet, the router's where that passes its port on as mapped, and
// one of the local network, if there are.
func (s *server) offers(own []string, mapped string) []string {
	host, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return nil
	}
	at := []string{s.listen}
	if everywhere(host) {
		at = nil
		for _, h := range hostsOf(own) {
			at = append(at, net.JoinHostPort(h, port))
		}
		if mapped != "" {
			at = slices.DeleteFunc(at, func(a string) bool { return transport.RouteOf(a) == transport.Direct })
			at = slices.Insert(at, 0, mapped)
		}
	}
	var out []string
	for _, a := range at {
		u := url.URL{Scheme: "https", Host: a, Path: "/"}
		q := url.Values{"id": {s.id.String()}}
		if s.token != "" {
			u.Scheme = transport.RelayScheme
			q.Set("token", s.token)
		}
		u.RawQuery = q.Encode()
		out = append(out, u.String())
	}
	return out
}

// hostsOf picks, of the addresses of a node, the first host on each route.
func hostsOf(own []string) []string {
	var hosts []string
	seen := map[transport.Route]bool{transport.Relayed: true}
	for _, a := range own {
		route := transport.RouteOf(a)
		host, _, err := net.SplitHostPort(a)
		if err != nil || seen[route] || len(hosts) == maxOffered {
			continue
		}
		seen[route] = true
		hosts = append(hosts, host)
	}
	// The internet's first: it is the one that works from everywhere.
	slices.SortStableFunc(hosts, func(a, b string) int {
		return int(transport.RouteOf(net.JoinHostPort(b, "1"))) - int(transport.RouteOf(net.JoinHostPort(a, "1")))
	})
	return hosts
}

// runServers runs the servers until ctx ends; one that ends is started again.
func (n *Node) runServers(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range n.servers {
		wg.Go(func() {
			pause := serverAgain
			for {
				started := time.Now()
				err := s.run(ctx)
				if ctx.Err() != nil {
					return
				}
				if time.Since(started) > serverAgainMost {
					pause = serverAgain
				}
				n.log.Warn("a server ended; starting it again", "program", filepath.Base(s.program), "err", err, "said", s.last(), "after", pause)
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
				}
				pause = min(2*pause, serverAgainMost)
			}
		})
	}
	wg.Wait()
}

// run runs the program once.
func (s *server) run(ctx context.Context) error {
	// Linux ends the program with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, s.program, s.args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = serverStop
	endWithParent(cmd)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.listenTo(r)
	}()
	err := cmd.Run()
	w.Close()
	<-read
	return err
}

// listenTo keeps the last line that the program wrote.
func (s *server) listenTo(r io.Reader) {
	lines := bufio.NewReaderSize(r, 4<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimSpace(string(line)); text != "" {
			s.mu.Lock()
			s.said = text
			s.mu.Unlock()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (s *server) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said
}

// checkServerListen wants host:port with a port that others can be told.
func checkServerListen(addr string) error {
	if addr == "" {
		return nil
	}
	if err := checkListen(addr); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	if p, _ := strconv.Atoi(port); p == 0 {
		return fmt.Errorf("address %q: a server needs a port of its own", addr)
	}
	return nil
}

// checkServers wants addresses of relays and discovery servers.
func checkServers(servers []string) error {
	if len(servers) > circle.MaxServers {
		return fmt.Errorf("more than %d servers", circle.MaxServers)
	}
	for _, s := range servers {
		if err := circle.CheckServer(s); err != nil {
			return err
		}
	}
	return nil
}
