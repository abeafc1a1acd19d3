// SPDX-License-Identifier: MPL-2.0

//go:build !linux

package depot

import "os"

// startWriteback does nothing where there is no such hint.
func startWriteback(*os.File, int64, int64) {}

// syncData makes the file durable (F_FULLFSYNC on macOS, FlushFileBuffers on
// Windows: os.File.Sync knows).
func syncData(f *os.File) error { return f.Sync() }
