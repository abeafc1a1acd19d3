// SPDX-License-Identifier: MPL-2.0

// Package said gives what a node says to a person a code beside its English
// text. A window in another language has a sentence of its own for the code and
// fills the values in; where it has none, the English text is shown. Codes are
// literals at the call, so that a test can hold them against the catalogs of
// the window.
package said

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// Note is a sentence for a person. Reasons are at most two deep.
type Note struct {
	Text string            `json:"text"`           // in English, with all values in it
	Code string            `json:"code,omitempty"` // "" is a sentence without one
	Args map[string]string `json:"args,omitempty"` // what the sentence names
	Why  *Note             `json:"why,omitempty"`  // the reason that it gives in place of {why}
}

// As makes a note. Text has {name} where a value goes; pairs are the names and
// the values in turn.
func As(code, text string, pairs ...string) Note { return note(code, text, nil, pairs) }

// Because makes a note that gives err as its reason, in place of {why}.
func Because(err error, code, text string, pairs ...string) Note {
	return Given(By(err), code, text, pairs...)
}

// Given makes a note that gives another as its reason, in place of {why}.
func Given(why Note, code, text string, pairs ...string) Note {
	return note(code, text, &why, pairs)
}

func note(code, text string, why *Note, pairs []string) Note {
	if why != nil && why.Why != nil && why.Why.Why != nil {
		cut := *why.Why
		cut.Why = nil // the text has it all
		whole := *why
		whole.Why, why = &cut, &whole
	}
	n := Note{Code: code, Why: why}
	for i := 0; i+1 < len(pairs); i += 2 {
		if n.Args == nil {
			n.Args = map[string]string{}
		}
		n.Args[pairs[i]] = pairs[i+1]
	}
	reason := ""
	if why != nil {
		reason = why.Text
	}
	n.Text = Fill(text, func(name string) (string, bool) {
		if name == "why" && why != nil {
			return reason, true
		}
		v, ok := n.Args[name]
		return v, ok
	})
	return n
}

// Fill puts values in for {name}; a name without a value stays as it is. What a
// value holds is never looked at again.
func Fill(s string, value func(name string) (string, bool)) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(s[open:], '}')
		if end < 0 {
			break
		}
		b.WriteString(s[:open])
		whole := s[open : open+end+1]
		if v, ok := value(whole[1 : len(whole)-1]); ok {
			whole = v
		}
		b.WriteString(whole)
		s = s[open+end+1:]
	}
	b.WriteString(s)
	return b.String()
}

// String is the English text.
func (n Note) String() string { return n.Text }

// IsZero tells a note that says nothing.
func (n Note) IsZero() bool { return n.Text == "" && n.Code == "" }

// MarshalJSON writes the text alone: programs have read these fields as text
// since before there were codes. The node's local protocol carries all of it.
func (n Note) MarshalJSON() ([]byte, error) { return json.Marshal(n.Text) }

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Note) UnmarshalJSON(b []byte) error {
	*n = Note{}
	return json.Unmarshal(b, &n.Text)
}

// failure is an error with a note.
type failure struct {
	note Note
	err  error // what it wraps, nil: nothing
}

func (f *failure) Error() string { return f.note.Text }
func (f *failure) Unwrap() error { return f.err }
func (f *failure) Said() Note    { return f.note }

// Error makes an error with a code, as [As] does a note.
func Error(code, text string, pairs ...string) error {
	return &failure{note: As(code, text, pairs...)}
}

// Wrap makes an error with a code that wraps err; the text may have {why} where
// the text of err goes.
func Wrap(err error, code, text string, pairs ...string) error {
	return &failure{note: Because(err, code, text, pairs...), err: err}
}

// By is what an error says: its text as a whole, with the code of the first in
// its chain that has one. The zero note for nil.
func By(err error) Note {
	if err == nil {
		return Note{}
	}
	n, _ := find(err)
	n.Text = err.Error()
	return n
}

// find goes through the chain of an error, depth first.
func find(err error) (Note, bool) {
	if s, ok := err.(interface{ Said() Note }); ok {
		if n := s.Said(); n.Code != "" {
			return n, true
		}
	}
	if n := known(err); n.Code != "" {
		return n, true
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		if inner := u.Unwrap(); inner != nil {
			return find(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range u.Unwrap() {
			if n, ok := find(inner); ok {
				return n, true
			}
		}
	}
	return Note{}, false
}

// Known are the errors of the standard library that a person meets, by code.
func Known() map[string]error {
	return map[string]error{
		"canceled":   context.Canceled,
		"deadline":   context.DeadlineExceeded,
		"not-exist":  fs.ErrNotExist,
		"exist":      fs.ErrExist,
		"permission": fs.ErrPermission,
		"no-space":   syscall.ENOSPC,
	}
}

// known gives an error of the standard library its code. A number of the
// system's says by itself which of fs's errors it is.
func known(err error) Note {
	errno, isErrno := err.(syscall.Errno)
	for code, k := range Known() {
		if err == k || isErrno && errors.Is(errno, k) {
			return Note{Code: code}
		}
	}
	return Note{}
}
