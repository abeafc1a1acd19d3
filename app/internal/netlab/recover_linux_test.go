// SPDX-License-Identifier: MPL-2.0

package netlab

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// TestRecoverOnlyUDP has firewalls that let in nothing but UDP while a person adds
// a machine, and comes back on a new one, by the words and by the helpers.
func TestRecoverOnlyUDP(t *testing.T) {
	together(t)
	r := newRig(t)
	at := func(name, address string) *Space {
		s := r.public(name, address, nil)
		r.check(s.noTCP())
		return s
	}
	owner := r.home(at("owner", "198.51.100.60"), "owner")
	var keepers []*machine
	for i, name := range []string{"anna", "bert", "carl"} {
		k := r.home(at(name, "198.51.100.6"+string(rune('1'+i))), name)
		r.pair(owner, k)
		keepers = append(keepers, k)
	}
	file := r.file("udp", amount(20))
	owner.put(file, 1)
	r.check(owner.Must(r.ctx, nil, "helpers", "add", "--yes", "anna", "bert", "carl"))
	words, err := e2e.Words(owner.Dir)
	r.check(err)
	sheet := filepath.Join(r.dir, "words")
	r.check(os.WriteFile(sheet, []byte(words), 0o600))
	space := at("new", "198.51.100.70")
	fresh := func(name string) *machine {
		return &machine{&e2e.Home{Binary: program, Dir: filepath.Join(r.dir, name), Prefix: space.Prefix(), Discovery: true}, r, name, new(locked)}
	}

	add := owner.Command(r.ctx, "device", "add", "--yes")
	out, err := add.StdoutPipe()
	r.check(err)
	r.check(add.Start())
	code, err := bufio.NewReader(out).ReadString('\n')
	r.check(err)
	second := fresh("second")
	r.check(second.Must(r.ctx, nil, "device", "join", strings.TrimSpace(code), "--name", "second"))
	r.check(add.Wait())
	second.same(file)

	r.check(owner.Kill())
	third := fresh("third")
	from := keepers[0].About()
	r.check(third.Must(r.ctx, nil, "recover", "--words-file", sheet, "--from", from.Device.String()+"@"+from.Addresses[0], "--name", "third"))
	third.same(file)

	fourth := fresh("fourth")
	args := []string{"recover", "--helpers", "--owner", "owner", "--name", "fourth", "--json"}
	ask := func(args ...string) (help node.Help) {
		res, err := fourth.Run(r.ctx, args...)
		r.check(err)
		if err := json.Unmarshal(res.Stdout, &help); err != nil {
			t.Fatalf("%v: %s %s", err, res.Stdout, res.Stderr)
		}
		return help
	}
	first := args
	for _, k := range keepers {
		var inv node.Invite
		r.check(k.Must(r.ctx, &inv, "invite"))
		first = append(first, "--invite", inv.Code)
	}
	help := ask(first...)
	for _, k := range keepers {
		for _, a := range help.Helpers {
			if a.Device != k.About().Device {
				continue
			}
			var rs []node.HelperRequest
			r.check(k.Must(r.ctx, &rs, "helpers", "requests"))
			for _, q := range rs {
				if q.Here && q.ID == a.ID {
					r.check(k.Must(r.ctx, nil, "helpers", "approve", q.ID, "--words", a.Words["en"][q.Places[0]-1]+" "+a.Words["en"][q.Places[1]-1]))
				}
			}
		}
		r.check(k.Stop(r.ctx))
		r.check(k.Start(r.ctx, "-v", "--clock-shift", "73h"))
	}
	if help = ask(args...); help.Recovered == nil {
		t.Fatalf("the helpers did not bring it back: %+v", help)
	}
	fourth.same(file)
}
