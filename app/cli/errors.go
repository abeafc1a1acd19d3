// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/vault"
)

// usageError is a command line that makes no sense; exit status 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// saidError is a failure whose details are on the screen already, told in one
// last sentence.
type saidError struct{ text string }

func (e *saidError) Error() string { return e.text }

// noEmptyArgs refuses arguments without a letter, with all commands: one comes from
// a variable that has no value, and as a path it would be the present folder.
func noEmptyArgs(cmd *cobra.Command) {
	inner := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if slices.Contains(args, "") {
			return usagef("an argument is empty; does it come from a variable that has no value?")
		}
		if home := cmd.Flag("home"); home != nil && home.Changed && home.Value.String() == "" {
			return usagef("--home is empty; does it come from a variable that has no value? Name a folder, or leave --home out")
		}
		if inner == nil {
			return nil
		}
		return inner(cmd, args)
	}
	for _, c := range cmd.Commands() {
		noEmptyArgs(c)
	}
}

// noArgs and the like are cobra's with our exit status and words.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

func atLeastOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("which %s? Name at least one", what)
		}
		return nil
	}
}

// explain turns an error into one sentence for a person that names the thing
// and the remedy. It is the only place that knows which remedy goes with
// which error.
func (a *app) explain(err error) string {
	text := plainer(err)
	with := func(remedy string) string { return text + ". " + remedy }
	home, herr := a.home()
	if herr != nil {
		home = "the home folder"
	}
	home = printable(home)

	var said *saidError
	var busy *node.BusyError
	switch {
	case errors.As(err, &said):
		return oneLine(said.text)
	case errors.As(err, &busy):
		return explainBusy(busy, home)
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, node.ErrNoHome):
		return fmt.Sprintf("there is no Preezm home in %s yet: make one with 'preezm init', or name another folder with --home", home)
	case errors.Is(err, node.ErrHomeExists):
		return fmt.Sprintf("%s already holds a Preezm home; nothing was changed. Name another folder with --home to make a second one", home)
	case errors.Is(err, node.ErrHomeBusy):
		return "another process is using " + home + ": wait until it is done"
	case errors.Is(err, vault.ErrNeedPassphrase), errors.Is(err, node.ErrLocked):
		return "this home is locked: where 'preezm serve' runs, 'preezm unlock' opens it; else its passphrase is asked for at a terminal, and a script gives it in $PREEZM_PASSPHRASE or with --passphrase-file"
	case errors.Is(err, node.ErrWordsGone), errors.Is(err, node.ErrNothingRuns), errors.Is(err, node.ErrWindowRuns):
		return text
	case errors.Is(err, vault.ErrPassphrase):
		return text + "; nothing was opened"
	case errors.Is(err, node.ErrSettings):
		return with("Nothing was changed")
	case errors.Is(err, node.ErrNoAnswer):
		return with("Stop the running preezm and start it again; nothing that was kept is lost")
	case errors.Is(err, node.ErrOtherVersion):
		return with("Stop the running preezm and start the new one")
	case errors.Is(err, grants.ErrNoCustodians):
		return "nobody is your custodian yet: 'preezm custodians add NAME' asks a machine of your circle to be one"
	case errors.Is(err, grants.ErrNoGateway):
		return "which machine of your circle may the company see? Name it with --via; it learns the address of that one only"
	case errors.Is(err, node.ErrWaiting):
		return with("Try again later, or with --wait 72h: the same request goes on and counts once")
	case errors.Is(err, grants.ErrSensitive):
		return with("Say it with --explicit, or refuse")
	case errors.Is(err, brand.ErrOffice):
		return with("Is 'preezm serve' running there, and is the network up? A new code of the office ('preezm brand join CODE') tells this machine its new address")
	case errors.Is(err, brand.ErrNoBrand):
		return "this home is not a company's: 'preezm brand init --name NAME' makes it one"
	case errors.Is(err, brand.ErrExists):
		return "this home is a company's already; nothing was changed"
	case errors.Is(err, brand.ErrUnknown):
		return with("'preezm grants received' shows what was")
	case errors.Is(err, peers.ErrNoCustodian):
		return with("It must run 'preezm serve', in a version that can be a custodian, and allow that role")
	case errors.Is(err, engine.ErrNoKeepers):
		return "your circle has no machine to keep files yet: 'preezm invite' prints a code for a friend, 'preezm join CODE' uses one you were given"
	case errors.Is(err, engine.ErrTooFewKeepers):
		return with("'preezm circle' shows which machines answer and how much room they have left")
	case errors.Is(err, engine.ErrNotTrashed):
		return with("'preezm trash list' shows what is")
	case errors.Is(err, engine.ErrNotThen):
		return with("'preezm versions NAME' shows since when a file is kept, 'preezm ls --at MOMENT' what was kept then")
	case errors.Is(err, engine.ErrNotFound):
		return with("'preezm ls' shows what is kept")
	case errors.Is(err, engine.ErrExists), isInvite(err):
		return text // says the remedy itself
	case errors.Is(err, engine.ErrInvalidPath):
		return with("Names have parts separated by '/', none of them empty, '.' or '..'")
	}
	return explainOutside(err, text, with)
}

// plainer is an error in one line, without what only a programmer wants to know:
// which call of the system failed, and where in the program.
func plainer(err error) string {
	text := strings.TrimPrefix(oneLine(err.Error()), "catalog: ")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) {
		for _, call := range []string{"open ", "lstat ", "stat ", "mkdir "} {
			if rest, ok := strings.CutPrefix(text, call); ok {
				return rest
			}
		}
	}
	return text
}

// isInvite tells errors about invite codes.
func isInvite(err error) bool {
	for _, e := range []error{circle.ErrInviteCode, circle.ErrInviteExpired, circle.ErrInviteUsed, circle.ErrInviteUnknown, circle.ErrTooManyPeers} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// explainOutside is about keepers, disks and the system.
func explainOutside(err error, text string, with func(string) string) string {
	switch {
	case errors.Is(err, peers.ErrQuota):
		return with("Ask its owner to offer more, or invite another machine; the same command then goes on from where it stopped")
	case errors.Is(err, peers.ErrDiskFull):
		return with("Once there is room again, the same command goes on from where it stopped")
	case errors.Is(err, peers.ErrUnreachable):
		return with("Is 'preezm serve' running there, and is the network up?")
	case errors.Is(err, peers.ErrRefused):
		return with("It may have removed this machine from its circle; a new invite lets it in again")
	case errors.Is(err, peers.ErrDamaged):
		return with("'preezm verify' finds out what else is affected")
	case errors.Is(err, peers.ErrProtocol):
		return with("Both machines should run the same version ('preezm version')")
	case errors.Is(err, syscall.ENOSPC) && strings.Contains(text, "make room"):
		return text // says the remedy itself
	case errors.Is(err, syscall.ENOSPC):
		return with("This machine's disk is full; make room and repeat the command")
	case errors.Is(err, syscall.EADDRINUSE):
		return with("Another program uses that address; choose another with --listen")
	case errors.Is(err, fs.ErrPermission):
		return with("You are not allowed to open that; check who owns it")
	case errors.Is(err, context.DeadlineExceeded):
		return with("It took too long; try again")
	}
	return text
}

func explainBusy(e *node.BusyError, home string) string {
	switch {
	case e.PID == 0:
		return "another process is using " + home + ": wait until it is done"
	case e.Role == node.RoleCommand:
		return fmt.Sprintf("another preezm command (process %d) is working in %s: wait until it is done. With 'preezm serve' running, several can work at once", e.PID, home)
	case e.Role == node.RoleWindow:
		return fmt.Sprintf("the Preezm window (process %d) already runs %s: close it first, or name another folder with --home", e.PID, home)
	}
	return fmt.Sprintf("another preezm (process %d) already serves %s: stop it first, or name another folder with --home", e.PID, home)
}
