// SPDX-License-Identifier: MPL-2.0

//go:build unix

package rpc

import (
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/syncthing/syncthing/lib/tlsutil"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// measure runs b.N operations, some at once, and reports the CPU time of both
// ends for each GiB moved.
func measure(b *testing.B, parallel int, size int, op func() error) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	var wg sync.WaitGroup
	work := make(chan struct{}, b.N)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	for range parallel {
		wg.Go(func() {
			for range work {
				if err := op(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	moved := float64(b.N) * float64(size) / (1 << 30)
	b.ReportMetric((cpu(b)-before).Seconds()/moved, "cpu-s/GiB")
}

func benchPair(b *testing.B) (*node, peers.Keeper, []byte) {
	owner, keeper := newNode(b, "owner", times{}), newNode(b, "keeper", times{})
	befriend(b, owner, keeper)
	data := make([]byte, peers.MaxShard)
	rand.Read(data)
	return keeper, owner.keeper(keeper), data
}

func BenchmarkPut(b *testing.B) {
	for _, p := range []struct {
		name string
		n    int
	}{{"1", 1}, {"4", 4}} {
		b.Run(p.name, func(b *testing.B) {
			keeper, k, data := benchPair(b)
			keeper.depot.drop = true
			measure(b, p.n, len(data), func() error { return k.PutShard(b.Context(), peers.ShardID{1}, erasure.Root{}, data) })
		})
	}
}

// BenchmarkPutQUIC is BenchmarkPut between devices that met by UDP.
func BenchmarkPutQUIC(b *testing.B) {
	for _, p := range []struct {
		name string
		n    int
	}{{"1", 1}, {"4", 4}} {
		b.Run(p.name, func(b *testing.B) {
			owner, keeper := apart(b)
			keeper.depot.drop = true
			k, data := owner.keeper(keeper), make([]byte, peers.MaxShard)
			rand.Read(data)
			measure(b, p.n, len(data), func() error { return k.PutShard(b.Context(), peers.ShardID{1}, erasure.Root{}, data) })
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, p := range []struct {
		name string
		n    int
	}{{"1", 1}, {"4", 4}} {
		b.Run(p.name, func(b *testing.B) {
			_, k, data := benchPair(b)
			if err := k.PutShard(b.Context(), peers.ShardID{1}, erasure.Root{}, data); err != nil {
				b.Fatal(err)
			}
			bufs := sync.Pool{New: func() any { d := make([]byte, len(data)); return &d }}
			measure(b, p.n, len(data), func() error {
				dst := bufs.Get().(*[]byte)
				defer bufs.Put(dst)
				return k.ReadShard(b.Context(), peers.ShardID{1}, 0, *dst)
			})
		})
	}
}

func BenchmarkInfo(b *testing.B) {
	_, k, _ := benchPair(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Info(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRawTLS is the yardstick: 4 MiB over crypto/tls and nothing else,
// read in pieces of 256 KiB, answered with one byte.
func BenchmarkRawTLS(b *testing.B) {
	cert, err := tlsutil.NewCertificateInMemory("test", 1)
	if err != nil {
		b.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		s := tls.Server(c, cfg)
		defer s.Close()
		buf := make([]byte, pieceSize)
		for {
			for left := peers.MaxShard; left > 0; {
				n, err := s.Read(buf[:min(left, len(buf))])
				if err != nil {
					return
				}
				left -= n
			}
			if _, err := s.Write(buf[:1]); err != nil {
				return
			}
		}
	}()
	c, err := tls.Dial("tcp", ln.Addr().String(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	data := make([]byte, peers.MaxShard)
	rand.Read(data)
	measure(b, 1, len(data), func() error {
		if _, err := c.Write(data); err != nil {
			return err
		}
		var one [1]byte
		_, err := io.ReadFull(c, one[:])
		return err
	})
}
