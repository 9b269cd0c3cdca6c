package main

import (
	"bytes"
	"strings"
	"testing"

	"vitrine/summary"
)

// What had no room in a summary is told, notes and whole logs.
func TestNoRoom(t *testing.T) {
	for want, s := range map[string]summary.Summary{
		"": {},
		"5 more notes had no room in the summary\n":                          {Logs: []summary.Log{{Omitted: 2}, {Omitted: 3}}},
		"what 1 more log told had no room in the summary\n":                  {Omitted: 1},
		"1 more note and what 2 more logs told had no room in the summary\n": {Omitted: 2, Logs: []summary.Log{{Omitted: 1}}},
	} {
		var out bytes.Buffer
		showSummary(&out, strings.Repeat("1a", 16), &s)
		if got := strings.TrimLeft(out.String(), "\n"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
