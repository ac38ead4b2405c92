//go:build tools

// Package tools pins the published programs that the conformance suites run.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
