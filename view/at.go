package view

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"vitrine/lines"
	"vitrine/outline"
)

// getAt finds the first line at or after a time; null if all are before it.
func getAt(w http.ResponseWriter, r *request) error {
	// Years 1 to 9999, which is what a time can be.
	ms, err := r.number("time", -62135596800000, 253402300799999, -62135596800001)
	if err != nil {
		return err
	}
	off, err := firstAt(r.Context(), r.log, time.UnixMilli(ms))
	if err != nil {
		return err
	}
	var line *int64
	if off < r.log.Size() {
		n, err := r.log.Number(r.Context(), off)
		if err != nil {
			return err
		}
		line = &n
	}
	return reply(w, struct {
		Line *int64 `json:"line"`
	}{line})
}

// firstAt is where the first line at or after a time begins, in a log whose times
// rise; its size if there is none.
func firstAt(ctx context.Context, log *lines.Log, t time.Time) (int64, error) {
	// Lines that begin before low are earlier than t, as far as they have a time.
	// No line from high on is needed: the one at found is late enough already.
	low, high, found := int64(0), log.Size(), log.Size()
	for high-low > 64<<10 { // less is read as quickly as halved
		middle := low + (high-low)/2
		line, at, err := firstTime(ctx, log, middle, high, time.Time{})
		switch {
		case err != nil:
			return 0, err
		case at.IsZero():
			high = middle
		case at.Before(t):
			low = line.off + 1
		default:
			high, found = middle, line.off
		}
	}
	line, at, err := firstTime(ctx, log, low, high, t)
	if err != nil || at.IsZero() {
		return found, err
	}
	return line.off, nil
}

// firstTime finds the first line that begins at or after from, before to, and has
// a time at or after t. Without such a line, the time is zero.
func firstTime(ctx context.Context, log *lines.Log, from, to int64, t time.Time) (rawLine, time.Time, error) {
	r := newReader(ctx, log, max(from-1, 0))
	if from > 0 { // the rest of the line before, its line feed at the least
		if _, err := r.next(0); err != nil {
			return rawLine{}, time.Time{}, ignoreEnd(err)
		}
	}
	for r.off < to {
		line, err := r.next(0)
		if err != nil {
			return rawLine{}, time.Time{}, ignoreEnd(err)
		}
		if at := outline.TimeOf(line.text); !at.IsZero() && !at.Before(t) {
			return line, at, nil
		}
	}
	return rawLine{}, time.Time{}, nil
}

// ignoreEnd makes of the end of a log no error.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
