// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package node

import "io/fs"

// ownedPrivately trusts the temporary directory: on Windows each user has one.
func ownedPrivately(fs.FileInfo) bool { return true }
