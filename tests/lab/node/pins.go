//go:build pins

// What go.mod pins for tests/lab/build, and no file of ours imports: the conformance suite, built as its own test binary.
package main

import _ "sigs.k8s.io/gateway-api/conformance"
