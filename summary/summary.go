// Package summary makes of logs what a reader wants to know first: what failed,
// with its messages, the recap of hosts, warnings, and the lines where they stand.
//
// A summary is made of plaintext while it is sealed, and is itself sealed to the
// same readers. It must never grow large, whatever a log holds, and nothing of it
// may become public but the counts that a service's keyring file allows.
package summary

import (
	"errors"

	"vitrine/outline"
)

// Path is where the summary of a build lies among its artifacts, and Type the
// "type" in its metadata.
const (
	Path    = "vitrine-summary.json"
	Type    = "vitrine_summary"
	MaxSize = 1 << 20 // bytes of its JSON
)

// A Summary is what is worth knowing of a build's logs.
type Summary struct {
	Version int   `json:"version"` // 1
	Logs    []Log `json:"logs"`    // those that have anything to tell, by path
}

// A Log is what one log tells.
type Log struct {
	Path     string `json:"path"`  // plain path of the artifact
	Lines    int64  `json:"lines"` // of the log
	Failures []Note `json:"failures,omitempty"`
	Errors   []Note `json:"errors,omitempty"`
	Warnings []Note `json:"warnings,omitempty"`
	Recap    []Host `json:"recap,omitempty"`
	// Omitted counts notes beyond the bounds.
	Omitted int `json:"omitted,omitempty"`
}

// A Note is a line that tells something.
type Note struct {
	Line    int64        `json:"line"` // from 1
	Kind    outline.Kind `json:"kind"`
	Task    string       `json:"task,omitempty"` // that it belongs to
	Host    string       `json:"host,omitempty"`
	Message string       `json:"message"` // without escape sequences, cut
}

// A Host is a host of Ansible's recap.
type Host struct {
	Name        string `json:"name"`
	OK          int    `json:"ok"`
	Changed     int    `json:"changed"`
	Unreachable int    `json:"unreachable"`
	Failed      int    `json:"failed"`
	Skipped     int    `json:"skipped"`
	Rescued     int    `json:"rescued"`
	Ignored     int    `json:"ignored"`
}

// Marshal returns the JSON of a summary.
func (s *Summary) Marshal() ([]byte, error) { return nil, errors.ErrUnsupported }

// Parse parses a summary, which is as hostile as the log it was made of.
func Parse(text []byte) (*Summary, error) { return nil, errors.ErrUnsupported }
