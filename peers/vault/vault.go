// SPDX-License-Identifier: MPL-2.0

package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/said"
)

// File is where the wrapped keys lie, in the home.
const File = "vault.json"

const (
	format  = 1
	maxFile = 64 << 10

	keyFilePrefix = "home-"
	keyFileSuffix = ".key"
	keyFileHeader = "preezm home key 1\n"
)

// By is what keeps the key of a part.
type By string

// The ways.
const (
	ByKeychain   By = "keychain"   // the system's keychain
	ByPassphrase By = "passphrase" // nothing on this machine
	ByKeyFile    By = "keyfile"    // a file in the home: who copies the folder has it all
)

var (
	// ErrNeedPassphrase: the part opens with a passphrase, and none was given.
	ErrNeedPassphrase = said.Error("need-passphrase", "is locked and opens with your passphrase")
	// ErrPassphrase: it is another passphrase.
	ErrPassphrase = said.Error("passphrase", "this is not the passphrase of this home")
	// ErrWeak: the passphrase is too short to be one.
	ErrWeak = said.Error("weak", "a passphrase has at least {least} characters", "least", strconv.Itoa(MinPassphrase))
	// ErrKeyGone: the keychain or the key file does not hold the key any more.
	ErrKeyGone = said.Error("key-gone", "the key of this home is gone")
	// ErrDamaged: vault.json is not what the program wrote.
	ErrDamaged = said.Error("key-damaged", "is damaged: take it from a copy of the home folder, or recover with your 24 words in a new home")
	// ErrNewer: a later version of the program wrote it.
	ErrNewer = said.Error("key-newer", "was written by a newer version of Preezm; update this program")
)

// MinPassphrase is how many characters a passphrase has at least.
const MinPassphrase = 8

// params are what argon2id takes, stored so that they can grow.
type params struct {
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory_kib"`
	Threads uint8  `json:"threads"`
	Salt    string `json:"salt"` // hex
}

// The parameters of new passphrases (RFC 9106's second choice), and the most
// that a file may ask for.
const (
	argonTime, argonMemory, argonThreads = 3, 64 << 10, 4
	maxArgonTime, maxArgonMemory         = 64, 4 << 20
	saltSize                             = 16
)

// wrap is how one part's key is wrapped.
type wrap struct {
	By     By      `json:"by"`
	Ref    string  `json:"ref"` // which entry, file or passphrase
	Argon  *params `json:"argon2id,omitempty"`
	Sealed string  `json:"sealed"` // hex: nonce, key, tag
}

// content is vault.json.
type content struct {
	Format int `json:"format"`
	// Sealing: an old home is on its way to be sealed, and plain files are to
	// be expected.
	Sealing bool          `json:"sealing,omitempty"`
	Parts   map[Part]wrap `json:"parts"`
	// Spare are keys that are being made, or given up: whoever finds them here
	// and in no part removes them. It is empty but while a change is under way.
	Spare []spare `json:"spare,omitempty"`
}

// spare is a key that lies somewhere.
type spare struct {
	By  By     `json:"by"`
	Ref string `json:"ref"`
}

// Vault is the wrapped keys of one home. The caller holds the home's lock.
type Vault struct {
	dir   string
	chain Keychain
	in    content
	step  func(string) // tests die here; may be nil
}

// How says what is to keep a part's key.
type How struct {
	By         By
	Passphrase []byte // for ByPassphrase
}

// Create makes a vault in dir, which has none, with fresh keys. sealing tells
// that dir is an old home whose files are still plain.
func Create(dir string, chain Keychain, how map[Part]How, sealing bool) (*Vault, map[Part]*Box, error) {
	v := &Vault{dir: dir, chain: chain, in: content{Format: format, Sealing: sealing}}
	if _, err := os.Lstat(v.path()); !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.Join(fs.ErrExist, err)
	}
	boxes := map[Part]*Box{}
	for _, p := range Parts {
		b := &Box{dir: dir, part: p, lenient: sealing}
		rand.Read(b.key[:])
		boxes[p] = b
	}
	return v, boxes, v.Rewrap(boxes, how)
}

// Open reads the vault of dir. An error that is fs.ErrNotExist: there is none.
func Open(dir string, chain Keychain) (*Vault, error) {
	v := &Vault{dir: dir, chain: chain}
	raw, err := readAll(v.path(), maxFile)
	if err != nil {
		return nil, err
	}
	if v.in, err = decode(raw); err != nil {
		return nil, fmt.Errorf("%s %w", v.path(), err)
	}
	return v, nil
}

func (v *Vault) path() string { return filepath.Join(v.dir, File) }

func decode(raw []byte) (content, error) {
	var in content
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		var probe struct {
			Format int `json:"format"`
		}
		if json.Unmarshal(raw, &probe) == nil && probe.Format > format {
			return content{}, ErrNewer
		}
		return content{}, ErrDamaged
	}
	if in.Format > format {
		return content{}, ErrNewer
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) || in.Format != format || len(in.Parts) != len(Parts) {
		return content{}, ErrDamaged
	}
	for _, p := range Parts {
		w := in.Parts[p]
		if ref, err := hex.DecodeString(w.Ref); err != nil || len(ref) != 8 {
			return content{}, ErrDamaged
		}
		if (w.By == ByPassphrase) != (w.Argon != nil) {
			return content{}, ErrDamaged
		}
		switch w.By {
		case ByKeychain, ByKeyFile:
		case ByPassphrase:
			a := w.Argon
			salt, err := hex.DecodeString(a.Salt)
			if err != nil || len(salt) != saltSize || a.Time < 1 || a.Time > maxArgonTime ||
				a.Memory < 8 || a.Memory > maxArgonMemory || a.Threads < 1 {
				return content{}, ErrDamaged
			}
		default:
			return content{}, ErrDamaged
		}
	}
	for _, s := range in.Spare {
		if ref, err := hex.DecodeString(s.Ref); err != nil || len(ref) != 8 || s.By != ByKeychain && s.By != ByKeyFile {
			return content{}, ErrDamaged
		}
	}
	return in, nil
}

// By tells what keeps a part's key.
func (v *Vault) By(p Part) By { return v.in.Parts[p].By }

// Sealing tells whether the files of an old home are still to be sealed.
func (v *Vault) Sealing() bool { return v.in.Sealing }

// Sealed notes that all files are sealed: from now on no plain one is taken.
func (v *Vault) Sealed(boxes map[Part]*Box) error {
	in := v.in
	in.Sealing = false
	if err := v.write(in); err != nil {
		return err
	}
	for _, b := range boxes {
		b.lenient = false
	}
	return nil
}

func (v *Vault) write(in content) error {
	raw, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Replace(v.path(), append(raw, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", File, err)
	}
	v.in = in
	return nil
}

// Unlock opens parts, which share the work where they share a key. passphrase
// is called at most once, when one is needed; nil or an empty answer is
// ErrNeedPassphrase.
func (v *Vault) Unlock(passphrase func() ([]byte, error), parts ...Part) (map[Part]*Box, error) {
	keys := map[string][]byte{} // by Ref
	var typed []byte
	out := map[Part]*Box{}
	for _, p := range parts {
		w := v.in.Parts[p]
		key, ok := keys[w.Ref]
		if !ok {
			var err error
			if w.By == ByPassphrase && typed == nil {
				if passphrase == nil {
					return nil, ErrNeedPassphrase
				}
				if typed, err = passphrase(); err != nil {
					return nil, err
				}
				if len(typed) == 0 {
					return nil, ErrNeedPassphrase
				}
			}
			if key, err = v.wrapKey(w, typed); err != nil {
				return nil, err
			}
			keys[w.Ref] = key
		}
		b := &Box{dir: v.dir, part: p, lenient: v.in.Sealing}
		if err := open(key, p, w, &b.key); err != nil {
			if w.By == ByPassphrase {
				return nil, ErrPassphrase
			}
			return nil, fmt.Errorf("%s: %w: what the %s gives does not open it", v.path(), ErrKeyGone, w.By)
		}
		out[p] = b
	}
	return out, nil
}

// wrapKey fetches or computes the key that wraps.
func (v *Vault) wrapKey(w wrap, passphrase []byte) ([]byte, error) {
	switch w.By {
	case ByKeychain:
		if v.chain == nil {
			return nil, fmt.Errorf("%w: this home needs the system's keychain, and there is none here", ErrKeyGone)
		}
		key, err := v.chain.Get(w.Ref)
		if err != nil {
			return nil, fmt.Errorf("the system's keychain: %w", err)
		}
		return key, nil
	case ByPassphrase:
		return stretch(passphrase, w.Argon)
	}
	raw, err := readAll(v.keyFile(w.Ref), maxFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyGone, err)
	}
	text, ok := strings.CutPrefix(string(raw), keyFileHeader)
	key, err := hex.DecodeString(strings.TrimSuffix(text, "\n"))
	// The decoder's own error would quote a character of the key.
	if !ok || err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%s %w", v.keyFile(w.Ref), ErrDamaged)
	}
	return key, nil
}

func (v *Vault) keyFile(ref string) string {
	return filepath.Join(v.dir, keyFilePrefix+ref+keyFileSuffix)
}

// IsKeyFile tells whether a file of that name in a home is a key file.
func IsKeyFile(name string) bool {
	return strings.HasPrefix(name, keyFilePrefix) && strings.HasSuffix(name, keyFileSuffix)
}

// stretch makes a key of a passphrase; however its accents were typed.
func stretch(passphrase []byte, a *params) ([]byte, error) {
	salt, err := hex.DecodeString(a.Salt)
	if err != nil {
		return nil, ErrDamaged
	}
	text := norm.NFKC.Bytes(passphrase)
	return argon2.IDKey(text, salt, a.Time, a.Memory, a.Threads, keySize), nil
}

// Rewrap wraps the keys of boxes anew. A crash leaves the old way or the new
// one: the new key is kept before vault.json names it as a part's, and the old one
// goes after. All that may lie about meanwhile is noted there, for Tidy.
func (v *Vault) Rewrap(boxes map[Part]*Box, how map[Part]How) error {
	for _, p := range Parts {
		if boxes[p] == nil {
			return fmt.Errorf("the %s part is locked", p)
		}
	}
	made := map[By]*newKey{}
	var fresh, old []spare
	for _, p := range Parts {
		h := how[p]
		if made[h.By] != nil {
			continue
		}
		n, err := v.newKey(h)
		if err != nil {
			return err
		}
		made[h.By] = n
		if h.By != ByPassphrase {
			fresh = append(fresh, spare{h.By, n.wrap.Ref})
		}
	}
	for _, w := range v.in.Parts {
		if w.By != ByPassphrase && !slices.Contains(old, spare{w.By, w.Ref}) {
			old = append(old, spare{w.By, w.Ref})
		}
	}
	// What an earlier change could not remove stays noted through this one.
	before := v.in.Spare
	fresh, old = slices.Concat(before, fresh), slices.Concat(before, old)
	if len(v.in.Parts) > 0 { // a new vault has no file to note anything in
		in := v.in
		in.Spare = fresh
		if err := v.write(in); err != nil {
			return err
		}
		v.at("noted")
	}
	in := content{Format: format, Sealing: v.in.Sealing, Parts: map[Part]wrap{}, Spare: old}
	for _, n := range made {
		if err := v.keep(n); err != nil {
			return errors.Join(err, v.dropSpare(fresh))
		}
		v.at("key kept")
	}
	for _, p := range Parts {
		n := made[how[p].By]
		w := n.wrap
		var err error
		if w.Sealed, err = closeKey(n.key, p, w, boxes[p].key); err != nil {
			return errors.Join(err, v.dropSpare(fresh))
		}
		in.Parts[p] = w
	}
	if err := v.write(in); err != nil {
		return err // the disk has one or the other: both keys stay for Tidy
	}
	v.at("written")
	if err := v.dropSpare(old); err != nil {
		return fmt.Errorf("the key was changed, and one from before is still where it was; it is removed later: %w", err)
	}
	return nil
}

// newKey is a key that is to wrap, and how.
type newKey struct {
	wrap wrap
	key  []byte
}

// newKey draws a key, or makes it of a passphrase. Nothing keeps it yet.
func (v *Vault) newKey(h How) (*newKey, error) {
	id := make([]byte, 8)
	rand.Read(id)
	n := &newKey{wrap{By: h.By, Ref: hex.EncodeToString(id)}, make([]byte, keySize)}
	rand.Read(n.key)
	switch h.By {
	case ByKeychain:
		if v.chain == nil {
			return nil, ErrNoKeychain
		}
	case ByPassphrase:
		if len([]rune(string(h.Passphrase))) < MinPassphrase {
			return nil, ErrWeak
		}
		salt := make([]byte, saltSize)
		rand.Read(salt)
		n.wrap.Argon = &params{argonTime, argonMemory, argonThreads, hex.EncodeToString(salt)}
		var err error
		if n.key, err = stretch(h.Passphrase, n.wrap.Argon); err != nil {
			return nil, err
		}
	case ByKeyFile:
	default:
		return nil, fmt.Errorf("a key is kept by the keychain, a passphrase or a key file, not by %q", h.By)
	}
	return n, nil
}

// keep puts a new key where it stays.
func (v *Vault) keep(n *newKey) error {
	switch n.wrap.By {
	case ByKeychain:
		if err := v.chain.Set(n.wrap.Ref, n.key); err != nil {
			return fmt.Errorf("the system's keychain: %w", err)
		}
	case ByKeyFile:
		if err := durable.WriteNew(v.keyFile(n.wrap.Ref), []byte(keyFileHeader+hex.EncodeToString(n.key)+"\n"), 0o600); err != nil {
			return fmt.Errorf("write the key file: %w", err)
		}
	}
	return nil
}

// dropSpare removes keys that no part names, and then the note of them. One that
// cannot be removed now, since the keychain is not there, stays noted.
func (v *Vault) dropSpare(keys []spare) error {
	var errs []error
	var left []spare
	for _, s := range keys {
		var err error
		switch {
		case v.uses(s):
			continue
		case s.By == ByKeyFile:
			err = removeFile(v.keyFile(s.Ref))
		case v.chain != nil:
			err = v.chain.Delete(s.Ref)
		default:
			err = ErrNoKeychain
		}
		if err != nil {
			errs, left = append(errs, err), append(left, s)
		}
	}
	v.at("dropped")
	if len(v.in.Parts) == 0 || len(v.in.Spare) == 0 && len(left) == 0 {
		return errors.Join(errs...) // nothing was noted
	}
	in := v.in
	in.Spare = left
	return errors.Join(append(errs, v.write(in))...)
}

func (v *Vault) uses(s spare) bool {
	for _, w := range v.in.Parts {
		if w.By == s.By && w.Ref == s.Ref {
			return true
		}
	}
	return false
}

// Tidy removes keys that a change of keys left when it was cut off: those that
// were noted, and key files that nothing names. A keychain that is not there now is
// asked the next time.
func (v *Vault) Tidy() error {
	if len(v.in.Spare) > 0 {
		if err := v.dropSpare(v.in.Spare); err != nil && !errors.Is(err, ErrNoKeychain) {
			return err
		}
	}
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		ref := strings.TrimSuffix(strings.TrimPrefix(e.Name(), keyFilePrefix), keyFileSuffix)
		if id, err := hex.DecodeString(ref); !IsKeyFile(e.Name()) || err != nil || len(id) != 8 {
			continue
		}
		if !v.uses(spare{ByKeyFile, ref}) {
			errs = append(errs, removeFile(filepath.Join(v.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// removeFile writes over a key before it goes, as far as disks do that.
func removeFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, len(keyFileHeader)+2*keySize+1))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path), durable.SyncDir(filepath.Dir(path)))
}

func (v *Vault) at(point string) {
	if v.step != nil {
		v.step(point)
	}
}

// wrapper is the cipher that wraps one part's key, and what it is bound to.
func wrapper(key []byte, p Part, w wrap) (cipher.AEAD, []byte, error) {
	label := "preezm/v1/wrap/" + string(p) + "/" + string(w.By) + "/" + w.Ref
	sub, err := hkdf.Expand(sha256.New, key, label, keySize)
	if err != nil {
		return nil, nil, err
	}
	c, err := aes.NewCipher(sub)
	if err != nil {
		return nil, nil, err
	}
	g, err := cipher.NewGCM(c)
	return g, []byte(label), err
}

func closeKey(key []byte, p Part, w wrap, part [keySize]byte) (string, error) {
	g, bound, err := wrapper(key, p, w)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, g.NonceSize())
	rand.Read(nonce)
	return hex.EncodeToString(g.Seal(nonce, nonce, part[:], bound)), nil
}

func open(key []byte, p Part, w wrap, into *[keySize]byte) error {
	g, bound, err := wrapper(key, p, w)
	if err != nil {
		return err
	}
	raw, err := hex.DecodeString(w.Sealed)
	if err != nil || len(raw) != g.NonceSize()+keySize+g.Overhead() {
		return ErrDamaged
	}
	plain, err := g.Open(nil, raw[:g.NonceSize()], raw[g.NonceSize():], bound)
	if err != nil {
		return ErrSealed
	}
	copy(into[:], plain)
	clear(plain)
	return nil
}
