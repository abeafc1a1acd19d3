// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/said"
)

// What lies in a home folder.
const (
	settingsFile = "home.json"
	lockFile     = "lock"
	certFile     = "device.crt"
	keyFile      = "device.key"
	ownerFile    = "owner.key"
	circleFile   = "circle.json"
	catalogFile  = "catalog.db"
	depotFolder  = "depot"
	socketFile   = "node.sock"
	gatewayFile  = "gateway.json"
	gatewayDB    = "gateway.db"
	brandFolder  = "brand"
	watchFile    = "watch.json"
	headsFolder  = "heads"
)

// Limits and defaults of a home's settings.
const (
	// DefaultPort is where a node listens unless told otherwise.
	DefaultPort = 24930
	// DefaultOffer is what a new home offers its circle, in bytes. The floor
	// of free disk (MinFree) holds whatever the offer.
	DefaultOffer = 100_000_000_000
	// OfferNothing as an Offer keeps nothing for anybody.
	OfferNothing = -1

	maxListen       = 16
	maxLockAfter    = 366 * 86400 // seconds
	maxAnnounce     = 4
	maxSettingsFile = 64 << 10
	settingsFormat  = 1
)

// Settings is home.json. It is small, written whole and replaced atomically.
type Settings struct {
	Format int    `json:"format"`
	Name   string `json:"name"`
	// Listen is what the person asked for, as host:port; empty is the default
	// port on every interface, or a free one when that is taken.
	Listen []string `json:"listen,omitempty"`
	// Bound is the address each of Listen got last time, so that a port the
	// system chose stays the same and what peers know stays true.
	Bound []string `json:"bound,omitempty"`
	// Offer is what the circle may store here, in bytes; OfferNothing: none.
	Offer int64 `json:"offer"`
	// MinFree is the free space the depot never goes below, in bytes;
	// negative leaves the choice to the depot.
	MinFree int64 `json:"min_free"`
	// NoWitness turns the custodian's role off: nobody is answered. What it
	// keeps goes on being forgotten, day by day.
	NoWitness bool `json:"no_witness,omitempty"`
	// Limits is how polite the node is; nil: the defaults.
	Limits *Limits `json:"limits,omitempty"`
	// LockAfter is after how many seconds without use a serving node locks the
	// owner's part; 0: never.
	LockAfter int64 `json:"lock_after,omitempty"`
	// WordsLanguage is that in which the owner saw the 24 words; empty: English.
	WordsLanguage identity.Lang `json:"words_language,omitempty"`
	// Announce are addresses to tell others beside those that are bound, such
	// as that of a port which a router was told to pass on.
	Announce []string `json:"announce,omitempty"`
	// NoMapping does not ask the router to pass a port on.
	NoMapping bool `json:"no_mapping,omitempty"`
	// NoQUIC does without UDP: whom TCP does not reach is reached by a relay.
	NoQUIC bool `json:"no_quic,omitempty"`
	// Servers are relays and discovery servers to use, with their IDs.
	Servers []string `json:"servers,omitempty"`
	// Relay and Discovery are where this home runs such servers for its
	// circle, host:port; empty: it does not.
	Relay     string `json:"relay,omitempty"`
	Discovery string `json:"discovery,omitempty"`
}

// DefaultHome is $PREEZM_HOME, or preezm in the system's folder for settings.
func DefaultHome() (string, error) {
	if h := os.Getenv("PREEZM_HOME"); h != "" {
		return filepath.Abs(h)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no place for a home folder (set PREEZM_HOME or use --home): %w", err)
	}
	return filepath.Join(dir, "preezm"), nil
}

// ReadSettings reads home.json; ErrNoHome when there is none.
func ReadSettings(home string) (Settings, error) {
	path := filepath.Join(home, settingsFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, fmt.Errorf("%s: %w", home, ErrNoHome)
	}
	if err != nil {
		return Settings{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSettingsFile+1))
	if err != nil {
		return Settings{}, err
	}
	var s Settings
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if len(raw) > maxSettingsFile {
		err = fmt.Errorf("larger than %d bytes", maxSettingsFile)
	} else if err = dec.Decode(&s); err == nil {
		err = s.check()
	}
	if err != nil {
		return Settings{}, fmt.Errorf("%s: %w: %w", path, ErrSettings, err)
	}
	return s, nil
}

func (s *Settings) check() error {
	if s.Format != settingsFormat {
		return fmt.Errorf("format %d, this program knows %d", s.Format, settingsFormat)
	}
	if err := checkName(s.Name); err != nil {
		return err
	}
	if s.Limits != nil {
		if err := s.Limits.check(); err != nil {
			return err
		}
	}
	if s.WordsLanguage != "" && !slices.Contains(identity.Langs, s.WordsLanguage) {
		return fmt.Errorf("%q: %w", s.WordsLanguage, identity.ErrLang)
	}
	if s.LockAfter < 0 || s.LockAfter > maxLockAfter {
		return fmt.Errorf("locking after %d seconds", s.LockAfter)
	}
	if s.Offer < OfferNothing {
		return fmt.Errorf("offer of %d bytes", s.Offer)
	}
	if len(s.Listen) > maxListen || len(s.Bound) > maxListen {
		return fmt.Errorf("more than %d addresses", maxListen)
	}
	for _, a := range append(append([]string(nil), s.Listen...), s.Bound...) {
		if err := checkListen(a); err != nil {
			return err
		}
	}
	return s.checkNet()
}

func (s *Settings) write(home string) error {
	raw, err := s.text()
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(home, settingsFile), raw)
}

// text is the settings as the file has them.
func (s *Settings) text() ([]byte, error) {
	raw, err := json.MarshalIndent(s, "", "  ")
	return append(raw, '\n'), err
}

// offer is the offer as the depot counts it.
func (s *Settings) offer() int64 { return max(s.Offer, 0) }

// checkName wants a name that other people's screens show as it is.
func checkName(name string) error {
	switch {
	case name == "":
		return said.Error("name-needed", "a name is needed")
	case len(name) > circle.MaxName:
		return said.Error("name-long", "the name is longer than {most} bytes", "most", strconv.Itoa(circle.MaxName))
	case circle.CleanName(name) != name:
		return said.Error("name-odd", "the name holds characters that cannot be shown, or begins or ends with a space")
	}
	return nil
}

// checkListen wants host:port with a number for a port; the host may be empty
// for every interface.
func checkListen(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q is not host:port", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("address %q has no port number", addr)
	}
	return nil
}

// hostName is a first name for a home.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || checkName(name) != nil {
		return "my computer"
	}
	return name
}
