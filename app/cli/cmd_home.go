// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/vault"
)

// serveWait is how long serve waits for a command that has the home open.
const serveWait = 10 * time.Second

func (a *app) initCommand() *cobra.Command {
	var name, offer string
	var listen []string
	var how sealFlags
	var lang string
	var printWords bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make this machine's home",
		Long: `Make a home folder: this machine's identity, the key to your files and the
settings. A home that is there already is never touched.

The offer is how much of this machine's disk the circle may use. The last
part of the disk stays free whatever the offer.

Everything secret or telling in the home is encrypted. Its key is kept by the
system's keychain; where there is none, behind a passphrase you choose, or,
with nobody to ask, in a file beside it. --with chooses.`,
		Example: `  preezm init --name "study laptop" --offer 200GB`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.json && printWords {
				return usagef("'preezm words show --json --print-words' gives the words as JSON; init prints another document")
			}
			words := cmp.Or(identity.Lang(lang), identity.English)
			if !slices.Contains(identity.Langs, words) {
				return usagef("--words-language %q: %v", lang, identity.ErrLang)
			}
			o := node.InitOptions{Name: name, Listen: listen, Keychain: a.keychain(), WordsLanguage: identity.Lang(lang)}
			var err error
			if o.Seal, err = a.firstSeal(how); err != nil {
				return err
			}
			if o.Offer, err = parseOffer(offer); err != nil {
				return err
			}
			home, err := a.home()
			if err != nil {
				return err
			}
			if err := node.Init(home, o); err != nil {
				return err
			}
			if err := a.printInit(home); err != nil {
				return err
			}
			if _, screen := a.terminal(a.out); (!screen || a.json) && !printWords {
				return nil // status reminds of the words
			}
			open := a.options()
			if o.Seal.By == vault.ByPassphrase {
				open.Passphrase = func() ([]byte, error) { return o.Seal.Passphrase, nil }
			}
			api, err := node.Connect(cmd.Context(), home, open)
			if err != nil {
				return err
			}
			return errors.Join(a.firstWords(cmd.Context(), api, words, printWords), api.Close())
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what others call this machine (default: its host name)")
	cmd.Flags().StringVar(&offer, "offer", "", "`bytes` offered to the circle, such as 200GB; 0 for none (default 100 GB)")
	cmd.Flags().StringSliceVar(&listen, "listen", nil, "`host:port` to listen on (default: port 24930 of every network)")
	how.add(cmd)
	addLang(cmd, &lang)
	cmd.Flags().BoolVar(&printWords, "print-words", false, "print the 24 words although this is no screen")
	return cmd
}

func (a *app) printInit(home string) error {
	device, s, err := node.Who(home)
	if err != nil {
		return err
	}
	by, err := node.KeyKeptBy(home)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			Device peers.DeviceID `json:"device"`
			Name   string         `json:"name"`
			Home   string         `json:"home"`
			Offer  int64          `json:"offer"`
			Key    vault.By       `json:"key"`
		}{device, s.Name, home, max(s.Offer, 0), by})
	}
	offers := "nothing"
	if s.Offer > 0 {
		offers = size(s.Offer)
	}
	return errors.Join(
		a.say("The home of %q is ready in %s.", s.Name, printable(home)),
		a.say("Device ID  %s", device),
		a.say("Offers     %s to the circle", offers),
		a.say("Key        %s", keptBy(by)),
		a.say(""),
		a.say("Next: 'preezm serve' runs it; 'preezm invite' prints a code for a friend."),
		a.say("Until somebody keeps for you, the list of your files is on this machine alone. After that a copy is in your circle; 'preezm recover' and your 24 words bring it back ('preezm words show')."),
	)
}

// parseOffer reads --offer; empty is 0, the node's own default.
func parseOffer(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return 0, usagef("--offer %q is not a size; write it like 200GB", s)
	}
	if n == 0 {
		return node.OfferNothing, nil
	}
	return int64(n), nil
}

func (a *app) idCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "id",
		Short:   "Print this machine's device ID",
		Example: `  preezm id`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			device, s, err := node.Who(home)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Device peers.DeviceID `json:"device"`
					Name   string         `json:"name"`
					Home   string         `json:"home"`
				}{device, s.Name, home})
			}
			return a.say("%s", device)
		},
	}
}

func (a *app) serveCommand() *cobra.Command {
	var listen []string
	var offer string
	var noDiscovery, verbose, noMapping, noQUIC bool
	var relay, discovery string
	var announce []string
	var clockShift, clockShiftAfter, careEvery time.Duration
	var custodian bool
	var lockAfter string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run this home: keep for others, and repair your own",
		Long: `Run this home until it is stopped (Ctrl-C, or SIGTERM): it keeps pieces for
the circle, lets invited machines join, and repairs your own files when
machines come back. Other commands find it and work through it.

Who invites this machine can also ask it to be a custodian: to say, with
others, whether a granted file may still be opened. It can read none of it.

A machine that is always on and reached from everywhere can serve its circle
with --relay and --discovery, for those whose routers let nobody in. These are
Syncthing's own servers, run beside this program for your circle alone; no
public server is ever used.

--listen, --offer, --custodian, --relay, --discovery, --announce, --no-mapping
and --no-quic are remembered in the home.`,
		Example: `  preezm serve
  preezm serve --listen 192.168.1.10:24930 --offer 1TB
  preezm serve --relay --discovery --announce home.example.org:24930
  preezm serve --relay=off`,
		Args: func(cmd *cobra.Command, args []string) error {
			for _, flag := range []string{"relay", "discovery"} {
				if len(args) > 0 && cmd.Flags().Changed(flag) {
					return usagef("unexpected argument %q; does it belong to --%s? Then write --%s=%s", args[0], flag, flag, args[0])
				}
			}
			return noArgs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := a.options()
			o.Role, o.Wait, o.Listen, o.NoDiscovery = node.RoleServe, serveWait, listen, noDiscovery
			var err error
			if o.Offer, err = parseOffer(offer); err != nil {
				return err
			}
			o.CareEvery = careEvery
			if clockShift != 0 {
				// What setting this machine's clock wrong would do, without
				// doing it to all its programs.
				started := time.Now()
				o.Clock = func() time.Time {
					if now := time.Now(); now.Sub(started) < clockShiftAfter {
						return now
					}
					return time.Now().Add(clockShift)
				}
			}
			if cmd.Flags().Changed("lock-after") {
				after, err := parseLockAfter(lockAfter)
				if err != nil {
					return err
				}
				o.LockAfter = &after
			}
			if cmd.Flags().Changed("custodian") {
				o.Custodian = &custodian
			}
			if cmd.Flags().Changed("relay") {
				o.Net.Relay = server(relay)
			}
			if cmd.Flags().Changed("discovery") {
				o.Net.Discovery = server(discovery)
			}
			if cmd.Flags().Changed("announce") {
				o.Net.Announce = announce
			}
			if cmd.Flags().Changed("no-mapping") {
				o.Net.NoMapping = &noMapping
			}
			if cmd.Flags().Changed("no-quic") {
				o.Net.NoQUIC = &noQUIC
			}
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelDebug
			}
			o.Logger = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
			home, err := a.home()
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), home, o)
		},
	}
	cmd.Flags().StringSliceVar(&listen, "listen", nil, "`host:port` to listen on from now on")
	cmd.Flags().StringVar(&offer, "offer", "", "`bytes` offered to the circle from now on, such as 200GB")
	cmd.Flags().BoolVar(&noDiscovery, "no-discovery", false, "do not announce or look for machines on the local network")
	cmd.Flags().StringVar(&relay, "relay", "", "run a relay for the circle from now on, on `host:port` (:22067 when none is given; 'off' ends it)")
	cmd.Flags().StringVar(&discovery, "discovery", "", "run a discovery server for the circle from now on, on `host:port` (:24932 when none is given; 'off' ends it)")
	cmd.Flags().Lookup("relay").NoOptDefVal = node.DefaultRelay
	cmd.Flags().Lookup("discovery").NoOptDefVal = node.DefaultDiscovery
	cmd.Flags().StringSliceVar(&announce, "announce", nil, "`host:port` to tell others from now on, such as a port that your router passes on")
	cmd.Flags().BoolVar(&noMapping, "no-mapping", false, "do not ask the router to open a port, from now on")
	cmd.Flags().BoolVar(&noQUIC, "no-quic", false, "use no UDP to reach machines behind routers, from now on")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log everything on standard error")
	cmd.Flags().StringVar(&lockAfter, "lock-after", "", "from now on lock your part after this `time` without use, such as 15m; 0 for never")
	cmd.Flags().BoolVar(&custodian, "custodian", true, "be a custodian for those who ask, from now on")
	cmd.Flags().DurationVar(&clockShift, "clock-shift", 0, "run as if the clock were wrong by this `duration` (for tests)")
	cmd.Flags().DurationVar(&clockShiftAfter, "clock-shift-after", 0, "have --clock-shift begin this `duration` after the start (for tests)")
	cmd.Flags().Lookup("clock-shift").Hidden = true
	cmd.Flags().DurationVar(&careEvery, "care-every", 0, "the least `time` between two looks at the keepers of those that this machine repairs for (for tests)")
	cmd.Flags().Lookup("care-every").Hidden = true
	cmd.Flags().Lookup("clock-shift-after").Hidden = true
	return cmd
}

// server reads --relay and --discovery.
func server(at string) *string {
	if at == "off" {
		at = ""
	}
	return &at
}

// serve runs a node until ctx ends and prints one line, or one JSON document,
// once it answers.
func (a *app) serve(ctx context.Context, home string, o node.Options) error {
	return node.Run(ctx, home, o, func(n *node.Node) {
		if told := a.printServing(ctx, n); told != nil && ctx.Err() == nil {
			a.note("preezm: %s", oneLine(told.Error()))
		}
	})
}

func (a *app) printServing(ctx context.Context, n *node.Node) error {
	about, err := n.About(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(about)
	}
	if about.Locked {
		a.note("Your part of it is locked: 'preezm unlock' opens it. It keeps for others meanwhile.")
	}
	return a.say("%q serves on %s (process %d). Stop it with Ctrl-C.", about.Name, strings.Join(about.Addresses, ", "), about.PID)
}

// buildVersion is what the build was told, else what the Go toolchain noted.
func buildVersion(told string) string {
	if told != "" {
		return told
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	v := "devel"
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v += "-" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			v += "-modified"
		}
	}
	return v
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the program's version",
		Example: `  preezm version --json`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(struct {
					Version string `json:"version"`
					Go      string `json:"go"`
					System  string `json:"system"`
					Window  bool   `json:"window"`
				}{a.version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, a.window != nil})
			}
			return a.say("preezm %s (%s/%s, %s)", a.version, runtime.GOOS, runtime.GOARCH, runtime.Version())
		},
	}
}

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion bash|zsh|fish|powershell",
		Short:     "Print a script that completes commands in your shell",
		Example:   "  preezm completion bash > ~/.local/share/bash-completion/completions/preezm\n  preezm completion zsh > \"${fpath[1]}/_preezm\"\n  preezm completion fish > ~/.config/fish/completions/preezm.fish",
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("name one shell: %s", strings.Join(shells, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var buf bytes.Buffer
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&buf, true)
			case "zsh":
				err = root.GenZshCompletion(&buf)
			case "fish":
				err = root.GenFishCompletion(&buf, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(&buf)
			default:
				return usagef("there is no completion for %q; name one of %s", args[0], strings.Join(shells, ", "))
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Shell  string `json:"shell"`
					Script string `json:"script"`
				}{args[0], buf.String()})
			}
			_, err = a.out.Write(buf.Bytes())
			return err
		},
	}
}
