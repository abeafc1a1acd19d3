// SPDX-License-Identifier: MPL-2.0

//go:build !windows && !darwin

package desktop

import (
	"context"
	"os"
	"time"

	"github.com/godbus/dbus/v5"
)

// hasTray asks the session whether anything shows tray icons: many desktops
// have no such place, and a window that hides there would be lost.
func hasTray() bool {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		return false // asking would start a bus of our own
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	bus, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return false
	}
	defer bus.Close()
	var owned bool
	err = bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, "org.kde.StatusNotifierWatcher").Store(&owned)
	return err == nil && owned
}
