// SPDX-License-Identifier: MPL-2.0

//go:build !linux

package main

func syncDisks() {}

func cpuModel() string { return "" }
