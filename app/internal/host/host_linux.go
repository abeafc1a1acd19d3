// SPDX-License-Identifier: MPL-2.0

package host

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// supplies is where Linux tells about batteries and chargers.
const supplies = "/sys/class/power_supply"

// Power tells what the machine runs on.
func Power() Battery { return powerFrom(supplies) }

// powerFrom reads the supplies in a folder. The battery of a mouse or a
// keyboard, whose scope is Device, is not the machine's.
func powerFrom(dir string) Battery {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Battery{}
	}
	b := Battery{Percent: 100}
	batteries, sum, charger, draining := 0, 0, false, false
	for _, e := range entries {
		read := func(name string) string {
			v, err := os.ReadFile(filepath.Join(dir, e.Name(), name))
			if err != nil {
				return ""
			}
			return strings.TrimSpace(string(v))
		}
		if read("scope") == "Device" {
			continue
		}
		switch read("type") {
		case "Battery":
			n, err := strconv.Atoi(read("capacity"))
			if err != nil {
				continue
			}
			batteries++
			sum += n
			draining = draining || read("status") == "Discharging"
		case "Mains", "USB", "Wireless":
			charger = charger || read("online") == "1"
		}
	}
	b.Known = true
	if batteries > 0 {
		b.Percent, b.On = sum/batteries, draining && !charger
	}
	return b
}

// meteredTime bounds a question to the system.
const meteredTime = 2 * time.Second

// Metered tells whether the network costs by what goes through it, as
// NetworkManager has it. known is false where nobody tells.
func Metered(ctx context.Context) (metered, known bool) {
	ctx, cancel := context.WithTimeout(ctx, meteredTime)
	defer cancel()
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return false, false
	}
	defer bus.Close()
	var v dbus.Variant
	err = bus.Object("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager").
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, "org.freedesktop.NetworkManager", "Metered").Store(&v)
	if err != nil {
		return false, false
	}
	n, ok := v.Value().(uint32)
	// NMMetered: 0 unknown, 1 yes, 2 no, 3 guessed yes, 4 guessed no.
	return n == 1 || n == 3, ok && n != 0
}
