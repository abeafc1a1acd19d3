// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
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

// writeSize is how much is written at once, in bytes. Whole segments in one
// call took up to 2 CPU seconds a GiB more on Linux 6.18 with ext4, which then
// looks for contiguous pages of that size.
const writeSize = 64 << 10

// get brings a file back, durably, without the first o.lost data shards of
// each segment, and returns its size in bytes.
func get(conns []*conn, o options, file, name string) int64 {
	n := len(conns)
	b, err := os.ReadFile(name)
	check(err)
	man := &manifest{}
	check(json.Unmarshal(b, man))
	rs, err := reedsolomon.New(o.k, o.m, reedsolomon.WithMaxGoroutines(1))
	check(err)
	if o.lost > o.m {
		check(fmt.Errorf("%d lost with %d parity shards", o.lost, o.m))
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	check(err)

	free := make(chan *segment, o.inflight)
	for range o.inflight {
		free <- &segment{buf: make([]byte, shardSize(int(man.Segment), o.k)*n)}
	}
	var peers sync.WaitGroup
	queues := make([]chan job, n)
	for i, c := range conns {
		queues[i] = make(chan job, o.inflight)
		asked := make(chan job, o.inflight)
		peers.Go(func() { askShards(c, man, queues[i], asked) })
		peers.Go(func() { takeShards(c, asked) })
	}

	ready := make(chan *segment, o.inflight)
	var decoders sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() {
			ae := newAEAD(man.Key)
			plain := make([]byte, 0, man.Segment)
			var err error
			for s := range ready {
				verify(s, man.IDs[s.index])
				size := man.ShardSize[s.index]
				if o.lost > 0 {
					for i := range o.lost {
						s.shards[i] = s.buf[i*size : i*size : (i+1)*size]
					}
					check(rs.ReconstructData(s.shards))
				}
				sealed := s.buf[:sealedSize(s.plain)]
				plain = plain[:0]
				for i, off := 0, 0; off < len(sealed); i, off = i+1, off+frame+frameTag {
					plain, err = ae.Open(plain, nonce(s.index, i), sealed[off:min(off+frame+frameTag, len(sealed))], nil)
					check(err)
				}
				at := int64(s.index) * man.Segment
				for off := 0; off < len(plain); off += writeSize {
					_, err = out.WriteAt(plain[off:min(off+writeSize, len(plain))], at+int64(off))
					check(err)
				}
				startWriteback(out, at, int64(s.plain))
				free <- s
			}
		})
	}
	var segments sync.WaitGroup
	for i := range man.IDs {
		s := <-free
		size := man.ShardSize[i]
		s.index, s.plain = i, int(min(man.Segment, man.Size-int64(i)*man.Segment))
		s.shards = make([][]byte, n)
		s.wait.Add(o.k)
		for x := o.lost; x < o.lost+o.k; x++ {
			s.shards[x] = s.buf[x*size : (x+1)*size]
		}
		for x := o.lost; x < o.lost+o.k; x++ {
			queues[(x+i)%n] <- job{s, x} // where put sent it
		}
		segments.Go(func() { s.wait.Wait(); ready <- s })
	}
	segments.Wait()
	close(ready)
	decoders.Wait()
	for _, q := range queues {
		close(q)
	}
	peers.Wait()
	check(out.Sync())
	check(out.Close())
	return man.Size
}

func askShards(c *conn, man *manifest, queue <-chan job, asked chan<- job) {
	defer close(asked)
	for j := range queue {
		_, err := c.Write(append([]byte{opGet}, man.IDs[j.s.index][j.shard]...))
		check(err)
		check(c.send())
		asked <- j
	}
}

func takeShards(c *conn, asked <-chan job) {
	var size [4]byte
	for j := range asked {
		_, err := io.ReadFull(c.br, size[:])
		check(err)
		shard := j.s.shards[j.shard]
		if n := binary.BigEndian.Uint32(size[:]); int(n) != len(shard) {
			check(fmt.Errorf("a shard of %d bytes instead of %d", n, len(shard)))
		}
		_, err = io.ReadFull(c.br, shard)
		check(err)
		j.s.wait.Done()
	}
}

// verify checks the shards that came before any of them is used.
func verify(s *segment, ids [][]byte) {
	for i, shard := range s.shards {
		if len(shard) == 0 {
			continue
		}
		if sum := blake3.Sum256(shard); !bytes.Equal(sum[:], ids[i]) {
			check(fmt.Errorf("shard %x has another hash", ids[i]))
		}
	}
}
