// SPDX-License-Identifier: MPL-2.0

// Package rpc is what peers say to each other: who they are and where they
// can be reached, storing and reading shards, joining a circle with an
// invite. It is HTTP/1.1 over the connections of package transport, with
// small messages in deterministic CBOR and shards as plain bodies, so it can
// be read, tested and proxied like HTTP, and costs little more than TLS.
//
// Service is one device's part in it, as server and as client. A Client is
// another device seen from here; it implements peers.Keeper. Everything that
// comes from a peer is taken for hostile: each message has a limit in size,
// each transfer a limit to how long it may stand still, and what an answer
// claims is checked against what was asked.
package rpc
