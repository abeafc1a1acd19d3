// SPDX-License-Identifier: MPL-2.0

package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/klauspost/reedsolomon"
	"github.com/zeebo/blake3"
)

// put sends a file or the files of a folder to all peers and returns the
// number of bytes when every shard is durable.
func put(conns []*conn, o options, file, name string) int64 {
	n := len(conns)
	key := make([]byte, 32)
	rand.Read(key) // never fails
	rs, err := reedsolomon.New(o.k, o.m, reedsolomon.WithMaxGoroutines(1))
	check(err)
	plans, total := plan(file, o.segment)
	man := &manifest{Key: key, Size: total, Segment: int64(o.segment), ShardSize: make([]int, len(plans)), IDs: make([][][]byte, len(plans))}

	free := make(chan *segment, o.inflight)
	for range o.inflight {
		free <- &segment{buf: make([]byte, shardSize(o.segment, o.k)*n)}
	}
	var peers sync.WaitGroup
	queues := make([]chan job, n)
	for i, c := range conns {
		queues[i] = make(chan job, o.inflight)
		sent := make(chan *segment, o.inflight+1)
		peers.Go(func() { sendShards(c, queues[i], sent) })
		peers.Go(func() { takeAcks(c, sent) })
	}

	work := make(chan *segment, o.inflight)
	var encoders sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		encoders.Go(func() {
			ae := newAEAD(key)
			plain := make([]byte, o.segment)
			for s := range work {
				readPieces(plain, plans[s.index])
				size := shardSize(s.plain, o.k)
				out := s.buf[:0]
				for i, off := 0, 0; off < s.plain; i, off = i+1, off+frame {
					out = ae.Seal(out, nonce(s.index, i), plain[off:min(off+frame, s.plain)], nil)
				}
				clear(s.buf[len(out) : size*o.k])
				s.shards, s.ids = make([][]byte, n), make([][]byte, n)
				for i := range s.shards {
					s.shards[i] = s.buf[i*size : (i+1)*size]
				}
				check(rs.Encode(s.shards))
				for i, shard := range s.shards {
					id := blake3.Sum256(shard)
					s.ids[i] = id[:]
				}
				man.IDs[s.index], man.ShardSize[s.index] = s.ids, size
				s.wait.Add(n)
				for i := range queues {
					queues[(i+s.index)%n] <- job{s, i} // data and parity take turns on the peers
				}
				go func() { s.wait.Wait(); free <- s }()
			}
		})
	}
	for i, pieces := range plans {
		s := <-free
		s.index, s.plain = i, 0
		for _, p := range pieces {
			s.plain += p.n
		}
		work <- s
	}
	close(work)
	encoders.Wait()
	for _, q := range queues {
		close(q)
	}
	peers.Wait()
	b, err := json.Marshal(man)
	check(err)
	check(os.WriteFile(name, b, 0o600))
	return total
}

func sendShards(c *conn, queue <-chan job, sent chan<- *segment) {
	defer close(sent)
	for j := range queue {
		shard := j.s.shards[j.shard]
		header := append(make([]byte, 0, headerSize), opPut)
		header = append(header, j.s.ids[j.shard]...)
		header = binary.BigEndian.AppendUint32(header, uint32(len(shard)))
		_, err := c.Write(header)
		check(err)
		_, err = c.Write(shard)
		check(err)
		check(c.send())
		sent <- j.s
	}
}

func takeAcks(c *conn, sent <-chan *segment) {
	for s := range sent {
		b, err := c.br.ReadByte()
		check(err)
		if b != 0 {
			check(fmt.Errorf("a peer answered %d", b))
		}
		s.wait.Done()
	}
}

func readPieces(dst []byte, pieces []piece) {
	for _, p := range pieces {
		f, err := os.Open(p.path)
		check(err)
		n, err := f.ReadAt(dst[:p.n], p.off)
		if err != io.EOF {
			check(err)
		}
		if n != p.n {
			check(fmt.Errorf("%s became shorter", p.path))
		}
		check(f.Close())
		dst = dst[p.n:]
	}
}
