// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

func (a *app) limitsCommand() *cobra.Command {
	var down, up, repairDown, repairUp, offer, battery, metered string
	var schedule []string
	var lan bool
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Show or change how polite this machine is",
		Long: `Show the limits of this machine, or change them. They hold at once, also for
what is under way, and for good.

Bandwidth is in bytes a second, down and up, for all connections together; a
schedule's first line that fits the hour goes before --down and --up. In the
local network there is no limit without --lan.

What nobody waits for (repair in the background, checks, care for others while they
are off) has rates of its own, 4.2 MB/s down and 1.0 MB/s up unless you say
otherwise; 'preezm repair' goes as fast as the line.

The lists of those that this machine repairs for ('preezm care') count against the
offer. With nothing offered they take 256 MB at most.

On battery with less than --battery percent, and on a metered network, nothing
is put from watched folders, repaired or tidied; what you ask for yourself is
done. Linux tells about batteries, and NetworkManager about metered networks.`,
		Example: `  preezm limits
  preezm limits --down 4M --up 500k
  preezm limits --schedule "mon-fri 08:00-18:00 2M/200k" --schedule "22:00-06:00 -/-"
  preezm limits --down off --up off --schedule off
  preezm limits --repair-down 1M --repair-up 200k
  preezm limits --offer 200GB --battery 50 --metered go-on`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			changed := func(name string) bool { return cmd.Flags().Changed(name) }
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				v, err := api.Limits(ctx)
				if err != nil {
					return err
				}
				o := node.LimitsOrder{Limits: v.Limits}
				any := false
				for _, f := range []struct {
					name string
					set  func() error
				}{
					{"down", func() (err error) { o.Limits.Down, err = node.ParseRate(down); return err }},
					{"up", func() (err error) { o.Limits.Up, err = node.ParseRate(up); return err }},
					{"repair-down", func() (err error) { o.Limits.RepairDown, err = readRepairRate(repairDown); return err }},
					{"repair-up", func() (err error) { o.Limits.RepairUp, err = readRepairRate(repairUp); return err }},
					{"schedule", func() (err error) { o.Limits.Schedule, err = readSchedule(schedule); return err }},
					{"lan", func() error { o.Limits.LAN = lan; return nil }},
					{"offer", func() (err error) { o.Offer, err = parseOffer(offer); return err }},
					{"battery", func() (err error) { o.Limits.Battery, err = readBattery(battery); return err }},
					{"metered", func() (err error) { o.Limits.Metered, err = readMetered(metered); return err }},
				} {
					if !changed(f.name) {
						continue
					}
					any = true
					if err := f.set(); err != nil {
						return &usageError{err.Error()}
					}
				}
				if any {
					if v, err = api.SetLimits(ctx, o); err != nil {
						return err
					}
				}
				return a.printLimits(v)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&down, "down", "", "`rate` at most from others, such as 4M; off: no limit")
	f.StringVar(&up, "up", "", "`rate` at most to others")
	f.StringVar(&repairDown, "repair-down", "", "`rate` at most from others for what nobody waits for; off: no limit, default: 4.2 MB/s")
	f.StringVar(&repairUp, "repair-up", "", "`rate` at most to others for what nobody waits for; default: 1.0 MB/s")
	f.StringArrayVar(&schedule, "schedule", nil, "`line` \"[DAYS] HH:MM-HH:MM DOWN/UP\", may be repeated; replaces the schedule, off ends it")
	f.BoolVar(&lan, "lan", false, "the limits hold in the local network too")
	f.StringVar(&offer, "offer", "", "`size` that the circle may store here, such as 200GB; 0: nothing")
	f.StringVar(&battery, "battery", "", "rest on battery below this `percentage`; never: go on")
	f.StringVar(&metered, "metered", "", "on a metered network: `rest` or go-on")
	return cmd
}

// readRepairRate reads a rate of which 0 is the default.
func readRepairRate(s string) (int64, error) {
	if s == "default" {
		return 0, nil
	}
	n, err := node.ParseRate(s)
	if err == nil && n == 0 {
		n = node.NoLimit
	}
	return n, err
}

func readSchedule(lines []string) ([]string, error) {
	if len(lines) == 1 && (lines[0] == "off" || lines[0] == "") {
		return nil, nil
	}
	for _, l := range lines {
		if _, err := node.ParseWindow(l); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

func readBattery(s string) (int, error) {
	if s == "never" || s == "0" {
		return node.NeverPause, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(s, "%"))
	if err != nil || n < 1 || n > 100 {
		return 0, fmt.Errorf("--battery %q is not a percentage from 1 to 100, or never", s)
	}
	return n, nil
}

func readMetered(s string) (bool, error) {
	switch s {
	case "rest":
		return false, nil
	case "go-on":
		return true, nil
	}
	return false, fmt.Errorf("--metered is rest or go-on, not %q", s)
}

func limitText(n int64) string {
	if n == 0 {
		return "no limit"
	}
	return size(n) + "/s"
}

func (a *app) printLimits(v node.LimitsView) error {
	if a.json {
		return a.printJSON(v)
	}
	var b strings.Builder
	where := "; none in the local network"
	if v.LAN {
		where = "; in the local network too"
	}
	if v.Down == 0 && v.Up == 0 && len(v.Schedule) == 0 {
		where = ""
	}
	fmt.Fprintf(&b, "Bandwidth  %s down, %s up%s\n", limitText(v.Down), limitText(v.Up), where)
	for _, s := range v.Schedule {
		fmt.Fprintf(&b, "Schedule   %s\n", printable(s))
	}
	if len(v.Schedule) > 0 {
		fmt.Fprintf(&b, "Now        %s down, %s up\n", limitText(v.DownNow), limitText(v.UpNow))
	}
	fmt.Fprintf(&b, "Repair     %s down, %s up in the background\n", limitText(v.RepairDownNow), limitText(v.RepairUpNow))
	offers := "nothing"
	if v.Offer > 0 {
		offers = size(v.Offer)
	}
	fmt.Fprintf(&b, "Offer      %s to the circle, of which %s are in use\n", offers, size(v.Kept))
	b.WriteString(lists(v))
	b.WriteString(leftovers(v.Leftovers))
	battery := "goes on whatever is left"
	if v.BatteryBelow > 0 {
		battery = fmt.Sprintf("rests below %d %%", v.BatteryBelow)
	}
	fmt.Fprintf(&b, "Battery    %s%s\n", battery, untold(v.BatteryKnown))
	metered := "rests"
	if v.Metered {
		metered = "goes on"
	}
	fmt.Fprintf(&b, "Metered    %s%s", metered, untold(v.MeteredKnown))
	if !v.Resting.IsZero() {
		fmt.Fprintf(&b, "\nThe background rests: %s.", oneLine(v.Resting.Text))
	}
	return a.say("%s", b.String())
}

// lists says what those that this machine repairs for take of it.
func lists(v node.LimitsView) string {
	switch {
	case v.Lists == 0:
		return ""
	case v.ListsMost > 0:
		return fmt.Sprintf("Lists      %s of what this machine repairs for others ('preezm care'), %s at most since nothing is offered\n", size(v.Lists), size(v.ListsMost))
	}
	return fmt.Sprintf("Lists      %s of what this machine repairs for others ('preezm care'), counted against the offer\n", size(v.Lists))
}

// leftovers says what is kept for machines that left, and for how long.
func leftovers(of []node.Leftover) string {
	var b strings.Builder
	for _, l := range of {
		fmt.Fprintf(&b, "Left over  %s of %s, which is no longer in your circle: deleted after %s more\n", size(l.Bytes), l.Device.Short(), count(int64(l.Days), "day", "days"))
	}
	return b.String()
}

func untold(known bool) string {
	if known {
		return ""
	}
	return " (this system does not tell)"
}
