// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/mailbox"
	"github.com/preezm/preezm/peers/rpc"
)

// Kinds of messages.
const (
	// mailNotice is text for the other person, at most maxNotice bytes.
	mailNotice = "notice"
	maxNotice  = 4000
	// mailRevocation is a withdrawal, for a custodian.
	mailRevocation = "revocation"

	mailFolder = "mail"
)

// MailAPI is the part of API about small messages that wait for machines which
// are away.
type MailAPI interface {
	// SendNotice sends a text to a machine of the circle.
	SendNotice(ctx context.Context, o NoticeOrder) (NoticeSent, error)
	// Mail gives what came, and what is on its way.
	Mail(ctx context.Context) (*Mail, error)
}

// NoticeOrder is a text for a machine, by its name or device ID.
type NoticeOrder struct {
	To    string        `json:"to"`
	Text  string        `json:"text"`
	Lasts time.Duration `json:"lasts_ns,omitempty"` // 0: 72 hours
}

// NoticeSent is what became of it so far.
type NoticeSent struct {
	Name      string `json:"name"`
	Delivered bool   `json:"delivered"`
	Keepers   int    `json:"keepers"` // machines where it waits
}

// Mail is what came, and what is on its way.
type Mail struct {
	Notices  []Notice     `json:"notices"`
	Outgoing []NoticeSent `json:"outgoing"`
	Held     int          `json:"held"` // messages that wait here for others
	Bytes    int64        `json:"held_bytes"`
}

// Notice is a text that came.
type Notice struct {
	From peers.DeviceID `json:"from"`
	Name string         `json:"name"`
	At   time.Time      `json:"at"`
	Text string         `json:"text"`
}

// openMail opens the mail, before the network service that carries it.
func (n *Node) openMail(o Options, cfg *rpc.Config) error {
	box, err := mailbox.Open(mailbox.Config{
		Dir: filepath.Join(n.home, mailFolder), Vault: n.box, Device: n.device, Sign: n.keys.Sign, KEM: n.keys.KEM, Book: n.book,
		Peer: func(d peers.DeviceID) (mailbox.Courier, error) { return n.peer(d) },
		Online: func() []peers.DeviceID {
			if !n.serving.Load() {
				return nil // a command asks everybody
			}
			out := []peers.DeviceID{}
			for _, r := range n.net.Touch() {
				if r.Online {
					out = append(out, r.Device)
				}
			}
			return out
		},
		Push:    func(d peers.DeviceID) { n.pushMail(d) },
		Deliver: map[string]func(context.Context, mailbox.Letter) error{mailRevocation: n.takeRevocation},
		Now:     n.now, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	n.mail = box
	if o.Role != RoleCommand {
		cfg.Mail = box
	}
	return nil
}

// takeRevocation gives a withdrawal that waited to this machine's custodian.
func (n *Node) takeRevocation(ctx context.Context, l mailbox.Letter) error {
	if n.witness == nil || n.settings.NoWitness {
		return nil // nobody here to whom it means anything
	}
	_, err := n.witness.Answer(ctx, "revoke", l.From, l.Body)
	if err != nil && ctx.Err() == nil {
		n.log.Info("a withdrawal that waited was not taken", "from", l.From.Short(), "err", err)
		return nil // it is no better the next time
	}
	return err
}

// leaveRevocation leaves a withdrawal for the custodians that do not answer
// now: they hear of it when they are back, also when this machine is off then.
func (n *Node) leaveRevocation(ctx context.Context, e *grants.Errand) {
	for _, d := range e.Untold {
		if _, err := n.mail.Send(ctx, d, mailRevocation, e.Revocation, mailbox.MaxTime); err != nil {
			n.log.Info("leave a withdrawal", "for", d.Short(), "err", err)
		}
	}
}

// SendNotice sends a text to a machine of the circle.
func (n *Node) SendNotice(ctx context.Context, o NoticeOrder) (NoticeSent, error) {
	p, err := n.named(o.To)
	if err != nil {
		return NoticeSent{}, err
	}
	text := strings.TrimSpace(o.Text)
	switch {
	case text == "":
		return NoticeSent{}, errors.New("an empty message is not sent")
	case len(text) > maxNotice || !utf8.ValidString(text):
		return NoticeSent{}, fmt.Errorf("a message is text of at most %d bytes", maxNotice)
	}
	s, err := n.mail.Send(ctx, p.Device, mailNotice, []byte(text), o.Lasts)
	return NoticeSent{Name: p.Name, Delivered: s.Delivered, Keepers: s.Keepers}, err
}

// named finds a machine of the circle by its name, or by the beginning of its
// device ID.
func (n *Node) named(who string) (circle.Peer, error) {
	var found []circle.Peer
	for _, p := range n.book.Peers() {
		if p.Name == who || len(who) >= 7 && strings.HasPrefix(p.Device.String(), strings.ToUpper(who)) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return circle.Peer{}, fmt.Errorf("%q %w", who, circle.ErrUnknownPeer)
	}
	return circle.Peer{}, fmt.Errorf("%d machines are called %q; name it by its device ID", len(found), who)
}

// Mail gives what came, and what is on its way.
func (n *Node) Mail(context.Context) (*Mail, error) {
	in, err := n.mail.Inbox()
	if err != nil {
		return nil, err
	}
	m := &Mail{Notices: []Notice{}, Outgoing: []NoticeSent{}}
	for _, l := range in {
		if l.Kind != mailNotice {
			continue // of a version that knows more kinds
		}
		m.Notices = append(m.Notices, Notice{l.From, n.nameOf(l.From), l.At, cleanText(l.Body)})
	}
	for _, s := range n.mail.Outgoing() {
		m.Outgoing = append(m.Outgoing, NoticeSent{Name: n.nameOf(s.To), Keepers: s.Keepers})
	}
	m.Held, m.Bytes = n.mail.Held()
	return m, nil
}

// cleanText leaves out of somebody else's text what a screen would act on.
func cleanText(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), maxNotice)]), ""))
}

// The calls of MailAPI on the local socket.
const (
	pathNotice = "/v1/mail/notice"
	pathMail   = "/v1/mail"
)

func (s *localServer) mailCalls(mux *http.ServeMux) {
	handle(mux, s, pathNotice, call1(s.api.SendNotice))
	handle(mux, s, pathMail, call0(s.api.Mail))
}

func (c *client) SendNotice(ctx context.Context, o NoticeOrder) (NoticeSent, error) {
	return invoke[NoticeSent](ctx, c, pathNotice, o, nil)
}

func (c *client) Mail(ctx context.Context) (*Mail, error) {
	return invoke[*Mail](ctx, c, pathMail, empty{}, nil)
}
