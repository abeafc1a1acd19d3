// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode/utf8"
)

// localNames turns names of the catalog into names that a system can hold.
// The zero value is for Linux, which holds them all.
type localNames struct {
	windows, darwin bool
	// taken, on systems that take "A" and "a" for one name, maps a folder and
	// a folded name to the catalog's name that got it.
	taken map[string]string
}

func namesFor(goos string) *localNames {
	return &localNames{windows: goos == "windows", darwin: goos == "darwin", taken: map[string]string{}}
}

// maxName is the longest name of one file, in bytes, on Linux and macOS; on
// Windows it is 255 UTF-16 units, never more than that many bytes.
const maxName = 255

// local gives the local form of a path's last part, which lies in folder.
// What cannot stand in a name is written as a percent sign and two hex
// digits. The same path always gives the same name.
func (n *localNames) local(folder, name string) string {
	out := n.escape(name)
	if !n.windows && !n.darwin {
		return out
	}
	key := folder + "/" + strings.ToLower(out)
	if first, ok := n.taken[key]; ok && first != name {
		// Another spelling has the name: tell them apart by one escape more.
		for i := range len(out) {
			alt := out[:i] + fmt.Sprintf("%%%02X", out[i]) + out[i+1:]
			key = folder + "/" + strings.ToLower(alt)
			if first, ok := n.taken[key]; !ok || first == name {
				out = alt
				break
			}
		}
	}
	n.taken[key] = name
	return out
}

func (n *localNames) escape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		if n.allows(r, size) {
			b.WriteString(name[i : i+size])
		} else {
			for _, c := range []byte(name[i : i+size]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		i += size
	}
	out := b.String()
	if (n.windows || n.darwin) && len(out) > maxName {
		// Escapes made it too long: a hash keeps it apart from its like.
		sum := sha256.Sum256([]byte(name))
		out = strings.ToValidUTF8(out[:maxName-9], "") + fmt.Sprintf("%%%X", sum[:4])
	}
	if n.windows {
		// Windows drops a dot or a space at the end.
		if last := out[len(out)-1]; last == '.' || last == ' ' {
			out = fmt.Sprintf("%s%%%02X", out[:len(out)-1], last)
		}
		if stem, _, _ := strings.Cut(out, "."); reserved(stem) {
			out = fmt.Sprintf("%%%02X%s", out[0], out[1:])
		}
	}
	return out
}

func (n *localNames) allows(r rune, size int) bool {
	broken := r == utf8.RuneError && size == 1
	switch {
	case n.windows:
		return !broken && r >= 0x20 && !strings.ContainsRune(`<>:"/\|?*`, r)
	case n.darwin:
		return !broken && r != ':'
	}
	return true
}

// reserved tells whether Windows takes a name for a device.
func reserved(stem string) bool {
	s := strings.ToUpper(strings.TrimRight(stem, " "))
	switch s {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	return len(s) == 4 && (strings.HasPrefix(s, "COM") || strings.HasPrefix(s, "LPT")) && s[3] >= '0' && s[3] <= '9'
}
