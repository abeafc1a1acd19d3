// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"time"
)

// What is said on a connection:
//
//	opPut id[32] len[4] payload -> 0
//	opGet id[32]                -> len[4] payload
const (
	opPut = 1
	opGet = 2

	idSize     = 32
	headerSize = 1 + idSize + 4
)

// bufferSize is put under TLS on both ends, so that several records of
// 16 KiB share one system call.
const bufferSize = 256 << 10

// buffered is a connection with a buffer each way; after the handshake, what
// is written leaves when the buffer is flushed or full.
type buffered struct {
	net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	handshaken bool // set before the connection is used by more than one goroutine
}

func newBuffered(c net.Conn) *buffered {
	return &buffered{Conn: c, r: bufio.NewReaderSize(c, bufferSize), w: bufio.NewWriterSize(c, bufferSize)}
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func (b *buffered) Write(p []byte) (int, error) {
	if !b.handshaken {
		return b.Conn.Write(p)
	}
	return b.w.Write(p)
}

// conn is one TLS connection. One goroutine writes, another may read.
type conn struct {
	*tls.Conn
	br    *bufio.Reader // above TLS
	below *buffered
}

// handshake makes a connection ready. The buffer of the sending side holds
// until it is flushed, but a handshake waits for answers: it runs unbuffered.
func handshake(raw net.Conn, wrap func(net.Conn) *tls.Conn) *conn {
	b := newBuffered(raw)
	c := wrap(b)
	check(c.Handshake())
	b.handshaken = true
	return &conn{Conn: c, br: bufio.NewReaderSize(c, 64<<10), below: b}
}

func dial(addr string) *conn {
	raw, err := net.Dial("tcp", addr)
	check(err)
	cfg := tlsConfig()
	return handshake(raw, func(c net.Conn) *tls.Conn { return tls.Client(c, cfg) })
}

// send flushes what was written to the network.
func (c *conn) send() error { return c.below.w.Flush() }

// tlsConfig proves nobody's identity: what is measured is the cost of the
// records.
func tlsConfig() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	check(err)
	return &tls.Config{
		Certificates:                []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:                  tls.VersionTLS13,
		InsecureSkipVerify:          true,
		DynamicRecordSizingDisabled: true,
		SessionTicketsDisabled:      true,
	}
}
