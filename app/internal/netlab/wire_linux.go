// SPDX-License-Identifier: MPL-2.0

package netlab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Line is the character of a line, each way.
type Line struct {
	Rate  int           // bits a second; 0: as fast as it goes
	Delay time.Duration // of each packet
	Loss  float64       // of 1
	Queue int           // packets that wait at most; 0: 100
}

// wire joins two spaces by a line with a character: by tc's netem, or, since the
// kernels of many test machines lack that, by a Wire.
func (l *Lab) wire(a *Space, nameA string, b *Space, nameB string, line Line) error {
	if l.Netem(a) {
		return errors.Join(l.Cable(a, nameA, b, nameB), a.netem(nameA, line), b.netem(nameB, line))
	}
	w := &Wire{line: line, stop: make(chan struct{})}
	for i, end := range []struct {
		s    *Space
		name string
	}{{a, nameA}, {b, nameB}} {
		f, err := tun(end.s.Name, end.name)
		if err != nil {
			return err
		}
		w.ends[i] = f
	}
	l.wires = append(l.wires, w)
	w.work.Go(func() { w.carry(w.ends[0], w.ends[1]) })
	w.work.Go(func() { w.carry(w.ends[1], w.ends[0]) })
	return errors.Join(a.Do("ip link set "+nameA+" up"), b.Do("ip link set "+nameB+" up"))
}

// Netem says whether the kernel has netem for the lines of a lab. It is tried in
// a space, on loopback.
func (l *Lab) Netem(s *Space) bool {
	if !l.tried {
		l.tried = true
		l.netem = s.Do("tc qdisc add dev lo root netem delay 1ms", "tc qdisc del dev lo root") == nil
	}
	return l.netem
}

// netem gives the sending side of a cable a character. Packets that TCP hands
// down as one are split before, as they would count, and get lost, as one.
func (s *Space) netem(name string, line Line) error {
	return s.Do("ip link set dev "+name+" gso_max_segs 1", "tc qdisc add dev "+name+" root netem "+line.netem())
}

// netem writes the character for tc. What netem holds are the packets that wait
// and those that travel.
func (l Line) netem() string {
	hold := l.queue()
	out := fmt.Sprintf("delay %dus", l.Delay.Microseconds())
	if l.Loss > 0 {
		out += fmt.Sprintf(" loss %g%%", l.Loss*100)
	}
	if l.Rate > 0 {
		hold += int(l.Delay.Seconds() * float64(l.Rate) / 8 / mtu)
		out += fmt.Sprintf(" rate %dbit", l.Rate)
	} else {
		hold = inFlight
	}
	return fmt.Sprintf("limit %d %s", hold, out)
}

// queue is how many packets wait at most.
func (l Line) queue() int {
	if l.Queue == 0 {
		return defaultQueue
	}
	return l.Queue
}

// Wire is a line between two spaces, made of two TUN devices and this process.
type Wire struct {
	ends [2]*os.File
	line Line
	work sync.WaitGroup
	stop chan struct{}
}

const (
	defaultQueue = 100
	mtu          = 1500
	// inFlight is how many packets travel at once at most.
	inFlight = 100_000
)

// Close ends the wire.
func (w *Wire) Close() error {
	close(w.stop)
	err := errors.Join(w.ends[0].Close(), w.ends[1].Close())
	w.work.Wait()
	return err
}

// packet is one on its way.
type packet struct {
	due  time.Time
	data []byte
}

// carry takes packets from one end and gives them to the other when they have
// waited for the line and travelled.
func (w *Wire) carry(from, to *os.File) {
	way := make(chan packet, inFlight)
	w.work.Go(func() {
		for p := range way {
			if d := time.Until(p.due); d > 0 {
				select {
				case <-time.After(d):
				case <-w.stop:
					return
				}
			}
			if _, err := to.Write(p.data); err != nil && errors.Is(err, os.ErrClosed) {
				return
			}
		}
	})
	defer close(way)
	free := time.Now() // when the line is free again
	buf := make([]byte, 2*mtu)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		line := w.line
		if line.Loss > 0 && rand.Float64() < line.Loss {
			continue
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if line.Rate > 0 {
			took := time.Duration(n) * 8 * time.Second / time.Duration(line.Rate)
			if free.Sub(now) > time.Duration(line.queue())*mtu*8*time.Second/time.Duration(line.Rate) {
				continue // the queue is full
			}
			free = free.Add(took)
		}
		select {
		case way <- packet{free.Add(line.Delay), append([]byte(nil), buf[:n]...)}:
		default:
		}
	}
}

// inSpace runs f on a thread that is in a namespace, and is not used for
// anything else afterwards.
func inSpace(space string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := os.Open("/run/netns/" + space)
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter %s: %w", space, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// tun opens a TUN device in a namespace.
func tun(space, name string) (f *os.File, err error) {
	err = inSpace(space, func() error {
		f, err = openTun(name)
		return err
	})
	return f, err
}

func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	var req struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], name)
	req.flags = unix.IFF_TUN | unix.IFF_NO_PI
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); errno != 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("make %s: %w", name, errno)
	}
	return os.NewFile(uintptr(fd), "tun "+name), nil
}

// ListenUDP opens a UDP socket in the space, for what this process plays there.
func (s *Space) ListenUDP(address string) (*net.UDPConn, error) {
	var c *net.UDPConn
	err := inSpace(s.Name, func() error {
		a, err := net.ResolveUDPAddr("udp", address)
		if err == nil {
			c, err = net.ListenUDP("udp", a)
		}
		return err
	})
	return c, err
}
