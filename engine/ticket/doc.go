// SPDX-License-Identifier: MPL-2.0

// Package ticket joins the time-limited key of package custody to files that
// are kept: what a granted version consists of (the [Manifest], which only the
// version's key opens), where its sealed chunks lie (the [Plan], which only the
// gateway reads), who may act towards whom on whose behalf ([Permit], [Pass],
// [Intro]), and the line of text that carries all of it to a brand ([Ticket]).
//
// A brand learns which file, under which key, through which gateway. It never
// learns which machines hold pieces or decide: those stand only in the plan.
//
// The package is pure, as custody is: gateways and keepers compute with it too.
package ticket
