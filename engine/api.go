// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Path is a slash-separated name in the catalog. It holds any bytes but NUL,
// as Linux file names do; it never begins or ends with a slash and has no
// empty, "." or ".." part.
type Path string

// Bytes gives the raw name when it is not valid UTF-8, else nil: what a JSON
// view adds beside a readable string so that nothing is lost.
func (p Path) Bytes() []byte {
	if utf8.ValidString(string(p)) {
		return nil
	}
	return []byte(p)
}

// Kind tells files, folders and symbolic links apart.
type Kind uint8

// The kinds of entry; the numbers are stored in the catalog.
const (
	File Kind = iota + 1
	Folder
	Symlink
)

func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case Folder:
		return "folder"
	case Symlink:
		return "symlink"
	}
	return "unknown"
}

// MarshalText writes the form of String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the form of String.
func (k *Kind) UnmarshalText(b []byte) error {
	for _, known := range []Kind{File, Folder, Symlink} {
		if string(b) == known.String() {
			*k = known
			return nil
		}
	}
	return fmt.Errorf("unknown kind %q", b)
}

// Entry is one line of a listing.
type Entry struct {
	Path    Path      `json:"path"`
	RawPath []byte    `json:"path_base64,omitempty"` // only when Path is not valid UTF-8
	Kind    Kind      `json:"kind"`
	Size    int64     `json:"size"` // bytes; for a folder the sum below it
	Mode    uint32    `json:"mode"` // permission bits, 0o7777
	ModTime time.Time `json:"modified"`
	Target  string    `json:"target,omitempty"` // of a symlink
	Kept    time.Time `json:"kept"`             // when this version was committed
	Files   int64     `json:"files,omitempty"`  // files below a folder
	MayLose int       `json:"may_lose"`         // machines that can still be lost; -1: cannot be brought back now
	Keepers int       `json:"keepers"`          // machines that hold a piece
	Torn    bool      `json:"changed_while_read,omitempty"`
	Version int64     `json:"version"`          // counts the versions of this path
	Former  bool      `json:"former,omitempty"` // of a listing as of a time: not the present version
}

// Stage says what a long operation is doing.
type Stage string

// The stages of Put, Get, Verify and Repair.
const (
	StageScan    Stage = "scan"
	StagePut     Stage = "put"
	StageGet     Stage = "get"
	StageVerify  Stage = "verify"
	StageRepair  Stage = "repair"
	StageBackup  Stage = "backup"
	StageCompact Stage = "compact"
	StageWait    Stage = "wait" // for another put, or for a keeper

	// StageAsk: custodians are asked for the key of Now; Files of the
	// TotalFiles that are needed have agreed.
	StageAsk Stage = "ask"
)

// Progress is a snapshot of a running operation. Totals grow while the scan
// goes on; TotalKnown says when they are final.
type Progress struct {
	Stage      Stage     `json:"stage"`
	Files      int64     `json:"files"`
	TotalFiles int64     `json:"total_files"`
	Bytes      int64     `json:"bytes"` // user data dealt with, durable for a put
	TotalBytes int64     `json:"total_bytes"`
	TotalKnown bool      `json:"total_known"`
	Started    time.Time `json:"started"`
	Now        string    `json:"now,omitempty"` // the file or keeper in work
}

// CodeTorn is the code of the problem that a file changed while it was read.
const CodeTorn = "torn"

// Problem is something a person should know of one file, that did not stop
// the rest.
type Problem struct {
	Path    Path      `json:"path"`
	RawPath []byte    `json:"path_base64,omitempty"`
	Said    said.Note `json:"text"`
	Failed  bool      `json:"failed"` // the file was not kept or not brought back
}

// PutOptions says what to keep and where.
type PutOptions struct {
	Sources []string // absolute local paths
	Into    Path     // folder in the catalog; "" is the top
	// Placed are more sources, each with its own name in the catalog.
	Placed []Placed
	// Gentle takes one processor only: nobody waits for this put.
	Gentle bool
	// Skip, where it is given, leaves out local files and folders. It cannot
	// travel to another process.
	Skip func(local string, folder bool) bool `json:"-" cbor:"-"`
}

// Placed is a local file or folder and its name in the catalog.
type Placed struct {
	Local string
	Path  Path
}

// PutReport is the outcome of Put. Sizes in bytes.
type PutReport struct {
	Files     int64         `json:"files"`     // files looked at
	Unchanged int64         `json:"unchanged"` // of these, already kept as they are
	Folders   int64         `json:"folders"`
	Symlinks  int64         `json:"symlinks"`
	Bytes     int64         `json:"bytes"`   // of the files looked at
	NewBytes  int64         `json:"new"`     // not found by deduplication
	Packed    int64         `json:"packed"`  // NewBytes after compression and sealing
	Stored    int64         `json:"stored"`  // shard bytes acknowledged by keepers
	Keepers   int           `json:"keepers"` // machines that took part
	K         int           `json:"k"`
	N         int           `json:"n"`
	Debt      int64         `json:"debt"` // shards still owed to keepers that did not answer
	Elapsed   time.Duration `json:"elapsed_ns"`
	Problems  []Problem     `json:"problems,omitempty"`
	Notes     []said.Note   `json:"notes,omitempty"` // about keepers, in plain words
}

// GetOptions says what to bring back and where to.
type GetOptions struct {
	Names     []Path // files or folders in the catalog; an empty one is everything
	To        string // absolute local folder, made if missing
	Overwrite bool   // replace files that are there
	Resume    bool   // leave files alone that are there with the same size and time
	When
}

// When chooses what was kept at a time, or one version of a file, in place of
// what is kept now. At most one field is set.
type When struct {
	At     time.Time
	Number int64 // as VersionInfo counts
}

// GetReport is the outcome of Get.
type GetReport struct {
	Files    int64         `json:"files"`
	Skipped  int64         `json:"skipped"` // already there (Resume)
	Folders  int64         `json:"folders"`
	Symlinks int64         `json:"symlinks"`
	Bytes    int64         `json:"bytes"`
	Fetched  int64         `json:"fetched"` // shard bytes received
	Rebuilt  int64         `json:"rebuilt"` // segments that needed reconstruction
	Renamed  []Renamed     `json:"renamed,omitempty"`
	Problems []Problem     `json:"problems,omitempty"`
	Blamed   []Blame       `json:"blamed,omitempty"`
	Elapsed  time.Duration `json:"elapsed_ns"`
}

// Renamed is a name that this system cannot hold, and what it became.
type Renamed struct {
	Path Path   `json:"path"`
	As   string `json:"as"`
}

// Blame is a keeper that failed, and how.
type Blame struct {
	Device peers.DeviceID `json:"device"`
	Name   string         `json:"name"`
	Said   said.Note      `json:"text"`
	Count  int64          `json:"count"`
	Lied   bool           `json:"lied"` // gave wrong bytes, as against being away or slow
}

// ListOptions says what to list.
type ListOptions struct {
	Folder    Path // "" is the top; a file's path lists just it
	Recursive bool
	Health    bool      // fill MayLose and Keepers (asks no keeper; uses what is known)
	At        time.Time // zero: now
}

// RemoveReport is the outcome of Remove and Forget.
type RemoveReport struct {
	Trashed bool      `json:"trashed"`        // they can be restored
	Until   time.Time `json:"until,omitzero"` // that long
	Files   int64     `json:"files"`
	Folders int64     `json:"folders"`
	Bytes   int64     `json:"bytes"`
	Freed   int64     `json:"freed"`   // shard bytes keepers may forget
	Pending int64     `json:"pending"` // deletions that wait for a keeper
	// Grants that last and still cover what was removed; their brands can
	// open it all the same. The node fills it in.
	Grants []string `json:"grants,omitempty"`
}

// VerifyOptions says what to check; no names means everything.
type VerifyOptions struct{ Names []Path }

// VerifyReport is the outcome of Verify: every shard of the named files was
// fetched from its keeper and compared with its root.
type VerifyReport struct {
	Segments int64         `json:"segments"`
	Shards   int64         `json:"shards"`
	Good     int64         `json:"good"`
	Bytes    int64         `json:"bytes"` // fetched
	Lost     int64         `json:"lost"`  // segments with fewer than k good shards
	Files    int64         `json:"files"`
	Affected []Path        `json:"affected,omitempty"` // files that cannot be brought back now
	Blamed   []Blame       `json:"blamed,omitempty"`
	Elapsed  time.Duration `json:"elapsed_ns"`
}

// StatusOptions chooses how much Status says.
type StatusOptions struct {
	Probe bool // ask every keeper whether it answers now; else trust the catalog
}

// Status is the health of everything kept.
type Status struct {
	Files    int64          `json:"files"`
	Folders  int64          `json:"folders"`
	Bytes    int64          `json:"bytes"`  // user data of current versions
	Stored   int64          `json:"stored"` // shard bytes on keepers
	Segments int64          `json:"segments"`
	Debt     int64          `json:"debt"`    // shards owed
	Pending  int64          `json:"pending"` // deletions that wait for a keeper
	K        int            `json:"k"`       // geometry the next put would use
	N        int            `json:"n"`
	MayLose  int            `json:"may_lose"` // of the worst file; -1: some files cannot be brought back now
	Health   []HealthCount  `json:"health"`   // files by how many machines may be lost, worst first
	Keepers  []KeeperStatus `json:"keepers"`
	Outlook  Outlook        `json:"outlook"`
	Past     Past           `json:"past"`
	// Conflicts counts the names that two machines of the owner put at once and
	// that nobody settled yet.
	Conflicts int64 `json:"conflicts"`
}

// Past is what is kept beside the present versions. Sizes in bytes, as files.
type Past struct {
	Versions   int64 `json:"versions"` // former ones that are not in the trash
	Bytes      int64 `json:"bytes"`
	Trashed    int64 `json:"trashed"` // files in the trash
	TrashBytes int64 `json:"trash_bytes"`
}

// HealthCount counts the files that survive the loss of MayLose machines.
type HealthCount struct {
	MayLose int   `json:"may_lose"`
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
}

// KeeperStatus is one machine as Status sees it.
type KeeperStatus struct {
	Device  peers.DeviceID `json:"device"`
	Name    string         `json:"name"`
	Asked   bool           `json:"asked"`
	Online  bool           `json:"online"`
	Text    string         `json:"text,omitempty"` // why it is not online
	Shards  int64          `json:"shards"`
	Bytes   int64          `json:"bytes"`
	Free    int64          `json:"free"` // room it still offers; 0 when not asked
	Latency time.Duration  `json:"latency_ns,omitempty"`
	Conduct Conduct        `json:"conduct"`
}
