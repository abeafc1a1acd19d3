// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/preezm/preezm/engine"
)

// ReadAPI is the part of API that reads a kept file without bringing it back.
type ReadAPI interface {
	// Read writes a range of a file to w, as it comes from the circle; every
	// byte was authenticated. It returns what it wrote also with an error.
	Read(ctx context.Context, o ReadOrder, w io.Writer) (ReadReport, error)
}

// ReadOrder is a range of a file, as it is kept now or as When says.
type ReadOrder struct {
	Path   engine.Path
	When   engine.When
	Offset int64 // past the end is nothing
	Length int64 // negative: to the end
}

// ReadReport is what Read did.
type ReadReport struct {
	Size  int64 `json:"size"` // of the whole file
	Bytes int64 `json:"bytes"`
}

// readPiece bounds what is written at once, in bytes.
const readPiece = 256 << 10

// Read writes a range of a file to w.
func (n *Node) Read(ctx context.Context, o ReadOrder, w io.Writer) (ReadReport, error) {
	if o.Offset < 0 {
		return ReadReport{}, fmt.Errorf("%w: an offset before the beginning", ErrBadRequest)
	}
	f, err := n.engine.Open(ctx, o.Path, o.When)
	if err != nil {
		return ReadReport{}, err
	}
	defer f.Close()
	r := ReadReport{Size: f.Size()}
	length := max(f.Size()-o.Offset, 0)
	if o.Length >= 0 {
		length = min(length, o.Length)
	}
	section := io.NewSectionReader(f, o.Offset, length)
	// A section's own WriteTo would read in pieces of another size.
	r.Bytes, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{section}, make([]byte, readPiece))
	return r, err
}

const pathRead = "/v1/read"

// frameWriter sends what is written as frames.
type frameWriter struct{ a *answer }

func (w frameWriter) Write(p []byte) (int, error) {
	// A reader that stopped for good must not hold the file open for ever; one
	// that is only slow, such as a pager, is waited for.
	if err := w.a.rc.SetWriteDeadline(time.Now().Add(readPatience)); err != nil {
		return 0, err
	}
	if err := w.a.write(frame{Data: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// readPatience is how long a local reader may leave what it asked for.
const readPatience = time.Hour

func (s *localServer) readCalls(mux *http.ServeMux) {
	serveCall(mux, s, pathRead, func(ctx context.Context, o ReadOrder, a *answer) (ReadReport, error) {
		return s.api.Read(ctx, o, frameWriter{a})
	})
}

func (c *client) Read(ctx context.Context, o ReadOrder, w io.Writer) (ReadReport, error) {
	var report ReadReport
	err := exchange(ctx, c, pathRead, o, math.MaxInt64, &report, func(f *frame) (bool, error) {
		if f.Result != nil || f.Error != nil {
			return true, nil
		}
		if _, err := w.Write(f.Data); err != nil {
			return false, err
		}
		report.Bytes += int64(len(f.Data))
		return false, nil
	})
	return report, err
}
