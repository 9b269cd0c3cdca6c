// Package summary makes of logs what a reader wants to know first: what failed,
// with its messages, the recap of hosts, warnings, and the lines where they stand.
//
// A summary is made of plaintext while it is sealed, and is itself sealed to the
// same readers. It must never grow large, whatever a log holds, and nothing of it
// may become public but the counts that a service's keyring file allows.
package summary

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"vitrine"
	"vitrine/outline"
)

// Path is where the summary of a build lies among its artifacts.
const (
	Path    = "vitrine-summary.json"
	MaxSize = 1 << 20 // bytes of its JSON
)

// Bounds of a summary.
const (
	MaxLogs    = 1000    // that are told of
	MaxNotes   = 64      // of each kind, of one log
	MaxHosts   = 500     // in the recap of one log
	MaxMessage = 4 << 10 // bytes
)

// A Summary is what is worth knowing of a build's logs.
type Summary struct {
	Version int   `json:"version"` // 1
	Logs    []Log `json:"logs"`    // those that have anything to tell, by path
	// Omitted counts logs beyond the bounds.
	Omitted int `json:"omitted,omitempty"`

	size int // about the bytes that Logs take
}

// A Log is what one log tells.
type Log struct {
	Path     string `json:"path"`  // plain path of the artifact
	Lines    int64  `json:"lines"` // of the log
	Failures []Note `json:"failures,omitempty"`
	Errors   []Note `json:"errors,omitempty"`
	// Warnings are also failures of Ansible that were ignored or rescued: their
	// kind is still that of a failure.
	Warnings []Note `json:"warnings,omitempty"`
	Recap    []Host `json:"recap,omitempty"` // by name, over all plays
	// Omitted counts notes beyond the bounds.
	Omitted int `json:"omitted,omitempty"`
}

// A Note is a line that tells something.
type Note struct {
	Line    int64        `json:"line"`           // from 1
	Kind    outline.Kind `json:"kind"`           // a failure, an error or a warning
	Task    string       `json:"task,omitempty"` // or group that it belongs to
	Host    string       `json:"host,omitempty"`
	Message string       `json:"message"` // without escape sequences, cut; may have several lines
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

// Empty reports whether the log has nothing to tell.
func (l *Log) Empty() bool {
	return len(l.Failures)+len(l.Errors)+len(l.Warnings)+len(l.Recap) == 0
}

// kinds are the lists of notes, the least important first.
func (l *Log) kinds() []*[]Note { return []*[]Note{&l.Warnings, &l.Errors, &l.Failures} }

func (l *Log) size() int {
	n := len(l.Path) + 64
	for _, list := range l.kinds() {
		for _, note := range *list {
			n += len(note.Message) + len(note.Task) + len(note.Host) + 64
		}
	}
	for _, h := range l.Recap {
		n += len(h.Name) + 128
	}
	return n
}

// Add takes a log in, if it has anything to tell. What a summary holds stays
// bounded however many there are.
func (s *Summary) Add(l Log) {
	if l.Empty() {
		return
	}
	s.Logs = append(s.Logs, l)
	s.size += l.size()
	for b := most; len(s.Logs) > 2*MaxLogs || s.size > 4*MaxSize; b = b.half() {
		s.shrink(b)
		if s.size <= 2*MaxSize {
			return
		}
	}
}

// bounds are how many logs are kept, how many notes of each kind of a log, and how
// many bytes of a message.
type bounds struct{ logs, notes, message int }

var most = bounds{MaxLogs, MaxNotes, MaxMessage}

func (b bounds) half() bounds {
	return bounds{(b.logs + 1) / 2, max(b.notes/4, 1), max(b.message/4, 64)}
}

// shrink keeps what is in bounds: first of all the logs with failures, and the last
// notes.
func (s *Summary) shrink(b bounds) {
	if n := len(s.Logs) - b.logs; n > 0 {
		slices.SortFunc(s.Logs, func(a, b Log) int {
			return cmp.Or(cmp.Compare(min(len(b.Failures), 1), min(len(a.Failures), 1)), cmp.Compare(min(len(b.Errors), 1), min(len(a.Errors), 1)), cmp.Compare(a.Path, b.Path))
		})
		s.Logs = slices.Clone(s.Logs[:b.logs])
		s.Omitted += n
	}
	s.size = 0
	for i := range s.Logs {
		l := &s.Logs[i]
		for _, list := range l.kinds() {
			if n := len(*list) - b.notes; n > 0 {
				*list = slices.Clone((*list)[n:])
				l.Omitted += n
			}
			for i := range *list {
				if note := &(*list)[i]; len(note.Message) > b.message {
					note.Message = outline.Text([]byte(note.Message), b.message)
				}
			}
		}
		if n := len(l.Recap) - 8*b.notes; n > 0 {
			l.Recap = slices.Clone(l.Recap[:8*b.notes])
			l.Omitted += n
		}
		s.size += l.size()
	}
}

// Marshal returns the JSON of a summary: at most [MaxSize] bytes, for which it
// leaves out what matters least.
func (s *Summary) Marshal() ([]byte, error) {
	out := &Summary{Version: 1, Logs: make([]Log, 0, len(s.Logs)), Omitted: s.Omitted}
	for _, l := range s.Logs {
		for _, list := range l.kinds() {
			*list = slices.Clone(*list)
		}
		out.Logs = append(out.Logs, l)
	}
	for limits := most; ; limits = limits.half() {
		if len(out.Logs) > limits.logs || limits != most {
			out.shrink(limits)
		}
		slices.SortFunc(out.Logs, func(a, b Log) int { return cmp.Compare(a.Path, b.Path) })
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(out); err != nil {
			return nil, fmt.Errorf("summary: %w", err)
		}
		if b.Len() <= MaxSize {
			return b.Bytes(), nil
		}
		if limits.logs == 1 {
			return nil, fmt.Errorf("summary: %d bytes, more than %d", b.Len(), MaxSize)
		}
	}
}

// Parse parses a summary, which is as hostile as the log it was made of.
func Parse(text []byte) (*Summary, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("summary: more than %d bytes", MaxSize)
	}
	s := new(Summary)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("summary: %w", err)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("summary: version %d, this vitrine reads 1", s.Version)
	}
	if len(s.Logs) > MaxLogs || s.Omitted < 0 {
		return nil, fmt.Errorf("summary: %d logs, more than %d", len(s.Logs), MaxLogs)
	}
	for i := range s.Logs {
		if err := s.Logs[i].check(); err != nil {
			return nil, fmt.Errorf("summary: %w", err)
		}
	}
	return s, nil
}

func (l *Log) check() error {
	if err := vitrine.ValidPath(l.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if l.Lines < 0 || l.Omitted < 0 || len(l.Recap) > MaxHosts {
		return fmt.Errorf("%s: a count is out of bounds", l.Path)
	}
	for _, list := range l.kinds() {
		if len(*list) > MaxNotes {
			return fmt.Errorf("%s: %d notes, more than %d", l.Path, len(*list), MaxNotes)
		}
		for _, n := range *list {
			if n.Line < 1 || n.Kind != outline.Failed && n.Kind != outline.Error && n.Kind != outline.Warning {
				return fmt.Errorf("%s: a note of line %d, of kind %q", l.Path, n.Line, n.Kind)
			}
			if !fits(n.Message, MaxMessage) || !fits(n.Task, outline.MaxName) || !fits(n.Host, outline.MaxName) {
				return fmt.Errorf("%s: the note of line %d is too long, or has control characters", l.Path, n.Line)
			}
		}
	}
	for _, h := range l.Recap {
		if !fits(h.Name, outline.MaxName) || min(h.OK, h.Changed, h.Unreachable, h.Failed, h.Skipped, h.Rescued, h.Ignored) < 0 ||
			max(h.OK, h.Changed, h.Unreachable, h.Failed, h.Skipped, h.Rescued, h.Ignored) > maxCount {
			return fmt.Errorf("%s: a host of the recap is out of bounds", l.Path)
		}
	}
	return nil
}

// maxCount bounds a count of the recap, so that sums stay numbers.
const maxCount = 1 << 30

// fits reports whether a text is one that [outline.Text] may have made.
func fits(s string, max int) bool {
	return len(s) <= max && !strings.ContainsFunc(s, func(c rune) bool {
		return unicode.IsControl(c) && c != '\n' && c != '\t' || unicode.Is(unicode.Bidi_Control, c)
	})
}

// Recap sums the recaps of all logs up; nil if there is none. Two logs with the
// same recap are two of the same run.
func (s *Summary) Recap() *vitrine.Recap {
	var sum *vitrine.Recap
	for i, l := range s.Logs {
		if len(l.Recap) == 0 || slices.ContainsFunc(s.Logs[:i], func(o Log) bool { return slices.Equal(o.Recap, l.Recap) }) {
			continue
		}
		if sum == nil {
			sum = new(vitrine.Recap)
		}
		for _, h := range l.Recap {
			sum.OK += int64(h.OK)
			sum.Changed += int64(h.Changed)
			sum.Unreachable += int64(h.Unreachable)
			sum.Failed += int64(h.Failed)
			sum.Skipped += int64(h.Skipped)
		}
	}
	return sum
}
