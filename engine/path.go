// SPDX-License-Identifier: MPL-2.0

package engine

import "strings"

// maxPath bounds a name in the catalog, in bytes; Linux's own limit is 4096.
const maxPath = 64 << 10

// validPath tells whether p can name something in the catalog: the rules of
// type Path. Such a path can never climb out of a folder.
func validPath(p string) bool {
	if p == "" || len(p) > maxPath || strings.ContainsRune(p, 0) {
		return false
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// under tells whether p is folder or lies below it.
func under(p, folder string) bool {
	return folder == "" || p == folder || strings.HasPrefix(p, folder) && p[len(folder)] == '/'
}
