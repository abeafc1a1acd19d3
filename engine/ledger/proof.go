// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/preezm/preezm/engine/custody"
)

// Limits of a proof bundle.
const (
	// MaxProof is room for some 10,000 openings with five custodians, in bytes.
	MaxProof = 192 << 20
	maxParts = 4096
)

// ErrProof: a bundle was changed, or does not prove what it says.
var ErrProof = errors.New("not a valid proof")

// Extract is one custodian's log in a bundle: all its links up to a signed head.
type Extract struct {
	Head    []byte   `cbor:"1,keyasint"` // a signed Head
	Records []Record `cbor:"2,keyasint"`
}

// Bundle is the history of one grant: documents as they were signed, and the
// logs of its custodians, redacted to it.
type Bundle struct {
	Grant       []byte
	Packages    [][]byte
	Revocations [][]byte
	Requests    [][]byte
	Releases    [][]byte
	Logs        []Extract
}

// Proof is the list of a bundle's parts. Signed by an owner device, so that no
// part can be dropped.
type Proof struct {
	Grant custody.Hash `cbor:"1,keyasint"`
	At    int64        `cbor:"2,keyasint"`
	Parts []Part       `cbor:"3,keyasint"`
	Cert  []byte       `cbor:"4,keyasint"`
}

// Part is one file of a bundle.
type Part struct {
	Name   string       `cbor:"1,keyasint"`
	SHA256 custody.Hash `cbor:"2,keyasint"`
}

// Type implements custody.Document.
func (Proof) Type() string { return "preezm/v1/proof" }

// Check implements custody.Document.
func (p Proof) Check() error {
	if p.At < 0 || len(p.Parts) > maxParts {
		return errors.New("a field out of its range")
	}
	return nil
}

const (
	indexName  = "proof.cbor"
	readmeName = "README.txt"
	readme     = `This file proves what happened under one grant: who was allowed to open which
files and until when, every opening and refusal that the custodians recorded,
and the withdrawal, if there was one. Each statement is signed by who made it.

Check it without any network with:  preezm verify FILE.zip

It does not show what was done with a document after it was opened: whoever
opened it may have kept a copy.
`
)

// part is a named file on its way into or out of a bundle.
type part struct {
	name string
	data []byte
}

func (b *Bundle) parts() ([]part, error) {
	list := []part{{readmeName, []byte(readme)}, {"grant.cbor", b.Grant}}
	for _, group := range []struct {
		dir  string
		docs [][]byte
	}{{"package", b.Packages}, {"revocation", b.Revocations}} {
		for i, d := range group.docs {
			list = append(list, part{fmt.Sprintf("%s/%04d.cbor", group.dir, i+1), d})
		}
	}
	// Of these there is one for each opening, or some: many in a part.
	for _, group := range []struct {
		dir  string
		docs [][]byte
	}{{"request", b.slim()}, {"release", b.Releases}} {
		for i := 1; len(group.docs) > 0; i++ {
			n, size := 0, 0
			for ; n < len(group.docs) && n < maxBatch && (n == 0 || size+len(group.docs[n]) <= batchSize); n++ {
				size += len(group.docs[n])
			}
			d, err := custody.Marshal(batch{group.docs[:n]})
			if err != nil {
				return nil, err
			}
			list = append(list, part{fmt.Sprintf("%s/%04d.cbor", group.dir, i), d})
			group.docs = group.docs[n:]
		}
	}
	for i, l := range b.Logs {
		records := l.Records
		// A long log spans several parts, as one document holds 1 MiB.
		for j := 0; j == 0 || len(records) > 0; j++ {
			n := min(len(records), recordsPerPart)
			e := Extract{Records: records[:n]}
			if j == 0 {
				e.Head = l.Head
			}
			d, err := custody.Marshal(e)
			if err != nil {
				return nil, err
			}
			list = append(list, part{fmt.Sprintf("log/%02d/%04d.cbor", i+1, j+1), d})
			records = records[n:]
		}
	}
	return list, nil
}

const (
	recordsPerPart = 1024
	maxBatch       = 2048
	batchSize      = 900 << 10 // bytes, so that a part is a document
)

// batch is a part of many documents.
type batch struct {
	Docs [][]byte `cbor:"1,keyasint"`
}

// slim are the requests without what is in the bundle anyway.
func (b *Bundle) slim() [][]byte {
	known := map[custody.Hash][]byte{}
	for _, raw := range b.Packages {
		if p, err := custody.Parse[custody.KeyPackage](raw); err == nil {
			known[p.Hash] = raw
		}
	}
	out := make([][]byte, len(b.Requests))
	for i, raw := range b.Requests {
		out[i] = raw
		slim, _, err := custody.Slim(raw)
		if err != nil {
			continue
		}
		// Only where the same bytes come out again.
		if whole, err := fatten(slim, b.Grant, known); err == nil && bytes.Equal(whole, raw) {
			out[i] = slim
		}
	}
	return out
}

// fatten gives the whole request for what slim made of it.
func fatten(raw, grant []byte, packages map[custody.Hash][]byte) ([]byte, error) {
	s, err := custody.ReadSlim(raw)
	if err != nil {
		return raw, nil // it was left whole
	}
	return s.Whole(grant, packages[s.Package])
}

// WriteProof makes the bundle: a ZIP file in which the same content is always
// the same bytes.
func WriteProof(b *Bundle, o *custody.Owner, now int64) ([]byte, error) {
	g, err := custody.CheckGrant(b.Grant)
	if err != nil {
		return nil, err
	}
	list, err := b.parts()
	if err != nil {
		return nil, err
	}
	p := Proof{Grant: g.Hash, At: now, Cert: o.Cert}
	for _, f := range list {
		p.Parts = append(p.Parts, Part{f.name, sha256.Sum256(f.data)})
	}
	index, err := custody.Sign(o.Device, p)
	if err != nil {
		return nil, err
	}
	out, err := pack(append(list, part{indexName, index.Raw}))
	if err != nil {
		return nil, err
	}
	if _, err := VerifyProof(out); err != nil {
		return nil, fmt.Errorf("the documents do not make a proof: %w", err)
	}
	return out, nil
}

// unpack reads a bundle's files and refuses any spelling but pack's: bytes that
// no signature covers, such as comments and dates, cannot be changed either.
func unpack(b []byte) ([]part, error) {
	if len(b) > MaxProof {
		return nil, errors.New("too long")
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	if len(z.File) > maxParts+1 {
		return nil, errors.New("too many parts")
	}
	var list []part
	left := uint64(len(b))
	for _, f := range z.File {
		// Stored parts cannot be longer than the file that holds them, nor all of
		// them together: thousands of names for the same bytes would be gigabytes.
		if f.Method != zip.Store || f.UncompressedSize64 > left {
			return nil, fmt.Errorf("%q is not stored plainly", f.Name)
		}
		left -= f.UncompressedSize64
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		d, err := io.ReadAll(io.LimitReader(r, custody.MaxDocument+1))
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("%q: %w", f.Name, err)
		}
		if len(d) > custody.MaxDocument || uint64(len(d)) != f.UncompressedSize64 {
			return nil, fmt.Errorf("%q is too long, or not as long as it says", f.Name)
		}
		list = append(list, part{f.Name, d})
	}
	again, err := pack(list)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, errors.New("bytes were changed outside its parts")
	}
	return list, nil
}

// load splits a bundle's parts by their names; the index comes last.
func load(list []part) (*Bundle, *custody.Signed[Proof], error) {
	if len(list) == 0 || list[len(list)-1].name != indexName {
		return nil, nil, errors.New("it has no index at its end")
	}
	index, err := custody.Parse[Proof](list[len(list)-1].data)
	if err != nil {
		return nil, nil, err
	}
	list = list[:len(list)-1]
	if !slices.EqualFunc(list, index.Body.Parts, func(f part, p Part) bool {
		return f.name == p.Name && sha256.Sum256(f.data) == p.SHA256
	}) {
		return nil, nil, errors.New("its parts are not those of its index")
	}
	var b Bundle
	known := map[custody.Hash][]byte{}
	for _, f := range list {
		dir, rest, _ := strings.Cut(f.name, "/")
		switch dir {
		case readmeName:
		case "grant.cbor":
			b.Grant = f.data
		case "package":
			b.Packages = append(b.Packages, f.data)
			if p, err := custody.Parse[custody.KeyPackage](f.data); err == nil {
				known[p.Hash] = f.data
			}
		case "revocation":
			b.Revocations = append(b.Revocations, f.data)
		case "request", "release":
			var docs batch
			if err := custody.Unmarshal(f.data, &docs); err != nil {
				return nil, nil, fmt.Errorf("%q: %w", f.name, err)
			}
			if dir == "release" {
				b.Releases = append(b.Releases, docs.Docs...)
				continue
			}
			for _, d := range docs.Docs {
				whole, err := fatten(d, b.Grant, known)
				if err != nil {
					whole = d // a request that is none, which is found out later
				}
				b.Requests = append(b.Requests, whole)
			}
		case "log":
			var e Extract
			if err := custody.Unmarshal(f.data, &e); err != nil {
				return nil, nil, err
			}
			if strings.HasSuffix(rest, "/0001.cbor") {
				b.Logs = append(b.Logs, e)
				continue
			}
			if len(b.Logs) == 0 {
				return nil, nil, errors.New("a log without its beginning")
			}
			last := &b.Logs[len(b.Logs)-1]
			last.Records = append(last.Records, e.Records...)
		default:
			return nil, nil, fmt.Errorf("%q has no meaning", f.name)
		}
	}
	return &b, index, nil
}
