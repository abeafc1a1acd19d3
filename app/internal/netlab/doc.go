// SPDX-License-Identifier: MPL-2.0

// Package netlab builds small internets out of network namespaces, to try real
// preezm processes in: local networks behind routers that translate addresses,
// a public place between them, and lines that are slow, far, lossy or cut. It
// needs root on Linux with iproute2 and nftables, and touches nothing outside
// the namespaces that it makes.
package netlab
