// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"io/fs"
	"os"

	"github.com/preezm/preezm/engine/catalog"
)

func openForRead(name string) (*os.File, error) { return os.Open(name) }

func sourceOf(fs.FileInfo) catalog.Source { return catalog.Source{} }

func modeBits(fi fs.FileInfo) uint32 { return uint32(fi.Mode().Perm()) }
