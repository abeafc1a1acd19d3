// SPDX-License-Identifier: MPL-2.0

// Command ceiling is what the benchmark holds Preezm against: a straight-line
// program that does only the work nobody can leave out. It encrypts a file in
// AES-256-GCM frames of 64 KiB, erasure-codes it, hashes every shard with
// BLAKE3 on both ends and sends it over TLS 1.3 to one process per peer, which
// acknowledges after fsync; and all the way back. It has no catalog, no
// deduplication, no identities and no recovery: any error ends the process.
//
//	ceiling peer -dir DIR                     prints its address
//	ceiling put -peers A,B,.. -file F -manifest M
//	ceiling get -peers A,B,.. -file F -manifest M [-lost 2]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"
)

// options are the figures of the work; the defaults are those of Preezm.
type options struct {
	k, m     int
	segment  int // plain bytes
	inflight int // segments worked on at once
	lost     int // data shards of each segment that a get does without
}

// report is what put and get print, as JSON.
type report struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("ceiling: ")
	if len(os.Args) < 2 {
		log.Fatal("want peer, put or get")
	}
	mode := os.Args[1]
	fs := flag.NewFlagSet(mode, flag.ExitOnError)
	var o options
	dir := fs.String("dir", "", "peer: folder for shards")
	addrs := fs.String("peers", "", "put, get: addresses of k+m peers, separated by commas")
	file := fs.String("file", "", "put: file or folder to read; get: file to write")
	manifest := fs.String("manifest", "", "put: written; get: read")
	fs.IntVar(&o.k, "k", 3, "data shards")
	fs.IntVar(&o.m, "m", 2, "parity shards")
	fs.IntVar(&o.segment, "segment", 12<<20, "plain bytes of a segment")
	fs.IntVar(&o.inflight, "inflight", 3, "segments worked on at once")
	fs.IntVar(&o.lost, "lost", 0, "get: data shards of each segment treated as lost")
	check(fs.Parse(os.Args[2:]))

	if mode == "peer" {
		servePeer(*dir)
		return
	}
	peers := strings.Split(*addrs, ",")
	if len(peers) != o.k+o.m {
		log.Fatalf("%d peers for k+m = %d", len(peers), o.k+o.m)
	}
	conns := make([]*conn, len(peers))
	for i, addr := range peers {
		conns[i] = dial(addr)
	}
	t0 := time.Now()
	var n int64
	switch mode {
	case "put":
		n = put(conns, o, *file, *manifest)
	case "get":
		n = get(conns, o, *file, *manifest)
	default:
		log.Fatalf("%q: want peer, put or get", mode)
	}
	out, err := json.Marshal(report{n, time.Since(t0).Seconds()})
	check(err)
	fmt.Println(string(out))
}

// check ends the process: there is nothing here to recover.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
