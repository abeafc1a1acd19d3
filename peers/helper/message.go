// SPDX-License-Identifier: MPL-2.0

package helper

import (
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// The verbs of a helper's route.
const (
	VerbKeep  = "keep"  // an owner hands a share over: the document
	VerbDrop  = "drop"  // or ends its sets
	VerbAsk   = "ask"   // a newcomer asks, or how far it is
	VerbFetch = "fetch" // and takes the share
	VerbAlert = "alert" // a helper tells the others and the owner
	VerbVeto  = "veto"  // one of them forbids it
)

// MaxMessage bounds a message and an answer, in bytes.
const MaxMessage = 48 << 10

const maxName = 64

// Ask is what a newcomer says. Owner is the name or the root of whom to bring
// back.
type Ask struct {
	Owner string `cbor:"1,keyasint"`
	Name  string `cbor:"2,keyasint"` // of the newcomer's machine
	KEM   []byte `cbor:"3,keyasint"` // X-Wing, of this attempt only
}

// Progress is the answer to Ask and Fetch.
type Progress struct {
	State  State       `cbor:"1,keyasint"`
	ID     ID          `cbor:"2,keyasint"`
	Nonce  [16]byte    `cbor:"3,keyasint"`
	Owner  custody.Key `cbor:"4,keyasint"`
	Name   string      `cbor:"5,keyasint"` // of the owner
	K      uint8       `cbor:"6,keyasint"`
	N      uint8       `cbor:"7,keyasint"`
	Until  int64       `cbor:"8,keyasint"` // Unix seconds; 0: no yes yet
	Doc    []byte      `cbor:"9,keyasint"` // with the share only
	Sealed []byte      `cbor:"10,keyasint"`
}

type fetchMsg struct {
	ID ID `cbor:"1,keyasint"`
}

type alertMsg struct {
	ID    ID          `cbor:"1,keyasint"`
	Owner custody.Key `cbor:"2,keyasint"`
	Name  string      `cbor:"3,keyasint"`
	Until int64       `cbor:"4,keyasint"`
}

type vetoMsg struct {
	ID    ID          `cbor:"1,keyasint"`
	Owner custody.Key `cbor:"2,keyasint"`
}

// DecodeProgress reads a helper's answer.
func DecodeProgress(raw []byte) (*Progress, error) {
	var p Progress
	if err := custody.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	if len(p.Name) > maxName || len(p.State) > 16 {
		return nil, peers.ErrProtocol
	}
	return &p, nil
}

// EncodeFetch is what a newcomer says to take its share.
func EncodeFetch(id ID) ([]byte, error) { return custody.Marshal(fetchMsg{id}) }
