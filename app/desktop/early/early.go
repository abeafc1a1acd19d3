// SPDX-License-Identifier: MPL-2.0

// Package early tells the toolkit what it only asks when it is loaded, which is
// before main begins. It imports next to nothing, so it is loaded before the
// toolkit is; a test of package desktop sees to that.
package early

import "os"

// The toolkit keeps the picture of every text for a minute after it was last
// seen. Whoever drags through 100,000 files for that long would have it hold
// hundreds of megabytes.
var _ = shorten("FYNE_CACHE", "6s")

func shorten(name, value string) bool {
	if os.Getenv(name) != "" {
		return false // the person's own choice
	}
	return os.Setenv(name, value) == nil
}
