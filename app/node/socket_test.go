// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
)

func TestCallsSurviveTheTrip(t *testing.T) {
	ctx := testContext(t)
	kept := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	entries := []engine.Entry{
		{Path: "bad\xff\nname", RawPath: []byte("bad\xff\nname"), Kind: engine.File, Size: 1 << 40, Mode: 0o4755, ModTime: kept, MayLose: -1, Torn: true},
		{Path: "ordner/ünïcode", Kind: engine.Symlink, Target: "\xfe"}, // zero times
	}
	members := []Member{{Device: peers.DeviceID{1, 2}, Name: "laptop", Addresses: []string{"127.0.0.1:1"}, LastSeen: kept, Latency: time.Second, Why: said.As("unreachable", "away")}}
	report := &engine.PutReport{Files: 3, Elapsed: time.Minute, Problems: []engine.Problem{{Path: "x\x80", Said: said.As("unreadable", "no {why}", "why", "x"), Failed: true}}}
	var gotPut engine.PutOptions
	var gotNames []engine.Path
	c := dialFake(t, &fakeAPI{
		list:   func(context.Context, engine.ListOptions) ([]engine.Entry, error) { return entries, nil },
		circle: func(_ context.Context, probe bool) ([]Member, error) { return members, nil },
		put: func(_ context.Context, o engine.PutOptions, _ func(engine.Progress)) (*engine.PutReport, error) {
			gotPut = o
			return report, fmt.Errorf("put: %w", engine.ErrNotKept)
		},
		remove: func(_ context.Context, names []engine.Path) (*engine.RemoveReport, error) {
			gotNames = names
			return &engine.RemoveReport{Files: 2}, nil
		},
	})
	if got, err := c.List(ctx, engine.ListOptions{}); err != nil || !reflect.DeepEqual(got, entries) {
		t.Errorf("List: %v\n got %+v\nwant %+v", err, got, entries)
	}
	var pages []engine.Entry
	err := c.ListPages(ctx, engine.ListOptions{}, func(page []engine.Entry) error {
		pages = append(pages, page...)
		return nil
	})
	if err != nil || !reflect.DeepEqual(pages, entries) {
		t.Errorf("ListPages: %v\n got %+v\nwant %+v", err, pages, entries)
	}
	enough := errors.New("enough")
	if err := c.ListPages(ctx, engine.ListOptions{}, func([]engine.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("ListPages went on: %v", err)
	}
	if got, err := c.Circle(ctx, true); err != nil || !reflect.DeepEqual(got, members) {
		t.Errorf("Circle: %v\n got %+v\nwant %+v", err, got, members)
	}
	put := engine.PutOptions{Sources: []string{"/tmp/\xff\xfe"}, Into: "a/\x01"}
	got, err := c.Put(ctx, put, nil)
	if !errors.Is(err, engine.ErrNotKept) || !reflect.DeepEqual(got, report) {
		t.Errorf("Put: a report and its error should both arrive: %v %+v", err, got)
	}
	if !reflect.DeepEqual(gotPut, put) {
		t.Errorf("Put options: got %+v, want %+v", gotPut, put)
	}
	names := []engine.Path{"a", "b\xc0"}
	if _, err := c.Remove(ctx, names); err != nil || !reflect.DeepEqual(gotNames, names) {
		t.Errorf("Remove: %v, names %q", err, gotNames)
	}
}

func TestSentinelsSurviveTheTrip(t *testing.T) {
	ctx := testContext(t)
	var fail error
	c := dialFake(t, &fakeAPI{join: func(context.Context, string) (Member, error) { return Member{}, fail }})
	for code, sentinel := range sentinels() {
		fail = fmt.Errorf("study laptop: %w", sentinel)
		_, err := c.Join(ctx, "code")
		if !errors.Is(err, sentinel) || err.Error() != fail.Error() {
			t.Errorf("%s: got %v", code, err)
		}
	}
	fail = errors.Join(fmt.Errorf("a: %w", peers.ErrQuota), engine.ErrTooFewKeepers)
	if _, err := c.Join(ctx, ""); !errors.Is(err, peers.ErrQuota) || !errors.Is(err, engine.ErrTooFewKeepers) || errors.Is(err, peers.ErrDiskFull) {
		t.Errorf("two causes: got %v", err)
	}
	fail = fmt.Errorf("open: %w", &BusyError{Home: "/h", PID: 42, Role: RoleServe})
	_, err := c.Join(ctx, "")
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != 42 || busy.Role != RoleServe || !errors.Is(err, ErrHomeBusy) {
		t.Errorf("busy: got %v", err)
	}
	fail = circle.ErrInviteCode
	if _, err := c.Join(ctx, ""); !errors.Is(err, circle.ErrInviteCode) {
		t.Errorf("invite: got %v", err)
	}
}

func TestProgressArrivesInOrder(t *testing.T) {
	seen := make(chan int64, 100)
	c := dialFake(t, &fakeAPI{put: func(ctx context.Context, _ engine.PutOptions, report func(engine.Progress)) (*engine.PutReport, error) {
		for i := int64(1); i <= 3; i++ {
			report(engine.Progress{Stage: engine.StagePut, Bytes: i, TotalKnown: true})
			select { // the next one only when this one was shown: none is dropped
			case got := <-seen:
				if got != i {
					return nil, fmt.Errorf("progress %d, want %d", got, i)
				}
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return &engine.PutReport{Files: 1}, nil
	}})
	r, err := c.Put(testContext(t), engine.PutOptions{}, func(p engine.Progress) { seen <- p.Bytes })
	if err != nil || r.Files != 1 {
		t.Fatalf("got %+v, %v", r, err)
	}
}

// A client that is stopped (Ctrl-Z) must not stop the work.
func TestSlowReaderDoesNotHoldThePut(t *testing.T) {
	done := make(chan struct{})
	socket, stop := serveFake(t, &fakeAPI{put: func(_ context.Context, _ engine.PutOptions, report func(engine.Progress)) (*engine.PutReport, error) {
		big := strings.Repeat("x", 1<<20)
		for range 64 { // far more than a socket buffers
			report(engine.Progress{Now: big})
		}
		close(done)
		return &engine.PutReport{}, nil
	}})
	conn := rawCall(t, socket, pathPut, engine.PutOptions{})
	select {
	case <-done:
	case <-testContext(t).Done():
		t.Fatal("the put waits for its reader")
	}
	conn.Close()
	stop()
}

// rawCall sends a request and reads nothing.
func rawCall(t *testing.T, socket, path string, body any) net.Conn {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.enc.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: node\r\nContent-Length: %d\r\n\r\n%s", path, len(raw), raw); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestClosingCancels(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	api := &fakeAPI{put: func(ctx context.Context, _ engine.PutOptions, _ func(engine.Progress)) (*engine.PutReport, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}
	c := dialFake(t, api)
	ctx, cancel := context.WithCancel(testContext(t))
	got := make(chan error, 1)
	go func() {
		_, err := c.Put(ctx, engine.PutOptions{}, nil)
		got <- err
	}()
	<-started
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	select {
	case <-ended:
	case <-testContext(t).Done():
		t.Fatal("the put goes on without its client")
	}
}

func TestStoppingCancelsCalls(t *testing.T) {
	started := make(chan struct{})
	socket, stop := serveFake(t, &fakeAPI{put: func(ctx context.Context, _ engine.PutOptions, _ func(engine.Progress)) (*engine.PutReport, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	c, err := dialSocket(testContext(t), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make(chan error, 1)
	go func() {
		_, err := c.Put(testContext(t), engine.PutOptions{}, nil)
		got <- err
	}()
	<-started
	stop()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	called := false
	socket, _ := serveFake(t, &fakeAPI{list: func(context.Context, engine.ListOptions) ([]engine.Entry, error) {
		called = true
		return nil, nil
	}})
	codec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	enc := func(v any) string {
		raw, err := codec.enc.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	good := enc(engine.ListOptions{})
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
	}{
		"empty body":     {"POST", pathList, "", 400},
		"not CBOR":       {"POST", pathList, "{}", 400},
		"cut":            {"POST", pathList, good[:len(good)-1], 400},
		"followed":       {"POST", pathList, good + "\x00", 400},
		"unknown field":  {"POST", pathList, enc(map[string]any{"Folder": "x", "Shell": "rm"}), 400},
		"wrong type":     {"POST", pathList, enc([]int{1}), 400},
		"indefinite":     {"POST", pathList, "\xbf\xff", 400},
		"huge array":     {"POST", pathRemove, "\xa1\x65Names\x9b\x00\x00\x00\xff\xff\xff\xff\xff", 400},
		"deep":           {"POST", pathList, strings.Repeat("\x81", 100) + "\x00", 400},
		"oversized":      {"POST", pathList, strings.Repeat("\x00", maxRequest+1), 400},
		"unknown path":   {"POST", "/v1/shell", good, 404},
		"wrong method":   {"GET", pathList, "", 405},
		"huge URL":       {"POST", "/" + strings.Repeat("x", 64<<10), good, 431},
		"well, this one": {"POST", pathList, good, 200},
	} {
		t.Run(name, func(t *testing.T) {
			called = false
			conn, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(testTime)); err != nil {
				t.Fatal(err)
			}
			// A refused body may be cut off while it is written.
			go fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: node\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", tc.method, tc.path, len(tc.body), tc.body)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tc.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.status)
			}
			if called != (tc.status == 200) {
				t.Errorf("called: %v", called)
			}
			if tc.status != 400 {
				return
			}
			var f frame
			if err := codec.dec.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == nil || !errors.Is(fromWire(f.Error), ErrBadRequest) {
				t.Errorf("answer %+v, %v", f, err)
			}
		})
	}
}

// A node of another version answers with what this one does not know.
func TestForeignAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, body string
		want       error
	}{
		"no node":       {"text/html", "<html>", ErrOtherVersion},
		"nothing":       {contentType, "", ErrNoAnswer},
		"empty frame":   {contentType, "\xa0", ErrNoAnswer},
		"cut":           {contentType, "\xa1\x61r", ErrNoAnswer},
		"unknown frame": {contentType, "\xa1\x61z\x00", ErrOtherVersion},
		"other result":  {contentType, "\xa1\x61r\xa1\x61x\x00", ErrOtherVersion},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.kind)
				_, _ = w.Write([]byte(tc.body))
			})}}
			srv.Start()
			defer srv.Close()
			if _, err := dialSocket(testContext(t), socket); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestNoNode(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{filepath.Join(dir, "none"), plain, dead, filepath.Join(dir, "no", "folder")} {
		if _, err := dialSocket(testContext(t), path); !errors.Is(err, ErrNotServing) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestListenLocal(t *testing.T) {
	home := t.TempDir()
	l, err := listenLocal(home)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(socketPath(home))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", fi.Mode(), err)
	}
	l.SetUnlinkOnClose(false) // as after a SIGKILL
	l.Close()
	if l, err = listenLocal(home); err != nil {
		t.Fatalf("over a dead socket: %v", err)
	}
	l.Close()
	if _, err := os.Lstat(socketPath(home)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
	if err := os.WriteFile(socketPath(home), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenLocal(home); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("over a plain file: %v", err)
	}
	if b, err := os.ReadFile(socketPath(home)); err != nil || !bytes.Equal(b, []byte("mine")) {
		t.Errorf("the plain file was touched: %q %v", b, err)
	}
}

func TestLongHomePath(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	home := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := listenLocal(home)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Dir(socketPath(home))
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("folder of the socket: %v, %v", fi.Mode(), err)
	}
	if other := socketPath(home + "x"); other == socketPath(home) {
		t.Error("two homes, one socket")
	}
}

func TestTrappedSocketFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	home := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	dir := filepath.Dir(socketPath(home))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := listenLocal(home); err == nil || !strings.Contains(err.Error(), "only you") {
		t.Errorf("open to all: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := listenLocal(home); err == nil {
		t.Error("a link elsewhere was followed")
	}
}

func FuzzRequests(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range []any{engine.PutOptions{Sources: []string{"/a"}}, engine.GetOptions{}, joinRequest{"x"}, removeRequest{[]engine.Path{"a"}}} {
		raw, err := c.enc.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, into := range []any{new(engine.PutOptions), new(engine.GetOptions), new(joinRequest), new(removeRequest), new(frame)} {
			if err := c.dec.Unmarshal(raw, into); err != nil {
				continue
			}
			again, err := c.enc.Marshal(into)
			if err != nil {
				t.Fatalf("%T decodes and does not encode: %v", into, err)
			}
			if err := c.dec.Unmarshal(again, into); err != nil {
				t.Fatalf("%T does not survive a round: %v", into, err)
			}
		}
	})
}

// A home with a long path has its socket in the shared temporary folder, where
// another user may have set a trap.
func TestDialDistrustsAFolderOfOthers(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	home := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	home, err := canonicalHome(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), home); !errors.Is(err, ErrNotServing) {
		t.Errorf("nothing there: %v", err)
	}
	dir := filepath.Dir(socketPath(home))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), home); err == nil || errors.Is(err, ErrNotServing) {
		t.Errorf("a folder that anybody can write to: %v", err)
	}
}
