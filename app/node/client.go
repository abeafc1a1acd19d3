// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/preezm/preezm/engine"
)

// helloTime is how long a running node may take to say who it is.
const helloTime = 10 * time.Second

// client is the API over the local socket.
type client struct {
	http  *http.Client
	codec *codec
}

// Dial reaches the running node of a home over its local socket.
// ErrNotServing when there is none, ErrNoAnswer when it is stuck.
func Dial(ctx context.Context, home string) (API, error) {
	home, err := canonicalHome(home)
	if err != nil {
		return nil, err
	}
	path := socketPath(home)
	if dir := filepath.Dir(path); dir != home {
		// Somebody else may have put a node of theirs where ours would be.
		if err := checkPrivate(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w (%s)", ErrNotServing, path)
		} else if err != nil {
			return nil, err
		}
	}
	return dialSocket(ctx, path)
}

func dialSocket(ctx context.Context, path string) (*client, error) {
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
	}
	c := &client{&http.Client{Transport: tr}, codec}
	hello, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	if _, err := c.About(hello); err != nil {
		c.Close()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case nobodyListens(err):
			return nil, fmt.Errorf("%w (%s)", ErrNotServing, path)
		case hello.Err() != nil:
			return nil, fmt.Errorf("%w within %v (%s)", ErrNoAnswer, helloTime, path)
		}
		return nil, err
	}
	return c, nil
}

// nobodyListens tells a socket that is not there, or is a dead node's, from
// other trouble.
func nobodyListens(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errConnRefused) || errors.Is(err, syscall.ENOTSOCK)
}

func (c *client) About(ctx context.Context) (About, error) {
	return invoke[About](ctx, c, pathAbout, empty{}, nil)
}

func (c *client) Invite(ctx context.Context, o InviteOptions) (Invite, error) {
	return invoke[Invite](ctx, c, pathInvite, o, nil)
}

func (c *client) Join(ctx context.Context, code string) (Member, error) {
	return invoke[Member](ctx, c, pathJoin, joinRequest{code}, nil)
}

func (c *client) Circle(ctx context.Context, probe bool) ([]Member, error) {
	return invoke[[]Member](ctx, c, pathCircle, circleRequest{probe}, nil)
}

func (c *client) Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error) {
	return invoke[*engine.PutReport](ctx, c, pathPut, o, progress)
}

func (c *client) Get(ctx context.Context, o engine.GetOptions, progress func(engine.Progress)) (*engine.GetReport, error) {
	return invoke[*engine.GetReport](ctx, c, pathGet, o, progress)
}

func (c *client) Remove(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error) {
	return invoke[*engine.RemoveReport](ctx, c, pathRemove, removeRequest{names}, nil)
}

func (c *client) Status(ctx context.Context, o engine.StatusOptions) (*engine.Status, error) {
	return invoke[*engine.Status](ctx, c, pathStatus, o, nil)
}

func (c *client) Verify(ctx context.Context, o engine.VerifyOptions, progress func(engine.Progress)) (*engine.VerifyReport, error) {
	return invoke[*engine.VerifyReport](ctx, c, pathVerify, o, progress)
}

func (c *client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// invoke makes one call. When ctx ends the connection is closed, which
// cancels the work in the node.
func invoke[Res any](ctx context.Context, c *client, path string, req any, progress func(engine.Progress)) (Res, error) {
	var res Res
	err := exchange(ctx, c, path, req, maxAnswer, &res, func(f *frame) (bool, error) {
		if f.Progress != nil && progress != nil {
			progress(*f.Progress)
		}
		return f.Progress == nil, nil
	})
	return res, err
}

// exchange sends a request and reads the answer, of at most limit bytes: take
// gets each frame and says whether it is the last, whose result goes into res.
func exchange[Res any](ctx context.Context, c *client, path string, req any, limit int64, res *Res, take func(*frame) (last bool, err error)) error {
	body, err := c.codec.enc.Marshal(req)
	if err != nil {
		return err
	}
	if len(body) > maxRequest {
		return fmt.Errorf("%w: %d bytes of names in one command, at most %d are possible: name folders instead", ErrBadRequest, len(body), maxRequest)
	}
	// The host only fills HTTP's form: the transport dials one socket.
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return orCanceled(ctx, lostCall(err))
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != contentType {
		return fmt.Errorf("%w: it answers %s", ErrOtherVersion, resp.Status)
	}
	dec := c.codec.dec.NewDecoder(io.LimitReader(resp.Body, limit))
	for {
		var f frame
		if err := dec.Decode(&f); err != nil {
			return orCanceled(ctx, lostAnswer(err))
		}
		last, err := take(&f)
		if err != nil {
			return err
		}
		if !last {
			continue
		}
		if f.Result != nil {
			if err := c.codec.dec.Unmarshal(f.Result, res); err != nil {
				return fmt.Errorf("%w: %w", ErrOtherVersion, err)
			}
		}
		if f.Error != nil {
			return fromWire(f.Error)
		}
		if f.Result == nil {
			return lostAnswer(errors.New("an empty frame"))
		}
		return nil
	}
}

// lostCall says why a call got no answer at all. net/http's own text is about
// an address that means nothing here.
func lostCall(err error) error {
	var where *url.Error
	if errors.As(err, &where) {
		err = where.Err
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w: %w", ErrNotServing, err)
	}
	return fmt.Errorf("%w: it went away (%w)", ErrNoAnswer, err)
}

// lostAnswer says why an answer ended before its last frame.
func lostAnswer(err error) error {
	var field *cbor.UnknownFieldError
	if errors.As(err, &field) {
		return fmt.Errorf("%w: %w", ErrOtherVersion, err)
	}
	return fmt.Errorf("%w: it stopped before it had answered: %w", ErrNoAnswer, err)
}

func orCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
