// SPDX-License-Identifier: MPL-2.0

package node

import (
	"errors"
	"fmt"
)

// Errors a caller decides on.
var (
	// ErrNoHome: the folder holds no Preezm home yet.
	ErrNoHome = errors.New("no Preezm home here")
	// ErrHomeExists: Init would overwrite a home.
	ErrHomeExists = errors.New("a Preezm home is already here")
	// ErrHomeBusy: another process has the home open; see [BusyError].
	ErrHomeBusy = errors.New("the home is in use by another process")
	// ErrNotServing: Dial found no running node for the home.
	ErrNotServing = errors.New("no node is running for this home")
	// ErrNoAnswer: a node holds the socket and does not answer.
	ErrNoAnswer = errors.New("the running node does not answer")
	// ErrOtherVersion: the running node is of a version that does not
	// understand this one.
	ErrOtherVersion = errors.New("the running node is of another version")
	// ErrBadRequest: the local socket got something that is not a request.
	ErrBadRequest = errors.New("malformed request")
	// ErrGrantRefused: too many custodians said no, or their gateway says so;
	// the report has the reason.
	ErrGrantRefused = errors.New("it cannot be opened")
	// ErrWaiting: too few custodians answer now, and not too many refused.
	ErrWaiting = errors.New("not enough custodians answer")
	// ErrSettings: home.json cannot be used as it is.
	ErrSettings = errors.New("the settings of this home cannot be read")
	// ErrLocked: the owner's part of the home is shut.
	ErrLocked = errors.New("this home is locked: 'preezm unlock' opens it with your passphrase")
	// ErrOtherOwner: the home has the keys of another person already.
	ErrOtherOwner = errors.New("these 24 words are not those of this home")
	// ErrNoCircle: a home that keeps files with others has lost its circle.
	ErrNoCircle = errors.New("the list of your circle is missing, and without it nobody knows where your pieces are: put circle.json back from a copy of this home; nothing was changed")
	// ErrNoCatalog: a home that has been used has lost its catalog.
	ErrNoCatalog = errors.New("the catalog, which knows what is kept and where, is missing or empty: put it back from a copy of this home; nothing was changed")
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
