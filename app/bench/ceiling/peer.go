// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"
)

// peer keeps shards in a folder.
type peer struct {
	dir  string
	root *os.File // dir itself, to fsync names
}

// servePeer prints its address and serves until it is killed.
func servePeer(dir string) {
	check(os.MkdirAll(dir, 0o700))
	root, err := os.Open(dir)
	check(err)
	p := &peer{dir, root}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(ln.Addr())
	cfg := tlsConfig()
	for {
		raw, err := ln.Accept()
		check(err)
		go func() {
			c := handshake(raw, func(c net.Conn) *tls.Conn { return tls.Server(c, cfg) })
			defer c.Close()
			p.serve(c)
		}()
	}
}

func (p *peer) serve(c *conn) {
	var header [headerSize]byte
	buf := make([]byte, bufferSize)
	for {
		if _, err := io.ReadFull(c.br, header[:1]); err != nil {
			return // the client is done
		}
		switch header[0] {
		case opPut:
			_, err := io.ReadFull(c.br, header[1:])
			check(err)
			p.put(c, header[1:1+idSize], int64(binary.BigEndian.Uint32(header[1+idSize:])), buf)
			_, err = c.Write([]byte{0})
			check(err)
		case opGet:
			_, err := io.ReadFull(c.br, header[1:1+idSize])
			check(err)
			p.get(c, header[1:1+idSize], buf)
		default:
			check(fmt.Errorf("operation %d", header[0]))
		}
		check(c.send())
	}
}

func (p *peer) path(id []byte) string { return filepath.Join(p.dir, hex.EncodeToString(id)) }

// put writes a shard to a temporary name, checks that its hash is its name,
// and makes it durable under that name.
func (p *peer) put(c *conn, id []byte, size int64, buf []byte) {
	name := p.path(id)
	f, err := os.OpenFile(name+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	check(err)
	h := blake3.New()
	var done, flushed int64
	for done < size {
		b := buf[:min(size-done, int64(len(buf)))]
		_, err := io.ReadFull(c.br, b)
		check(err)
		h.Write(b) // never fails
		_, err = f.Write(b)
		check(err)
		done += int64(len(b))
		if done-flushed >= 1<<20 {
			startWriteback(f, flushed, done-flushed)
			flushed = done
		}
	}
	if !bytes.Equal(h.Sum(nil), id) {
		check(fmt.Errorf("shard %x has another hash", id))
	}
	check(f.Sync())
	check(f.Close())
	check(os.Rename(name+".tmp", name))
	check(p.root.Sync())
}

func (p *peer) get(c *conn, id, buf []byte) {
	f, err := os.Open(p.path(id))
	check(err)
	defer f.Close() // only read from
	fi, err := f.Stat()
	check(err)
	_, err = c.Write(binary.BigEndian.AppendUint32(nil, uint32(fi.Size())))
	check(err)
	for {
		n, err := f.Read(buf)
		if err == io.EOF {
			return
		}
		check(err)
		_, err = c.Write(buf[:n])
		check(err)
	}
}
