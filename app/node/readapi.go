// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	mux.HandleFunc("POST "+pathRead, func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		defer s.calls.Done()
		a := &answer{w: w, rc: http.NewResponseController(w), codec: s.codec}
		w.Header().Set("Content-Type", contentType)
		var o ReadOrder
		if err := s.read(a, r, &o); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			a.last(frame{Error: toWire(err)})
			return
		}
		var f frame
		report, err := s.api.Read(r.Context(), o, frameWriter{a})
		if err != nil {
			f.Error = toWire(err)
		}
		raw, err := s.codec.enc.Marshal(report)
		if err == nil {
			f.Result = raw
		}
		a.last(f)
	})
}

func (c *client) Read(ctx context.Context, o ReadOrder, w io.Writer) (ReadReport, error) {
	var report ReadReport
	body, err := c.codec.enc.Marshal(o)
	if err != nil {
		return report, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+pathRead, bytes.NewReader(body))
	if err != nil {
		return report, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return report, orCanceled(ctx, lostCall(err))
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != contentType {
		return report, fmt.Errorf("%w: it answers %s", ErrOtherVersion, resp.Status)
	}
	dec := c.codec.dec.NewDecoder(resp.Body)
	for {
		var f frame
		if err := dec.Decode(&f); err != nil {
			return report, orCanceled(ctx, lostAnswer(err))
		}
		if f.Result == nil && f.Error == nil {
			if _, err := w.Write(f.Data); err != nil {
				return report, err
			}
			report.Bytes += int64(len(f.Data))
			continue
		}
		if f.Result != nil {
			if err := c.codec.dec.Unmarshal(f.Result, &report); err != nil {
				return report, fmt.Errorf("%w: %w", ErrOtherVersion, err)
			}
		}
		if f.Error != nil {
			return report, fromWire(f.Error)
		}
		return report, nil
	}
}
