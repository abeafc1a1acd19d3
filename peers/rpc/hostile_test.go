// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

// soon is less than any time that holds for a node with ordinary clocks.
const soon = 9 * time.Second

// raw opens a bare connection from a to b.
func (n *node) raw(b *node) *transport.Conn {
	n.t.Helper()
	c, _, err := n.id.Dial(n.t.Context(), b.id.Device(), b.Addresses(), transport.DialOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// ask writes bytes and reads one HTTP answer with its error code.
func ask(c *transport.Conn, n *node, text string) (int, string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var e errorMsg
	if resp.Header.Get("Content-Type") == typeCBOR {
		err = n.codec.Read(resp.Body, maxSmall, &e)
	}
	return resp.StatusCode, e.Code, err
}

func TestMalformedRequests(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{})
	befriend(t, owner, keeper)
	id, root := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	put := "PUT /v1/shards/%s HTTP/1.1\r\nHost: x\r\nPreezm-Root: %s\r\nContent-Length: %d\r\n\r\n"
	post := "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
	deep := strings.Repeat("\x81", 1000)
	for name, c := range map[string]struct {
		text   string
		status int
		code   string
	}{
		"oversized shard": {fmt.Sprintf(put, id, root, peers.MaxShard+1), 413, "too_large"},
		"huge shard":      {fmt.Sprintf(put, id, root, int64(1)<<62), 413, "too_large"},
		"short ID":        {fmt.Sprintf(put, id[2:], root, 0), 400, "malformed"},
		"upper case ID":   {fmt.Sprintf(put, strings.ToUpper(id), root, 0), 400, "malformed"},
		"bad root":        {fmt.Sprintf(put, id, "zz", 0), 400, "malformed"},
		"chunked shard":   {"PUT /v1/shards/" + id + " HTTP/1.1\r\nHost: x\r\nPreezm-Root: " + root + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed"},
		"no range":        {"GET /v1/shards/" + id + " HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed"},
		"open range":      {"GET /v1/shards/" + id + " HTTP/1.1\r\nHost: x\r\nRange: bytes=5-\r\n\r\n", 400, "malformed"},
		"unknown path":    {"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, "unknown_path"},
		"wrong method":    {"DELETE /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", 404, "unknown_path"},
		"unclean path":    {"GET /v1//hello HTTP/1.1\r\nHost: x\r\n\r\n", 404, "unknown_path"},
		"body to nowhere": {fmt.Sprintf(post, "/v1/nowhere", 9, "some body"), 404, "unknown_path"},
		"options":         {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, "unknown_path"},
		"connect":         {"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404, "unknown_path"},
		"no HTTP":         {"\x00\x01\x02\x03\r\n\r\n", 400, ""},
		"empty message":   {fmt.Sprintf(post, pathHello, 0, ""), 400, "malformed"},
		"no CBOR":         {fmt.Sprintf(post, pathHello, 4, "\xff\xff\xff\xff"), 400, "malformed"},
		"deep CBOR":       {fmt.Sprintf(post, pathHello, len(deep), deep), 400, "malformed"},
		"long length":     {fmt.Sprintf(post, pathStat, 10, "\xa1\x01\x5a\xff\xff\xff\xff\x00\x00\x00"), 400, "malformed"},
		"odd list":        {fmt.Sprintf(post, pathStat, 4, "\xa1\x01\x41\x00"), 400, "malformed"},
		"large hello":     {fmt.Sprintf(post, pathHello, maxSmall+1, strings.Repeat("x", maxSmall+1)), 400, "malformed"},
		"large list":      {fmt.Sprintf(post, pathStat, maxList+1, strings.Repeat("x", maxList+1)), 400, "malformed"},
		"large header":    {"GET /v1/shards/" + id + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 9<<10) + "\r\n\r\n", 431, ""},
	} {
		status, code, err := ask(owner.raw(keeper), owner, c.text)
		if err != nil || status != c.status || code != c.code {
			t.Errorf("%s: %d %q %v", name, status, code, err)
		}
	}
	if _, err := owner.keeper(keeper).Info(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// closedSoon waits for the other side to close.
func closedSoon(t *testing.T, c *transport.Conn) {
	t.Helper()
	started := time.Now()
	_, err := io.Copy(io.Discard, c)
	if err == nil {
		err = io.EOF
	}
	if took := time.Since(started); took > soon {
		t.Errorf("closed only after %s: %v", took, err)
	}
}

func TestSilentClients(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", quick())
	befriend(t, owner, keeper)
	for name, text := range map[string]string{
		"nothing at all": "",
		"half a header":  "PUT /v1/shards/",
		"half a body": "PUT /v1/shards/" + strings.Repeat("ab", 32) + " HTTP/1.1\r\nHost: x\r\nPreezm-Root: " +
			strings.Repeat("cd", 32) + "\r\nContent-Length: 100000\r\n\r\nbeginning",
		"unknown path":   "POST /v1/nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbegin",
		"unclean path":   "POST /v1//hello HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbegin",
		"wrong method":   "PUT /v1/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbegin",
		"expectation":    "POST /v1/hello HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 100\r\n\r\nbegin",
		"half a chunk":   "POST /v1/hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nbegin",
		"half a message": "POST /v1/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n\xa1",
	} {
		t.Run(name, func(t *testing.T) {
			c := owner.raw(keeper)
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			closedSoon(t, c)
		})
	}
	if len(keeper.depot.shards) != 0 {
		t.Error("half a shard was kept")
	}
	// A stranger with an invite, silent.
	stranger := newNode(t, "stranger", times{})
	keeper.invite(time.Hour)
	closedSoon(t, stranger.raw(keeper))
}

func TestSlowLorisHeader(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", quick())
	befriend(t, owner, keeper)
	c := owner.raw(keeper)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	started := time.Now()
	for _, b := range []byte("GET /v1/hello HTTP/1.1\r\nX: " + strings.Repeat("x", 500)) {
		<-tick.C
		if _, err := c.Write([]byte{b}); err != nil {
			break
		}
	}
	if took := time.Since(started); took > soon {
		t.Errorf("a header was waited for during %s", took)
	}
}

// A request that is whole may be worked on for longer than a transfer may
// stand still.
func TestSlowDepot(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", quick())
	keeper.depot.hold = make(chan struct{})
	befriend(t, owner, keeper)
	time.AfterFunc(1200*time.Millisecond, func() { close(keeper.depot.hold) }) // idle is 700 ms
	for name, text := range map[string]string{
		"get":  "GET /v1/shards/" + strings.Repeat("ab", 32) + " HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n",
		"stat": "POST /v1/shards/stat HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n\xa1\x01\x40",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, code, err := ask(owner.raw(keeper), owner, text)
			if status == 0 || status >= 500 { // stat's answer is no error message
				t.Errorf("%d %q %v", status, code, err)
			}
		})
	}
}

// A slow sender that keeps moving is served, however long it takes.
func TestSlowButMoving(t *testing.T) {
	noLeaks(t)
	tm := quick()
	tm.idle = 2 * time.Second
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", tm)
	befriend(t, owner, keeper)
	c := owner.raw(keeper)
	body := bytesOf(25, 1)
	_, err := fmt.Fprintf(c, "PUT /v1/shards/%s HTTP/1.1\r\nHost: x\r\nPreezm-Root: %s\r\nContent-Length: %d\r\n\r\n",
		strings.Repeat("ab", 32), strings.Repeat("cd", 32), len(body))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond) // longer than idle in all
	defer tick.Stop()
	for i := range body {
		<-tick.C
		if _, err := c.Write(body[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 204 {
		t.Fatalf("%v %v", resp, err)
	}
}

// alone are quick clocks without announcements: a liar answers one request.
func alone() times {
	tm := quick()
	tm.announce = time.Hour
	return tm
}

// liar is a keeper that answers with what a test wrote.
func liar(t *testing.T, owner *node, answer string, keepOpen bool) peers.Keeper {
	t.Helper()
	id, err := transport.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	l, err := id.Listen(t.Context(), []string{"127.0.0.1:0"}, transport.ListenOptions{
		Admit: func(_ peers.DeviceID, k transport.Kind) transport.Welcome {
			if k != transport.Requests {
				return transport.Refused
			}
			return transport.Member
		},
		Accept: func(c *transport.Conn) {
			defer func() {
				if !keepOpen {
					c.Close()
				}
			}()
			br := bufio.NewReader(c)
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if keepOpen && answer == "" {
				t.Cleanup(func() { c.Close() })
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
			if keepOpen {
				t.Cleanup(func() { c.Close() })
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); l.Serve(t.Context()) }()
	t.Cleanup(func() { l.Close(); <-served })
	err = owner.book.Put(circle.Peer{Device: id.Device(), Name: "liar", Addresses: []string{l.Addrs()[0].String()}, Keeper: true})
	if err != nil {
		t.Fatal(err)
	}
	return owner.client(id.Device())
}

func TestLyingKeeper(t *testing.T) {
	noLeaks(t)
	owner := newNode(t, "owner", alone())
	head := "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nContent-Length: %d\r\n\r\n%s"
	for name, c := range map[string]struct {
		answer string
		open   bool
		want   error
	}{
		"shorter":        {fmt.Sprintf(head, 9, "123456789"), true, peers.ErrDamaged},
		"longer":         {fmt.Sprintf(head, 11, "12345678901"), true, peers.ErrDamaged},
		"cut":            {fmt.Sprintf(head, 10, "12345"), false, peers.ErrUnreachable},
		"silent midway":  {fmt.Sprintf(head, 10, "12345"), true, peers.ErrUnreachable},
		"silent":         {"", true, peers.ErrUnreachable},
		"gone":           {"", false, peers.ErrUnreachable},
		"chunked":        {"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n", true, peers.ErrDamaged},
		"another range":  {"HTTP/1.1 206 OK\r\nContent-Range: bytes 1-10/20\r\nContent-Length: 10\r\n\r\n1234567890", true, peers.ErrDamaged},
		"the whole":      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890", true, peers.ErrProtocol},
		"no HTTP":        {"hello\r\n\r\n", true, peers.ErrProtocol},
		"endless header": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<17), true, peers.ErrProtocol},
		"text error":     {"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", true, peers.ErrProtocol},
		"strange error":  {"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n\xa1\x01\x63abc", true, peers.ErrProtocol},
		"redirect":       {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", true, peers.ErrProtocol},
		"large error":    {"HTTP/1.1 500 Oops\r\nContent-Length: 99999\r\n\r\n" + strings.Repeat("x", 99999), true, peers.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			k := liar(t, owner, c.answer, c.open)
			started := time.Now()
			err := k.ReadShard(t.Context(), peers.ShardID{}, 0, make([]byte, 10))
			if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "liar: ") {
				t.Errorf("%v, want %v", err, c.want)
			}
			if took := time.Since(started); took > soon {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestKeeperThatTakesNothing(t *testing.T) {
	noLeaks(t)
	owner := newNode(t, "owner", alone())
	k := liar(t, owner, "", true)
	started := time.Now()
	err := k.PutShard(t.Context(), peers.ShardID{}, erasure.Root{}, bytes.Repeat([]byte("x"), peers.MaxShard))
	if !errors.Is(err, peers.ErrUnreachable) || time.Since(started) > soon {
		t.Errorf("%v after %s", err, time.Since(started))
	}
}
