// SPDX-License-Identifier: MPL-2.0

// Package cli is Preezm in a terminal: one command for everything a person
// can do, each of which finds the running node of its home or opens the home
// itself. It holds no logic of its own about files and circles, only words:
// arguments in, results on standard output as text or as one JSON document,
// everything else on standard error. Exit status is 0 for done, 1 for failed
// and 2 for a command used wrongly.
package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the program with the process's arguments, streams and signals and
// gives its exit status. Version may be empty; window opens the window on a
// home and is nil in a build without one.
func Main(version string, window func(home, version string) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks, the second one kills as if nobody listened.
	defer context.AfterFunc(ctx, stop)()
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		version: buildVersion(version), window: window, getenv: os.Getenv,
	}
	return a.run(ctx, os.Args[1:])
}

// app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	version  string
	window   func(home, version string) error
	getenv   func(string) string

	homeFlag string
	json     bool

	passphraseFile string
	lines          *bufio.Reader   // of in, once a line was asked for
	stopped        <-chan struct{} // closed when the command is told to stop
}

// run executes one command line.
func (a *app) run(ctx context.Context, args []string) int {
	a.stopped = ctx.Done()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(a.err, "preezm: %s\nSee '%s --help'.\n", oneLine(err.Error()), cmd.CommandPath())
		return exitUsage
	}
	if text := a.explain(err); text != "" {
		fmt.Fprintf(a.err, "preezm: %s\n", text)
	}
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "preezm",
		Short: "Keep your files on the machines of people you trust",
		Long: `Preezm cuts your files into encrypted pieces and keeps them on the machines of
your circle: family, friends, colleagues. A few of these machines are enough
to bring everything back, and none of them can read anything.

Each machine has a home folder and runs 'preezm serve' (or the window).`,
		Example: `  preezm init --name "study laptop"   make this machine's home
  preezm serve                         run it; leave this running
  preezm invite                        print a code for a friend
  preezm put ~/Photos                  keep a folder
  preezm get Photos --to ~/Back        bring it back`,
		Args:              a.noCommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.window == nil || a.json {
				return cmd.Help()
			}
			home, err := a.home()
			if err != nil {
				return err
			}
			return a.window(home, a.version)
		},
	}
	root.PersistentFlags().StringVar(&a.homeFlag, "home", "", "home `folder` (default: $PREEZM_HOME or the system's place for settings)")
	root.PersistentFlags().StringVar(&a.passphraseFile, "passphrase-file", "", "`file` with the home's passphrase, when it has one (or $PREEZM_PASSPHRASE)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the result as one JSON document")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		text, _, _ := strings.Cut(err.Error(), ": strconv.") // which function could not read it
		return &usageError{text}
	})
	root.AddCommand(
		a.initCommand(), a.serveCommand(), a.idCommand(),
		a.inviteCommand(), a.joinCommand(), a.circleCommand(),
		a.putCommand(), a.getCommand(), a.lsCommand(), a.rmCommand(),
		a.catCommand(), a.versionsCommand(), a.restoreCommand(), a.trashCommand(), a.pruneCommand(), a.compactCommand(),
		a.watchCommand(), a.limitsCommand(),
		a.statusCommand(), a.verifyCommand(), a.auditCommand(), a.repairCommand(),
		a.custodiansCommand(), a.grantCommand(), a.grantsCommand(), a.requestsCommand(), a.revokeCommand(), a.extendCommand(), a.refreshCommand(),
		a.ledgerCommand(), a.verifyLedgerCommand(), a.proofCommand(), a.brandCommand(), a.openCommand(), a.viewCommand(),
		a.netCommand(), a.mailCommand(),
		a.backupCommand(), a.recoverCommand(), a.deviceCommand(), a.settleCommand(), a.helpersCommand(), a.careCommand(),
		a.wordsCommand(), a.sheetCommand(), a.lockCommand(), a.unlockCommand(), a.rewrapCommand(),
		a.versionCommand(), a.completionCommand(),
	)
	noEmptyArgs(root)
	return root
}

// noCommand turns a mistyped command into a usage error with a guess.
func (a *app) noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if guess := cmd.SuggestionsFor(args[0]); len(guess) > 0 {
		text += fmt.Sprintf("; did you mean %q?", guess[0])
	}
	return &usageError{text}
}

// home is the absolute path of the home folder this run is about.
func (a *app) home() (string, error) {
	if a.homeFlag != "" {
		return filepath.Abs(a.homeFlag)
	}
	return node.DefaultHome()
}

// with runs f on the home's API. Where no node runs it first hears of the
// person's other machines, and copies into the circle what f changed.
func (a *app) with(cmd *cobra.Command, f func(ctx context.Context, api node.API) error) error {
	return a.connected(cmd, func(ctx context.Context, api node.API) error {
		a.importFirst(ctx, api)
		if err := f(ctx, api); err != nil {
			return err
		}
		a.backUpAfter(ctx, api)
		return nil
	})
}

// connected runs f on the home's API alone: that of the running node, or of one
// opened for this command only.
func (a *app) connected(cmd *cobra.Command, f func(ctx context.Context, api node.API) error) (err error) {
	home, err := a.home()
	if err != nil {
		return err
	}
	api, err := node.Connect(cmd.Context(), home, a.options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, api.Close()) }()
	return f(cmd.Context(), api)
}
