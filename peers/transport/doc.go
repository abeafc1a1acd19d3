// SPDX-License-Identifier: MPL-2.0

// Package transport connects two devices that know each other by device ID.
// It makes and checks identities (Syncthing's certificates and IDs), dials
// and accepts TLS 1.3 connections pinned to them, and finds devices on the
// local network with Syncthing's discovery on a port of our own.
//
// Every connection is mutual TLS 1.3 with the ALPN "preezm/1". After the
// handshake the accepting side writes one byte that says whether the other
// may stay (see Welcome); the dialling side sends nothing before it has read
// it, so a refusal is always heard, which TLS 1.3 alone does not promise.
//
// What travels on a Conn is the business of package rpc. The bulk of all user
// data does, 1.67 times at 3 of 5, so Conn is built to cost little more than
// TLS itself: see conn.go.
package transport
