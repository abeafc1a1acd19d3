// SPDX-License-Identifier: MPL-2.0

package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "github.com/preezm/preezm"
	licence  = "// SPDX-License-Identifier: MPL-2.0\n"
	maxLines = 600
)

// layers lists, for each top folder, what its packages may never import, by
// prefix. Reading down: app may use everything, engine all below it, and
// neither erasure nor peers anything above.
var layers = map[string][]string{
	"erasure": {"fyne.io/", module + "/app", module + "/engine", module + "/peers"},
	"peers":   {"fyne.io/", module + "/app", module + "/engine"},
	"engine":  {"fyne.io/", module + "/app"},
	"assets":  {module + "/app", module + "/engine", module + "/peers"},
}

// shared lists what is open to a folder all the same: packages without a
// network or a disk, that custodians, helpers and owners all compute with.
var shared = map[string][]string{
	"peers": {module + "/engine/custody", module + "/engine/ledger", module + "/engine/ticket", module + "/engine/helpers"},
}

// within: name is the package or one in its folder, not a namesake.
func within(name, pkg string) bool {
	return name == pkg || strings.HasPrefix(name, strings.TrimSuffix(pkg, "/")+"/")
}

// source is one parsed Go file of the project.
type source struct {
	name  string // slash-separated, relative to the root
	lines int
	text  []byte
	file  *ast.File
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above this package")
		}
		dir = up
	}
}

// sources parses every Go file, whatever system or build tag it is for.
func sources(t *testing.T) []source {
	t.Helper()
	top := root(t)
	var all []source
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != top && (n[0] == '.' || n[0] == '_' || n == "testdata" || n == "bin" || n == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(rel), bytes.Count(text, []byte{'\n'}), text, file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("found no Go files")
	}
	return all
}

func TestLicenceLine(t *testing.T) {
	for _, s := range sources(t) {
		if !bytes.HasPrefix(s.text, []byte(licence)) {
			t.Errorf("%s: the first line is not %q", s.name, strings.TrimSpace(licence))
		}
	}
}

func TestFileLength(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxLines {
			t.Errorf("%s: %d lines, more than %d: is it one idea?", s.name, s.lines, maxLines)
		}
	}
}

func TestPackageComments(t *testing.T) {
	longest := map[string]int{} // package folder to the length of its comment
	for _, s := range sources(t) {
		dir := path.Dir(s.name)
		n := longest[dir]
		if s.file.Doc != nil && !strings.HasSuffix(s.name, "_test.go") {
			n = max(n, len(strings.Fields(s.file.Doc.Text())))
		}
		longest[dir] = n
	}
	for dir, words := range longest {
		// A name and a verb are not yet a comment of substance.
		if words < 10 {
			t.Errorf("%s: no package comment that tells what it is for (%d words)", dir, words)
		}
	}
}

func TestImportsRunDownward(t *testing.T) {
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.name, "/")
		for _, imp := range s.file.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(shared[top], func(p string) bool { return within(name, p) }) {
				continue
			}
			for _, banned := range layers[top] {
				if within(name, banned) {
					t.Errorf("%s imports %s: %s is below it", s.name, name, top)
				}
			}
		}
	}
}

// TestHeadlessNeedsNoWindow lists what the headless program is made of: a
// server without X11 and OpenGL must be able to build and run it.
func TestHeadlessNeedsNoWindow(t *testing.T) {
	for _, target := range [][]string{{"./app/preezm"}, {"./engine/...", "./peers/...", "./erasure/..."}} {
		cmd := exec.Command("go", append([]string{"list", "-deps", "-tags", "headless"}, target...)...)
		cmd.Dir = root(t)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
		}
		deps := strings.Fields(string(out))
		if !slices.Contains(deps, module+"/peers") {
			t.Errorf("%v: the list misses the project's own packages", target)
		}
		for _, d := range deps {
			if strings.HasPrefix(d, "fyne.io/") || strings.Contains(d, "go-gl/") {
				t.Errorf("%v depends on %s", target, d)
			}
		}
	}
}
