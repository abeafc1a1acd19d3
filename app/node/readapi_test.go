// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/preezm/preezm/engine"
)

// readingAPI writes what it has in two pieces, then fails as told.
type readingAPI struct {
	fakeAPI
	content []byte
	err     error
	started chan struct{}
	ended   chan error
}

func (f *readingAPI) Read(ctx context.Context, o ReadOrder, w io.Writer) (ReadReport, error) {
	if f.started != nil {
		close(f.started)
		<-ctx.Done()
		f.ended <- ctx.Err()
		return ReadReport{}, ctx.Err()
	}
	half := len(f.content) / 2
	a, err := w.Write(f.content[:half])
	b, err2 := w.Write(f.content[half:])
	return ReadReport{Size: 99, Bytes: int64(a + b)}, errors.Join(err, err2, f.err)
}

func TestReadStreamsOverTheSocket(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	api := &readingAPI{content: content}
	socket, _ := serveFake(t, api)
	c, err := dialSocket(testContext(t), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got bytes.Buffer
	r, err := c.Read(testContext(t), ReadOrder{Path: "x", Length: -1}, &got)
	if err != nil || r.Size != 99 || r.Bytes != int64(len(content)) || !bytes.Equal(got.Bytes(), content) {
		t.Fatalf("%+v, %d bytes, %v", r, got.Len(), err)
	}
	// What came before a failure stands, and the failure is told.
	api.err = engine.ErrTooFewKeepers
	got.Reset()
	if _, err := c.Read(testContext(t), ReadOrder{Path: "x", Length: -1}, &got); !errors.Is(err, engine.ErrTooFewKeepers) || got.Len() != len(content) {
		t.Fatalf("%d bytes, %v", got.Len(), err)
	}
}

// A reader that goes away ends the work in the node.
func TestReadEndsWithItsReader(t *testing.T) {
	api := &readingAPI{started: make(chan struct{}), ended: make(chan error, 1)}
	socket, _ := serveFake(t, api)
	c, err := dialSocket(testContext(t), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(testContext(t))
	go func() {
		<-api.started
		cancel()
	}()
	if _, err := c.Read(ctx, ReadOrder{Path: "x"}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := <-api.ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
