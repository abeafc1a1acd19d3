// SPDX-License-Identifier: MPL-2.0

package caretask

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

var update = flag.Bool("update", false, "write testdata again (only for a new format version)")

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))

func device(b byte) peers.DeviceID { return peers.DeviceID(bytes.Repeat([]byte{b}, 32)) }

func sample(t testing.TB) (Task, Part) {
	t.Helper()
	var p Part
	for s := range 3 {
		seg := Segment{K: 2, Size: 1000}
		for i := range 3 {
			seg.Pieces = append(seg.Pieces, Piece{Keeper: uint8(i), ID: peers.ShardID{byte(s), byte(i), 1}, Root: peers.Root{byte(s), byte(i), 2}})
		}
		seg.Pieces[2].Keeper = Nowhere
		raw, err := seg.Encode()
		if err != nil {
			t.Fatal(err)
		}
		p = append(p, raw)
	}
	return Task{
		Owner: device(1), Caretaker: device(2), Number: 5, At: 1_800_000_000, Until: 1_800_086_400, Grace: 259_200,
		Keepers: []Keeper{{Device: device(2), Addresses: []string{"192.0.2.1:24930"}}, {Device: device(3), Addresses: []string{}, House: 1, Person: 1}},
		Parts:   []custody.Hash{p.Hash()}, Segments: 3,
	}, p
}

type vectors struct {
	Seed  string `json:"seed"`
	Task  string `json:"task"`
	Part  string `json:"part"`
	Hash  string `json:"part_hash"`
	Proof string `json:"proof"`
	ID    string `json:"id"`
	To    string `json:"to"`
	Moved string `json:"moved"`
	// Refuse are signed tasks that must not be taken.
	Refuse map[string]string `json:"refuse"`
}

func fresh(t *testing.T) *vectors {
	task, p := sample(t)
	s, err := custody.Sign(key, task)
	if err != nil {
		t.Fatal(err)
	}
	body, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	proof, err := custody.Marshal(task.Prove(0, p, 1))
	if err != nil {
		t.Fatal(err)
	}
	id, h := peers.ShardID(bytes.Repeat([]byte{9}, 32)), p.Hash()
	moved := Moved(id, device(3))
	v := &vectors{
		Seed: hex.EncodeToString(key.Seed()), Task: hex.EncodeToString(s.Raw), Part: hex.EncodeToString(body), Hash: hex.EncodeToString(h[:]),
		Proof: hex.EncodeToString(proof), ID: hex.EncodeToString(id[:]), To: device(3).String(), Moved: hex.EncodeToString(moved[:]), Refuse: map[string]string{},
	}
	for name, change := range wrong {
		bad, _ := sample(t)
		change(&bad)
		v.Refuse[name] = hex.EncodeToString(unchecked(t, bad))
	}
	return v
}

// unchecked signs what Sign would refuse.
func unchecked(t *testing.T, task Task) []byte {
	t.Helper()
	payload, err := custody.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	tbs := append([]byte("preezm-sig/v1\x00"+task.Type()+"\x00"), payload...)
	var sig [64]byte
	copy(sig[:], ed25519.Sign(key, tbs))
	raw, err := custody.Marshal(struct {
		Type    string      `cbor:"1,keyasint"`
		Payload []byte      `cbor:"2,keyasint"`
		Signer  custody.Key `cbor:"3,keyasint"`
		Sig     [64]byte    `cbor:"4,keyasint"`
	}{task.Type(), payload, custody.KeyOf(key), sig})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// wrong are tasks that nobody honest signs.
var wrong = map[string]func(*Task){
	"no number":           func(t *Task) { t.Number = 0 },
	"to itself":           func(t *Task) { t.Caretaker = t.Owner },
	"too long":            func(t *Task) { t.Until = t.At + MaxTerm + 1 },
	"negative grace":      func(t *Task) { t.Grace = -1 },
	"keepers unordered":   func(t *Task) { t.Keepers[0], t.Keepers[1] = t.Keepers[1], t.Keepers[0] },
	"a keeper twice":      func(t *Task) { t.Keepers[1].Device = t.Keepers[0].Device },
	"the owner keeps":     func(t *Task) { t.Keepers[0].Device = t.Owner },
	"an empty address":    func(t *Task) { t.Keepers[0].Addresses = []string{""} },
	"taken back and not":  func(t *Task) { t.Until = t.At },
	"segments in nothing": func(t *Task) { t.Segments = MaxSegments + 1 },
}

func TestVectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.json")
	if *update {
		b, err := json.MarshalIndent(fresh(t), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	now := fresh(t)
	if now.Task != v.Task || now.Part != v.Part || now.Hash != v.Hash || now.Proof != v.Proof || now.Moved != v.Moved {
		t.Errorf("what is written has changed:\n%+v\n%+v", now, v)
	}
	if len(v.Refuse) != len(wrong) {
		t.Errorf("%d tasks to refuse, not %d", len(v.Refuse), len(wrong))
	}
	for name, text := range v.Refuse {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw, key.Public().(ed25519.PublicKey)); !errors.Is(err, custody.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw, err := hex.DecodeString(v.Task)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(raw, make([]byte, 32)); !errors.Is(err, custody.ErrMalformed) {
		t.Errorf("another machine's signature: %v", err)
	}
}

func TestProofs(t *testing.T) {
	task, p := sample(t)
	for at := range p {
		seg, err := task.Segment(task.Prove(0, p, at))
		if err != nil || seg.Pieces[0].ID[0] != byte(at) {
			t.Fatalf("segment %d: %+v, %v", at, seg, err)
		}
	}
	for name, change := range map[string]func(*Proof){
		"another owner":   func(x *Proof) { x.Owner = device(9) },
		"another number":  func(x *Proof) { x.Number++ },
		"no such part":    func(x *Proof) { x.Part = 1 },
		"another place":   func(x *Proof) { x.At = 2 },
		"beyond the part": func(x *Proof) { x.At = 3 },
		"another segment": func(x *Proof) { x.Raw = p[2] },
		"its own hash put in": func(x *Proof) {
			x.Raw = append(bytes.Clone(x.Raw[:len(x.Raw)-1]), 7)
			x.Hashes[x.At] = SegmentHash(x.Raw)
		},
		"a hash left out": func(x *Proof) { x.Hashes = x.Hashes[:2] },
	} {
		x := task.Prove(0, p, 1)
		change(x)
		if seg, err := task.Segment(x); !errors.Is(err, custody.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, seg, err)
		}
	}
}

// A moved piece is spoken of by the owner's lists as the one it replaces is.
func TestMovedNames(t *testing.T) {
	var id peers.ShardID
	shardlist.Join(&id, shardlist.Tag{1, 2, 3}, 77)
	a, b := Moved(id, device(1)), Moved(id, device(2))
	if a == id || a == b {
		t.Errorf("names are not told apart: %s %s %s", id, a, b)
	}
	if tag, n := shardlist.Split(a); tag != (shardlist.Tag{1, 2, 3}) || n != 77 {
		t.Errorf("epoch %x, number %d", tag, n)
	}
}

func FuzzDecode(f *testing.F) {
	task, p := sample(f)
	s, err := custody.Sign(key, task)
	if err != nil {
		f.Fatal(err)
	}
	body, err := p.Encode()
	if err != nil {
		f.Fatal(err)
	}
	proof, err := custody.Marshal(task.Prove(0, p, 1))
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{s.Raw, body, proof, p[0]} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := custody.Reread[Task](raw); err == nil {
			if again, err := custody.Marshal(s.Body); err != nil || s.Body.Check() != nil {
				t.Fatalf("%x %v", again, err)
			}
		}
		if p, segs, err := DecodePart(raw); err == nil {
			again, err := p.Encode()
			if err != nil || !bytes.Equal(again, raw) || len(segs) != len(p) {
				t.Fatalf("%x %v", again, err)
			}
		}
		if s, err := DecodeSegment(raw); err == nil {
			if again, err := s.Encode(); err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("%x %v", again, err)
			}
		}
		if x, err := DecodeProof(raw); err == nil {
			_, _ = task.Segment(x)
		}
	})
}
