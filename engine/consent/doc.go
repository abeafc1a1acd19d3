// SPDX-License-Identifier: MPL-2.0

// Package consent is what a company asks a person for before it is granted
// anything, and what the person answers: signed documents that say who wants
// what, what for, on which legal basis and for how long it will be kept. A
// request that leaves one of these out cannot be made. The answer is yes, a
// reduced yes, or no: a refusal is a record too. It is pure: it signs, checks
// and writes documents, and stores or sends nothing.
package consent
