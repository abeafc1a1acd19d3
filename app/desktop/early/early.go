// SPDX-License-Identifier: MPL-2.0

// Package early tells the toolkit what it only asks when it is loaded, which is
// before main begins. It imports next to nothing, so it is loaded before the
// toolkit is; a test of the real window sees to that. The program imports it,
// not package desktop: where tests draw a window, nothing that is shown may be
// forgotten however slow the machine.
package early

import "os"

// The toolkit keeps the picture of every text for a minute after it was last
// seen. Whoever drags through 100,000 files has it make 5 MB of them a second.
var _ = shorten("FYNE_CACHE", "4s")

func shorten(name, value string) bool {
	if os.Getenv(name) != "" {
		return false // the person's own choice
	}
	return os.Setenv(name, value) == nil
}
