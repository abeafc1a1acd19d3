// SPDX-License-Identifier: MPL-2.0

package desktop

// loginStart lets the system start the program when the person logs in. How
// is a matter of each system; those other than Linux have not been tried.
type loginStart interface {
	Enabled() (bool, error)
	Set(on bool) error
}
