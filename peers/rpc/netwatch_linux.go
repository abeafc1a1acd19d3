// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"errors"

	"golang.org/x/sys/unix"
)

// netWatch hears from the kernel that an interface or an address changed: looking
// at all of them each second costs an idle machine more than everything else.
type netWatch struct{ fd int } // fd < 0: it hears nothing

func newNetWatch() *netWatch {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return &netWatch{-1}
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return &netWatch{-1}
	}
	return &netWatch{fd}
}

// changed says whether something may have changed since it was asked last.
func (w *netWatch) changed() bool {
	if w.fd < 0 {
		return true
	}
	var buf [4 << 10]byte
	// What it is does not matter, so a message may be cut short; a flood of them
	// is read on next time.
	for n := range 256 {
		switch _, _, err := unix.Recvfrom(w.fd, buf[:], 0); {
		case err == nil, errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS):
		case errors.Is(err, unix.EAGAIN):
			return n > 0
		default:
			return true
		}
	}
	return true
}

func (w *netWatch) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}
