// Package testdata holds real logs and screenshots of a small deployment, as
// the programs that made them wrote them. The demo publishes them, the tests
// seal, index and search them. logs/README.md says how each was made.
package testdata

import "embed"

// FS has the folders logs, screenshots and report.
//
//go:embed logs/*.log logs/*.json logs/build.log.zst screenshots/*.png report/*
var FS embed.FS
