// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/preezm/preezm/engine"
)

const (
	// requestTime is how long a local client may take to send its request.
	requestTime = 10 * time.Second
	// answerTime is how long it may take to pick up the last frame.
	answerTime = 30 * time.Second
	// stopTime is how long calls under way get to wind up when the node stops.
	stopTime = 10 * time.Second
)

// localServer answers commands and windows on the home's socket.
type localServer struct {
	api   API
	codec *codec
	log   *slog.Logger
	calls sync.WaitGroup          // handlers at work
	gate  func(path string) error // refuses calls; nil: none

	useMu sync.Mutex
	using int       // calls at work that a person made
	used  time.Time // the last time there were any
}

func newLocalServer(api API, logger *slog.Logger) (*localServer, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &localServer{api: api, codec: c, log: logger, used: time.Now()}, nil
}

// serve answers on l until ctx ends, then cancels what is under way and waits
// for it. It closes l.
func (s *localServer) serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: requestTime,
		MaxHeaderBytes:    8 << 10,
		IdleTimeout:       time.Minute,
		ErrorLog:          log.New(logWriter{s.log}, "", 0),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		// The requests' contexts have ended with ctx: Shutdown only waits.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if err := srv.Shutdown(stop); err != nil {
			s.log.Warn("local calls did not end in time", "err", err)
			srv.Close()
		}
	}()
	err := srv.Serve(l)
	// Whatever made Serve return, no call may outlive it: the caller closes
	// what calls stand on.
	cancel()
	<-done
	s.calls.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *localServer) handler() http.Handler {
	mux := http.NewServeMux()
	handle(mux, s, pathAbout, call0(s.api.About))
	handle(mux, s, pathInvite, call1(s.api.Invite))
	handle(mux, s, pathJoin, call1(func(ctx context.Context, r joinRequest) (Member, error) { return s.api.Join(ctx, r.Code) }))
	handle(mux, s, pathCircle, call1(func(ctx context.Context, r circleRequest) ([]Member, error) { return s.api.Circle(ctx, r.Probe) }))
	handle(mux, s, pathPut, s.api.Put)
	handle(mux, s, pathGet, s.api.Get)
	handle(mux, s, pathRemove, call1(func(ctx context.Context, r removeRequest) (*engine.RemoveReport, error) {
		return s.api.Remove(ctx, r.Names)
	}))
	handle(mux, s, pathStatus, call1(s.api.Status))
	handle(mux, s, pathVerify, s.api.Verify)
	s.grantCalls(mux)
	s.keyCalls(mux)
	s.historyCalls(mux)
	s.readCalls(mux)
	s.listCalls(mux)
	s.careCalls(mux)
	s.caretakerCalls(mux)
	s.netCalls(mux)
	s.mailCalls(mux)
	s.watchCalls(mux)
	s.backupCalls(mux)
	s.deviceCalls(mux)
	s.settleCalls(mux)
	s.limitsCalls(mux)
	s.memberCalls(mux)
	s.consentCalls(mux)
	s.helperCalls(mux)
	s.brandCopyCalls(mux)
	return s.guarded(mux)
}

// guarded lets calls through the gate, and notes when the home was used.
func (s *localServer) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.gate != nil {
			if err := s.gate(r.URL.Path); err != nil {
				w.Header().Set("Content-Type", contentType)
				s.answer(w).last(frame{Error: toWire(err)})
				return
			}
		}
		if r.URL.Path != pathAbout && r.URL.Path != pathKey {
			s.use(1)
			defer s.use(-1)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *localServer) use(more int) {
	s.useMu.Lock()
	defer s.useMu.Unlock()
	s.using += more
	s.used = time.Now()
}

// idle is for how long nobody asked for anything.
func (s *localServer) idle() time.Duration {
	s.useMu.Lock()
	defer s.useMu.Unlock()
	if s.using > 0 {
		return 0
	}
	return time.Since(s.used)
}

// handle puts one call under one path.
func handle[Req, Res any](mux *http.ServeMux, s *localServer, path string, call func(context.Context, Req, func(engine.Progress)) (Res, error)) {
	serveCall(mux, s, path, func(ctx context.Context, req Req, a *answer) (Res, error) {
		progress, stop := a.progress()
		defer stop()
		return call(ctx, req, progress)
	})
}

// serveCall puts one call under one path that may send frames of its own before
// the last.
func serveCall[Req, Res any](mux *http.ServeMux, s *localServer, path string, call func(context.Context, Req, *answer) (Res, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		defer s.calls.Done()
		a := s.answer(w)
		// The last call on this connection left a deadline.
		_ = a.rc.SetWriteDeadline(time.Time{})
		w.Header().Set("Content-Type", contentType)
		var req Req
		if err := s.read(a, r, &req); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			a.last(frame{Error: toWire(err)})
			return
		}
		res, err := call(r.Context(), req, a)
		var f frame
		if err != nil {
			f.Error = toWire(err)
		}
		raw, err := s.codec.enc.Marshal(res)
		switch {
		case err == nil:
			f.Result = raw
		case f.Error == nil:
			f.Error = toWire(err)
		}
		a.last(f)
	})
}

// read takes the whole body before anything is done: net/http only notices
// that a client went away, and ends the request's context, once it has read
// all that client sent.
func (s *localServer) read(a *answer, r *http.Request, into any) error {
	if err := a.rc.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(a.w, r.Body, maxRequest))
	if err != nil {
		return malformed(err)
	}
	if err := a.rc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if err := s.codec.dec.Unmarshal(raw, into); err != nil {
		return malformed(err)
	}
	return nil
}

// answer writes the frames of one answer.
type answer struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	codec *codec
}

func (s *localServer) answer(w http.ResponseWriter) *answer {
	return &answer{w: w, rc: http.NewResponseController(w), codec: s.codec}
}

// progress gives a function that sends snapshots without ever waiting for the
// client: a stopped terminal must not stop a put. Snapshots the client is too
// slow for are dropped. stop ends it and waits.
func (a *answer) progress() (report func(engine.Progress), stop func()) {
	latest := make(chan engine.Progress, 1)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case p := <-latest:
				// A client that is gone ends the request's context; nothing
				// more is to be done about it here.
				_ = a.write(frame{Progress: &p})
			}
		}
	}()
	report = func(p engine.Progress) {
		select {
		case <-latest:
		default:
		}
		select {
		case latest <- p:
		default:
		}
	}
	stop = func() {
		close(quit)
		a.deadline()
		<-done
	}
	return report, stop
}

// deadline makes a client that does not read let go of the handler. A
// connection that knows no deadlines (a test's recorder) does without.
func (a *answer) deadline() { _ = a.rc.SetWriteDeadline(time.Now().Add(answerTime)) }

func (a *answer) last(f frame) {
	a.deadline()
	_ = a.write(f) // a client that went away needs no answer
}

func (a *answer) write(f frame) error {
	raw, err := a.codec.enc.Marshal(f)
	if err != nil {
		return err
	}
	if _, err := a.w.Write(raw); err != nil {
		return err
	}
	return a.rc.Flush()
}

// logWriter turns the lines of net/http's log into warnings.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Warn("local socket", "msg", string(p))
	return len(p), nil
}
