// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

// A handler answers a member. What it returns as an error becomes the answer,
// so it must not have begun one then.
type handler func(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error

func (v *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+pathHello, v.member(v.hello))
	mux.Handle("POST "+pathStat, v.member(v.stat))
	mux.Handle("POST "+pathDelete, v.member(v.forget))
	mux.Handle("POST "+pathNeeded, v.member(v.needed))
	mux.Handle("PUT "+pathShards+"{id}", v.member(v.put))
	mux.Handle("GET "+pathShards+"{id}", v.member(v.get))
	mux.Handle("POST "+pathWitness+"{verb}", v.member(v.witness))
	mux.Handle("POST "+pathHelpers+"{verb}", v.member(v.helpers))
	mux.Handle("POST "+pathOwner, v.member(v.owner))
	mux.Handle("POST "+pathFarewell, v.member(v.farewell))
	mux.Handle("POST "+pathAudit, v.member(v.audit))
	mux.Handle("POST "+pathReceipt, v.member(v.receipt))
	mux.Handle("POST "+pathPlan, v.member(v.plan))
	mux.Handle("GET "+pathLent+"{id}", v.member(v.lent))
	mux.Handle("POST "+pathGateway+"{verb}", v.member(v.gateway))
	mux.Handle("POST "+pathHeadsPut, v.member(v.putHead))
	mux.Handle("POST "+pathHeadsGet, v.member(v.getHeads))
	v.careRoutes(mux)
	mux.HandleFunc("POST "+pathAccount, v.claim)
	mux.HandleFunc("POST "+pathPair, v.pair)
	mux.Handle("POST "+pathMailPut, v.member(v.mailPut))
	mux.Handle("POST "+pathMailFetch, v.member(v.mailFetch))
	mux.Handle("POST "+pathMailTook, v.member(v.mailTook))
	mux.HandleFunc("POST "+pathPass, v.present)
	mux.HandleFunc("POST "+pathOffice+"{verb}", v.office)
	// A member may redeem again: its first answer may have been lost.
	mux.HandleFunc("POST "+pathJoin, v.join)
	// The mux's own answers (no such path or method, go to the clean path)
	// would leave a body unread, which net/http waits for without a deadline.
	unknown := func(w http.ResponseWriter, r *http.Request) { v.fail(w, r, errPath) }
	mux.HandleFunc("/", unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path || r.URL.Path == "*" {
			unknown(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// member lets only devices through that are in the circle now, not only when
// they connected.
func (v *server) member(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		if c == nil || !v.s.cfg.Book.Has(c.Device()) {
			v.fail(w, r, peers.ErrRefused)
			return
		}
		if err := h(w, r, c.Device()); err != nil {
			v.fail(w, r, err)
		}
	})
}

// fail answers with err's code. What of the request is still unread is
// drained first, up to the size of a shard: a sender in the middle of a body
// reads no answer before it is through, and a close would lose it.
func (v *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failureOf(err)
	if f.err == errInternal {
		level := slog.LevelError
		if r.Context().Err() != nil || errors.Is(err, context.Canceled) {
			level = slog.LevelDebug // the peer hung up, or this device stops
		}
		v.s.log.Log(r.Context(), level, "answer a peer", "path", r.URL.Path, "error", err)
	}
	if r.ContentLength < 0 || r.ContentLength > peers.MaxShard || v.drain(w, r) != nil {
		w.Header()["Connection"] = []string{"close"}
	}
	v.answer(w, f.status, errorMsg{Code: f.code})
}

// drain reads what is left of a request's body.
func (v *server) drain(w http.ResponseWriter, r *http.Request) error {
	_, err := io.Copy(io.Discard, io.LimitReader(v.body(w, r), peers.MaxShard))
	return err
}

// answer writes a message.
func (v *server) answer(w http.ResponseWriter, status int, msg any) {
	raw, err := v.s.codec.Marshal(msg)
	if err != nil {
		v.s.log.Error("write an answer", "error", err)
		status, raw = http.StatusInternalServerError, nil
	}
	v.write(w, status, raw)
}

// write sends a message that is encoded already.
func (v *server) write(w http.ResponseWriter, status int, raw []byte) {
	h := w.Header()
	h["Content-Type"] = []string{typeCBOR}
	h["Content-Length"] = []string{strconv.Itoa(len(raw))}
	h["Date"] = nil
	w.WriteHeader(status)
	if _, err := w.Write(raw); err != nil {
		v.s.log.Debug("write an answer", "error", err)
	}
}

func (v *server) done204(w http.ResponseWriter) {
	w.Header()["Date"] = nil
	w.WriteHeader(http.StatusNoContent)
}

// movingBody reads a request's body under an idle deadline that each read
// sets anew: a slow sender is waited for, a silent one is not. A guest is not
// waited for either: the deadline of its whole connection stays.
type movingBody struct {
	io.Reader
	rc   *http.ResponseController // nil for a guest
	idle time.Duration
	err  error // what ended it, if not its end
}

func (v *server) body(w http.ResponseWriter, r *http.Request) *movingBody {
	b := &movingBody{Reader: r.Body, idle: v.s.cfg.times.idle}
	if c := connOf(r); c != nil && c.Welcome() == transport.Member {
		b.rc = http.NewResponseController(w)
	}
	return b
}

func (b *movingBody) Read(p []byte) (int, error) {
	if err := b.deadline(time.Now().Add(b.idle)); err != nil {
		return 0, err
	}
	n, err := b.Reader.Read(p)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			b.err = err
		} else if derr := b.deadline(time.Time{}); derr != nil {
			b.err = derr
		}
	}
	return n, err
}

func (b *movingBody) deadline(t time.Time) error {
	if b.rc == nil {
		return nil
	}
	return b.rc.SetReadDeadline(t)
}

// read takes a message from a request.
func (v *server) read(w http.ResponseWriter, r *http.Request, limit int64, msg any) error {
	if r.ContentLength < 0 || r.ContentLength > limit {
		return fmt.Errorf("%w: %d bytes", errMessage, r.ContentLength)
	}
	return v.s.codec.Read(v.body(w, r), limit, msg)
}

func (v *server) hello(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error {
	var in helloMsg
	if err := v.read(w, r, maxSmall, &in); err != nil {
		return err
	}
	v.s.heard(owner, in.Name, circle.Learned(in.Addresses, local(connOf(r))), in.Keys)
	newer := v.s.introduced(owner, in.Own)
	var u peers.Usage
	if v.s.cfg.Depot != nil {
		var err error
		if u, err = v.s.cfg.Depot.Usage(r.Context(), owner); err != nil {
			return err
		}
	}
	v.answer(w, http.StatusOK, helloAnswer{
		Name: circle.CleanName(v.s.cfg.Name()), Version: v.s.cfg.Version,
		Quota: u.Quota, Used: u.Used, Free: u.Free, Shards: u.Shards, UnixTime: v.s.cfg.Now().Unix(), Keys: v.s.keys(),
		Own: v.s.cfg.Book.Own(), Newer: newer,
	})
	return nil
}

func (v *server) put(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error {
	return v.store(w, r, func(peers.ShardID, erasure.Root, int64) (peers.DeviceID, func(), error) { return owner, func() {}, nil })
}

func (v *server) get(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error {
	id, err := parseShardID(r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.sendShard(w, r, owner, id)
}

// sendShard answers with the asked range of one of owner's shards.
func (v *server) sendShard(w http.ResponseWriter, r *http.Request, owner peers.DeviceID, id peers.ShardID) error {
	first, last, err := parseRange(r.Header.Get("Range"))
	if err != nil {
		return err
	}
	if v.s.cfg.Depot == nil {
		return peers.ErrNotFound
	}
	sh, err := v.s.cfg.Depot.Get(r.Context(), owner, id)
	if err != nil {
		return err
	}
	defer sh.Close()
	size := sh.Size()
	if last >= size {
		return errRange
	}
	buf := v.s.buffers.get()
	defer v.s.buffers.put(buf)
	// The first piece is read before the header goes out, while an error can
	// still be an answer.
	left := last - first + 1
	n := int(min(left, int64(len(*buf))))
	if _, err := sh.ReadAt((*buf)[:n], first); err != nil && !(errors.Is(err, io.EOF) && first+int64(n) == size) {
		return err
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/octet-stream"}
	h["Content-Length"] = []string{strconv.FormatInt(left, 10)}
	h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", first, last, size)}
	h["Date"] = nil
	w.WriteHeader(http.StatusPartialContent)
	v.send(r.Context(), w, sh, (*buf)[:n], first, left)
	return nil
}

// send writes the pieces of a range, the first of which is in buf. After an
// error the answer stays short, and net/http closes the connection: that is
// how the other side hears of it.
func (v *server) send(ctx context.Context, w io.Writer, sh io.ReaderAt, buf []byte, at, left int64) {
	for {
		if _, err := w.Write(buf); err != nil {
			return
		}
		at += int64(len(buf))
		left -= int64(len(buf))
		if left == 0 || ctx.Err() != nil {
			return
		}
		buf = buf[:min(left, int64(len(buf)))]
		if n, err := sh.ReadAt(buf, at); n < len(buf) {
			v.s.log.Error("read a shard", "error", err)
			return
		}
	}
}

func (v *server) stat(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error {
	ids, err := v.list(w, r)
	if err != nil {
		return err
	}
	sizes := make([]int64, len(ids))
	if v.s.cfg.Depot != nil {
		if sizes, err = v.s.cfg.Depot.Stat(r.Context(), owner, ids); err != nil {
			return err
		}
	} else {
		for i := range sizes {
			sizes[i] = -1
		}
	}
	v.answer(w, http.StatusOK, statAnswer{Sizes: sizes})
	return nil
}

func (v *server) forget(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error {
	ids, err := v.list(w, r)
	if err != nil {
		return err
	}
	if v.s.cfg.Depot != nil {
		if err := v.s.cfg.Depot.Delete(r.Context(), owner, ids); err != nil {
			return err
		}
	}
	v.done204(w)
	return nil
}

func (v *server) list(w http.ResponseWriter, r *http.Request) ([]peers.ShardID, error) {
	var in shardsMsg
	if err := v.read(w, r, maxList, &in); err != nil {
		return nil, err
	}
	return in.ids()
}

func parseShardID(s string) (peers.ShardID, error) {
	var id peers.ShardID
	if err := parseHex(id[:], s); err != nil {
		return id, fmt.Errorf("shard ID: %w", err)
	}
	return id, nil
}

// parseHex reads exactly len(dst) bytes of lower-case hexadecimal.
func parseHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("%w: %d characters", errMessage, len(s))
	}
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'F' {
			return fmt.Errorf("%w: upper case", errMessage)
		}
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	return nil
}

// parseRange reads "bytes=FIRST-LAST", the one form that is used here.
func parseRange(s string) (first, last int64, err error) {
	bad := fmt.Errorf("%w: range", errMessage)
	const unit = "bytes="
	if len(s) < len(unit) || len(s) > 64 || s[:len(unit)] != unit {
		return 0, 0, bad
	}
	var parts [2]int64
	n, digits := 0, 0
	for _, c := range []byte(s[len(unit):]) {
		switch {
		case c == '-' && n == 0 && digits > 0:
			n, digits = 1, 0
		case c >= '0' && c <= '9' && digits < 10 && (digits == 0 || parts[n] != 0):
			parts[n] = 10*parts[n] + int64(c-'0')
			digits++
		default:
			return 0, 0, bad
		}
	}
	if n != 1 || digits == 0 || parts[1] < parts[0] {
		return 0, 0, bad
	}
	return parts[0], parts[1], nil
}
