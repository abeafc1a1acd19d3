// SPDX-License-Identifier: MPL-2.0

// Package helpers cuts an owner's secret so that k of n persons can give it back
// when the words are lost: Shamir's sharing of a random scalar of ristretto255
// with Feldman's commitments, which wraps the secret. Each helper gets one signed
// document with its share sealed to its machine, and sees at once whether that
// share is good. The package is pure: no network, no disk.
package helpers
