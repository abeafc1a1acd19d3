// SPDX-License-Identifier: MPL-2.0

package node

import (
	"fmt"

	"github.com/preezm/preezm/peers/said"
)

// Errors a caller decides on.
var (
	// ErrNoHome: the folder holds no Preezm home yet.
	ErrNoHome = said.Error("no-home", "no Preezm home here")
	// ErrHomeExists: Init would overwrite a home.
	ErrHomeExists = said.Error("home-exists", "a Preezm home is already here")
	// ErrHomeBusy: another process has the home open; see [BusyError].
	ErrHomeBusy = said.Error("home-busy", "the home is in use by another process")
	// ErrNotServing: Dial found no running node for the home.
	ErrNotServing = said.Error("not-serving", "no node is running for this home")
	// ErrNoAnswer: a node holds the socket and does not answer.
	ErrNoAnswer = said.Error("no-answer", "the running node does not answer")
	// ErrOtherVersion: the running node is of a version that does not
	// understand this one.
	ErrOtherVersion = said.Error("other-version", "the running node is of another version")
	// ErrBadRequest: the local socket got something that is not a request.
	ErrBadRequest = said.Error("bad-request", "malformed request")
	// ErrGrantRefused: too many custodians said no, or their gateway says so;
	// the report has the reason.
	ErrGrantRefused = said.Error("grant-refused", "it cannot be opened")
	// ErrWaiting: too few custodians answer now, and not too many refused.
	ErrWaiting = said.Error("grant-waiting", "not enough custodians answer")
	// ErrSettings: home.json cannot be used as it is.
	ErrSettings = said.Error("settings", "the settings of this home cannot be read")
	// ErrLocked: the owner's part of the home is shut.
	ErrLocked = said.Error("locked", "this home is locked: 'preezm unlock' opens it with your passphrase")
	// ErrOtherOwner: the home has the keys of another person already.
	ErrOtherOwner = said.Error("other-owner", "these 24 words are not those of this home")
	// ErrNoCircle: a home that keeps files with others has lost its circle.
	ErrNoCircle = said.Error("no-circle", "the list of your circle is missing, and without it nobody knows where your pieces are: put circle.json back from a copy of this home; nothing was changed")
	// ErrNoCatalog: a home that has been used has lost its catalog.
	ErrNoCatalog = said.Error("no-catalog", "the catalog, which knows what is kept and where, is missing or empty: put it back from a copy of this home; nothing was changed")
)

// BusyError says which process has the home open. It is an ErrHomeBusy.
type BusyError struct {
	Home string
	PID  int  // 0 when it could not be told
	Role Role // what the other process does with it
}

func (e *BusyError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s: %v", e.Home, ErrHomeBusy)
	}
	return fmt.Sprintf("%s: %v: %d (%s)", e.Home, ErrHomeBusy, e.PID, e.Role)
}

// Is makes errors.Is(err, ErrHomeBusy) hold.
func (e *BusyError) Is(target error) bool { return target == ErrHomeBusy }

// Said gives the sentence its code.
func (e *BusyError) Said() said.Note { return said.By(ErrHomeBusy) }
