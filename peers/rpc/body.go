// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"io"
	"net/http"
	"net/url"
	"sync"
)

// body is a request body in memory that can be sent again when a pooled
// connection turns out to be dead, and that knows when nobody reads from it
// any more.
type body struct {
	data  []byte
	users sync.WaitGroup
}

// bodyReader is one sending of a body. Its Take lets the connection hand the
// bytes to TLS without a copy.
type bodyReader struct {
	b    *body
	off  int
	once sync.Once
}

func newBody(data []byte) *body { return &body{data: data} }

func (b *body) open() *bodyReader {
	b.users.Add(1)
	return &bodyReader{b: b}
}

// wait returns when every reader is closed. The transport closes each of
// them, at the latest when the connection is gone.
func (b *body) wait() { b.users.Wait() }

func (b *body) request(method, host, path string) *http.Request {
	req := newRequest(method, host, path)
	req.ContentLength = int64(len(b.data))
	if len(b.data) == 0 {
		req.Body = http.NoBody
		return req
	}
	req.Body = b.open()
	req.GetBody = func() (io.ReadCloser, error) { return b.open(), nil }
	return req
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	if r.off == len(r.b.data) {
		return 0, io.EOF
	}
	n := copy(p, r.b.data[r.off:])
	r.off += n
	return n, nil
}

// Take implements transport.Taker.
func (r *bodyReader) Take(n int64) []byte {
	p := r.b.data[r.off:]
	p = p[:min(int64(len(p)), n)]
	r.off += len(p)
	return p
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	r.once.Do(r.b.users.Done)
	return nil
}

// newRequest is http.NewRequest without parsing. Every request of the
// protocol can be repeated without harm, which the empty Idempotency-Key
// tells the transport (it is not sent).
func newRequest(method, host, path string) *http.Request {
	return &http.Request{
		Method: method,
		URL:    &url.URL{Scheme: "http", Host: host, Path: path},
		Host:   host,
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Idempotency-Key": nil, "User-Agent": nil},
	}
}
