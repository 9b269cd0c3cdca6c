package vitrine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ExpiryGrace is how long after a build has expired its store itself may remove
// the artifacts: gc comes before, and exempts what is to be kept.
const ExpiryGrace = 7 * 24 * time.Hour

// ErrMark is wrapped by every error that says a mark is not acceptable.
var ErrMark = errors.New("invalid mark")

// MaxMarkSize bounds a mark's JSON, in bytes.
const MaxMarkSize = 4 << 20

// A Mark is a note beside a build's records by whoever runs the history: that the
// build was interrupted, is kept, or has lost its artifacts to time. It is not
// signed, and proves nothing of what a publisher said. Which of the three it is,
// its key says ([MarkKey]).
type Mark struct {
	Version int       `json:"version"` // RecordVersion
	UUID    string    `json:"uuid"`
	Time    time.Time `json:"time"` // whole seconds, UTC
	// Partial are the artifacts of an interrupted build, as far as they came.
	Partial []PartialArtifact `json:"partial,omitempty"`
}

// A PartialArtifact is the beginning of an artifact: whole chunks of a sealed
// file whose end is missing. Whole are those that had come to their end.
type PartialArtifact struct {
	Path  string `json:"path"` // as stored, with the sealing suffix
	Size  int64  `json:"size"` // bytes, as stored
	Whole bool   `json:"whole,omitempty"`
}

// Marshal returns the mark's one JSON form, or an error wrapping [ErrMark].
func (m *Mark) Marshal() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMark, err)
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMark, err)
	}
	return append(b, '\n'), nil
}

func (m *Mark) validate() error {
	if m.Version != RecordVersion {
		return fmt.Errorf("version is %d, this vitrine reads %d", m.Version, RecordVersion)
	}
	if !ValidUUID(m.UUID) {
		return fmt.Errorf("uuid %q is not 32 lower-case hex digits", m.UUID)
	}
	if m.Time.Location() != time.UTC || m.Time.Nanosecond() != 0 || m.Time.Year() < 2020 || m.Time.Year() > 2200 {
		return fmt.Errorf("time %s is not in UTC, in whole seconds, between 2020 and 2200", m.Time.Format(time.RFC3339Nano))
	}
	if len(m.Partial) > MaxArtifacts {
		return fmt.Errorf("%d artifacts, more than %d", len(m.Partial), MaxArtifacts)
	}
	seen := make(map[string]bool, len(m.Partial))
	for _, p := range m.Partial {
		if err := validStoredPath(p.Path); err != nil {
			return fmt.Errorf("partial artifact: %w", err)
		}
		if seen[p.Path] {
			return fmt.Errorf("partial artifact %s is there twice", p.Path)
		}
		seen[p.Path] = true
		if p.Size < 1 || p.Size > MaxArtifactSize {
			return fmt.Errorf("partial artifact %s: %d bytes", p.Path, p.Size)
		}
	}
	return nil
}

// ParseMark parses a mark. It accepts only what [Mark.Marshal] writes, byte for
// byte; every error wraps [ErrMark].
func ParseMark(b []byte) (*Mark, error) {
	if len(b) > MaxMarkSize {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrMark, len(b), MaxMarkSize)
	}
	if err := boundLists(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMark, err)
	}
	m := new(Mark)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMark, err)
	}
	again, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: not in the one form a mark is written in", ErrMark)
	}
	return m, nil
}
