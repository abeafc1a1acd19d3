// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"crypto/sha256"
	"fmt"
	"path"
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
		out = marked(out, name) // another spelling has the name
		key = folder + "/" + strings.ToLower(out)
	}
	n.taken[key] = name
	return out
}

// marked puts a hash of the catalog's name before the ending of a local one,
// which it also makes short enough.
func marked(local, name string) string {
	sum := sha256.Sum256([]byte(name))
	ext := path.Ext(local)
	if len(ext) > 16 {
		ext = ""
	}
	stem := local[:len(local)-len(ext)]
	stem = strings.ToValidUTF8(stem[:min(len(stem), maxName-len(ext)-9)], "")
	return stem + fmt.Sprintf("%%%X", sum[:4]) + ext
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
	if n.windows {
		// Windows drops a dot or a space at the end.
		if last := out[len(out)-1]; last == '.' || last == ' ' {
			out = fmt.Sprintf("%s%%%02X", out[:len(out)-1], last)
		}
		if stem, _, _ := strings.Cut(out, "."); reserved(stem) {
			out = fmt.Sprintf("%%%02X%s", out[0], out[1:])
		}
	}
	if (n.windows || n.darwin) && len(out) > maxName {
		out = marked(out, name) // escapes made it too long
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
