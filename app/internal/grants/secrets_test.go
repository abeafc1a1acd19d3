// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers/sqlite"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

// shared gathers what processes write at once.
type shared struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

// expand is HKDF-Expand as docs/formats.md has it, to 32 bytes.
func expand(key []byte, label string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("preezm/v1/" + label))
	for _, p := range parts {
		h.Write(p)
	}
	h.Write([]byte{1})
	return h.Sum(nil)
}

// locks computes, from the owner's and the brand's secrets and the words of
// docs/formats.md alone, all that stands between a brand and a version: chain
// keys, pads, shares, the secret of the custodians and the version's key.
func (w *world) locks(text string) map[string][]byte {
	w.Helper()
	owner, kem, seats := w.everySecret()
	tk, err := ticket.Parse(text)
	w.must(err)
	g, b := tk.Grant, &tk.Grant.Body
	out := map[string][]byte{}
	day := custody.ExpiryDay(b.NotAfter)
	rec, err := hpke.NewRecipient(tk.Package.Body.Enc, kem, hpke.HKDFSHA256(), hpke.ExportOnly(), append([]byte("preezm/v1/package"), g.Hash[:]...))
	w.must(err)
	for n, e := range tk.Package.Body.Entries {
		var shares []secretsharing.Share
		for _, seat := range seats {
			chain, err := custody.NewChain(owner.Custody, seat, b.Generation).At(day)
			w.must(err)
			name, err := chain.Pseudonym(b)
			w.must(err)
			i := 0
			for i < len(b.Custodians) && b.Custodians[i] != custody.KeyOf(name) {
				i++
			}
			if i == len(b.Custodians) {
				w.Fatal("a custodian is not in the grant")
			}
			version := binary.BigEndian.AppendUint64(nil, e.Version)
			expiry := expand(chain.Key[:], "custody/expiry-key")
			pad := expand(expiry, "custody/pad", g.Hash[:], e.File[:], version, e.Salt[:])
			share := make([]byte, 32)
			for j := range share {
				share[j] = pad[j] ^ e.Corr[i][j]
			}
			out[fmt.Sprintf("chain key of custodian %d", i)] = chain.Key[:]
			out[fmt.Sprintf("expiry key of custodian %d", i)] = expiry
			out[fmt.Sprintf("pad %d of entry %d", i, n)] = pad
			out[fmt.Sprintf("share %d of entry %d", i, n)] = share
			value := group.Ristretto255.NewScalar()
			w.must(value.UnmarshalBinary(share))
			shares = append(shares, secretsharing.Share{ID: group.Ristretto255.NewScalar().SetUint64(uint64(i) + 1), Value: value})
		}
		version := binary.BigEndian.AppendUint64(nil, e.Version)
		second, err := rec.Export("file/"+string(e.File[:])+"/"+string(version), 32)
		w.must(err)
		// open joins the first of the shares as if so many were needed, and tries
		// the lock with what comes out.
		open := func(n int) (secret, kek, key []byte, err error) {
			s, err := secretsharing.Recover(uint(n-1), shares[:n])
			w.must(err)
			secret, err = s.MarshalBinary()
			w.must(err)
			prk, err := hkdf.Extract(sha256.New, append(bytes.Clone(secret), second...), []byte("preezm/v1/kek"))
			w.must(err)
			kek = expand(prk, "custody/kek", g.Hash[:], e.File[:], version, e.Salt[:])
			block, err := aes.NewCipher(kek)
			w.must(err)
			gcm, err := cipher.NewGCM(block)
			w.must(err)
			key, err = gcm.Open(nil, make([]byte, 12), e.Wrapped[:], g.Hash[:])
			return secret, kek, key, err
		}
		for fewer := 1; fewer < int(b.K); fewer++ {
			if _, _, _, err := open(fewer); err == nil {
				w.Errorf("%d custodians that cheat and the brand have the key", fewer)
			}
		}
		secret, kek, key, err := open(int(b.K))
		w.must(err) // and so many have: this is what is trusted
		out[fmt.Sprintf("secret of entry %d", n)] = secret
		out[fmt.Sprintf("wrapping key of entry %d", n)] = kek
		out[fmt.Sprintf("version key of entry %d", n)] = key
		// It is the key: the manifest opens with it.
		_, err = ticket.OpenManifest(tk.Manifests[n], [32]byte(key), e.File, e.Version)
		w.must(err)
	}
	return out
}

// everySecret takes the secrets of the owner and the brand out of their homes, and
// the custodians' seats.
func (w *world) everySecret() (identity.Secrets, hpke.PrivateKey, []custody.Seat) {
	w.Helper()
	var cs []node.Custodian
	w.must(w.fleet.Owner.Must(w.ctx, &cs, "custodians"))
	var seats []custody.Seat
	for _, c := range cs {
		seats = append(seats, custody.Seat(c.Device))
	}
	owner, err := identity.ReadOwner(vaulttest.Boxes(w.T, w.fleet.Owner.Dir)[vault.Owner], filepath.Join(w.fleet.Owner.Dir, "owner.key"))
	w.must(err)
	raw, err := vaulttest.Boxes(w.T, w.brand.Dir)[vault.Owner].ReadFile(filepath.Join(w.brand.Dir, "brand", "brand.json"), 1<<20)
	w.must(err)
	var keys struct {
		KEM []byte `json:"kem"`
	}
	w.must(json.Unmarshal(raw, &keys))
	kem, err := hpke.MLKEM768X25519().NewPrivateKey(keys.KEM)
	w.must(err)
	return owner.Secrets(), kem, seats
}

// spellings are a secret as it may lie about: raw, in hexadecimal, and in base64
// wherever it begins in what was encoded.
func spellings(secret []byte) [][]byte {
	out := [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(strings.ToUpper(hex.EncodeToString(secret)))}
	for shift := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			s := enc.EncodeToString(append(make([]byte, shift), secret...))
			first := (shift*8 + 5) / 6 // letters that hold other bits too
			last := (shift + len(secret)) * 8 / 6
			out = append(out, []byte(s[first:last]))
		}
	}
	return out
}

// homeText is all that lies in a home: its files as they are and, where its own
// keys open them, as they are meant. The ratchet is the sealed place of chains.
func (w *world) homeText(h *e2e.Home) []byte {
	w.Helper()
	boxes := vaulttest.Boxes(w.T, h.Dir)
	var all bytes.Buffer
	w.must(filepath.WalkDir(h.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		all.Write(raw)
		opened := 0
		for _, box := range boxes {
			if plain, err := box.Open(path, raw); err == nil {
				all.Write(plain)
			}
			if strings.HasSuffix(path, ".db") && w.dump(&all, path, box.DBKey(filepath.Base(path))) == nil {
				opened++
			}
		}
		if strings.HasSuffix(path, ".db") && opened == 0 {
			err = w.dump(&all, path, nil)
		}
		return err
	}))
	return all.Bytes()
}

// dump writes every value of a database.
func (w *world) dump(all *bytes.Buffer, path string, key []byte) error {
	db, err := sqlite.Open(path, sqlite.Options{Key: key, ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(w.ctx, "SELECT name FROM sqlite_master WHERE type = 'table'")
	if err != nil {
		return err
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		tables = append(tables, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, t := range tables {
		if err := dumpTable(w.ctx, all, db, t); err != nil {
			return err
		}
	}
	return nil
}

func dumpTable(ctx context.Context, all *bytes.Buffer, db *sql.DB, table string) error {
	rows, err := db.QueryContext(ctx, `SELECT * FROM "`+table+`"`)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for _, v := range values {
			all.Write(v)
			all.WriteByte(0)
		}
	}
	return rows.Err()
}

// TestSecretsStayWhereTheyBelong reads every home and every log of an opening, a
// refusal, a withdrawal and a removed custodian for what must be in none of them.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	w := newWorld(t)
	logs := &shared{}
	everybody := append([]*e2e.Home{w.fleet.Owner, w.brand}, w.fleet.Keepers...)
	for _, h := range everybody {
		w.must(h.Kill())
		h.Log = logs
		w.must(h.Start(w.ctx, "-v"))
	}
	g := w.grant("papers", "--for", "1h", "--via", "keeper1")
	w.opens(g.Ticket)
	w.must(w.fleet.Owner.Must(w.ctx, nil, "revoke", g.ID))
	w.refused(g.Ticket, "withdrawn")
	w.must(w.fleet.Owner.Must(w.ctx, nil, "custodians", "remove", "keeper5"))
	w.must(w.fleet.Owner.Must(w.ctx, nil, "custodians", "add", "keeper5"))
	for _, h := range everybody {
		w.must(h.Stop(w.ctx))
	}

	secrets := w.locks(g.Ticket)
	if len(secrets) < 2*keepers+2*(2*keepers+3) {
		t.Fatalf("only %d secrets are known", len(secrets))
	}
	places := map[string][]byte{"a log": logs.buf.Bytes()}
	for _, h := range everybody {
		places["the home "+filepath.Base(h.Dir)] = w.homeText(h)
	}
	tk, err := ticket.Parse(g.Ticket)
	w.must(err)
	for where, text := range places {
		// What must be there, so that it is known that the search finds things.
		known := tk.Grant.Hash[:]
		switch where {
		case "the home acme":
			known = []byte(g.Ticket)
		case "a log":
			known = []byte("refused")
		}
		if !bytes.Contains(text, known) {
			t.Errorf("%s does not have what it should: the search finds nothing", where)
		}
		for what, secret := range secrets {
			for _, s := range spellings(secret) {
				if bytes.Contains(text, s) {
					t.Errorf("%s has the %s", where, what)
				}
			}
		}
	}
}
