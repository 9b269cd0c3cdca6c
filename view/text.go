package view

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"unicode/utf8"

	"vitrine/lines"
	"vitrine/outline"
)

const (
	maxText = 4096    // bytes of a line that are shown at first
	maxRead = 1 << 20 // bytes of a line that are read to see where it ends, if there is another way
)

// A reader reads a log line by line, of any length, and keeps the beginning of each.
type reader struct {
	buf  *bufio.Reader
	off  int64 // of the next line
	text []byte
}

// A rawLine is a line as it stands in the log, valid until the next is read.
type rawLine struct {
	off, n  int64  // where it begins, and its length without the line feed
	text    []byte // its beginning, of at most maxText bytes
	returns int64  // carriage returns that something follows
}

// newReader reads some lines of a log from off on, until ctx ends.
func newReader(ctx context.Context, log *lines.Log, off int64) *reader {
	src := io.NewSectionReader(log, off, log.Size()-off)
	return &reader{buf: bufio.NewReaderSize(contextReader{ctx, src}, 64<<10), off: off}
}

// newPass reads a log from off to its end, with what comes next being fetched
// ahead. Who closes src ends that.
func newPass(ctx context.Context, log *lines.Log, off int64) (r *reader, src io.Closer) {
	ahead := log.NewReader(off, log.Size()-off)
	return &reader{buf: bufio.NewReaderSize(contextReader{ctx, ahead}, 256<<10), off: off}, ahead
}

// errLong says that a line was not read to its end.
var errLong = errors.New("long line")

// next reads a line. After the last it returns io.EOF. A line longer than limit
// bytes is left where it is with errLong, and its length is not known; 0 is no limit.
func (r *reader) next(limit int64) (rawLine, error) {
	line := rawLine{off: r.off}
	r.text = r.text[:0]
	for {
		piece, err := r.buf.ReadSlice('\n')
		r.off += int64(len(piece))
		ended := bytes.HasSuffix(piece, []byte{'\n'})
		if ended {
			piece = piece[:len(piece)-1]
		}
		line.n += int64(len(piece))
		line.returns += int64(bytes.Count(piece, []byte{'\r'}))
		if ended && bytes.HasSuffix(piece, []byte{'\r'}) {
			line.returns--
		}
		r.text = append(r.text, piece[:min(len(piece), maxText-len(r.text))]...)
		line.text = r.text
		switch {
		case ended, errors.Is(err, io.EOF) && line.n > 0:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		case limit > 0 && line.n > limit:
			return line, errLong
		}
	}
}

// A contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// A shownLine is a line as the page gets it.
type shownLine struct {
	Text    string       `json:"text"`
	Cut     bool         `json:"cut"`
	Bytes   int64        `json:"bytes"`             // of the whole line
	Shown   int64        `json:"shown,omitempty"`   // bytes of a line that is cut which text stands for
	Returns int64        `json:"returns,omitempty"` // how often such a line goes back to its beginning; 0 if that is not known
	Kind    outline.Kind `json:"kind"`
	Time    int64        `json:"time,omitempty"` // Unix milliseconds
}

func show(line rawLine) shownLine {
	text := shownText(line)
	s := shownLine{Text: string(text), Bytes: line.n, Cut: line.n > int64(len(line.text))}
	if s.Cut {
		s.Shown, s.Returns = int64(len(text)), line.returns
	}
	of := outline.Of(line.text)
	s.Kind = of.Kind
	if !of.Time.IsZero() {
		s.Time = of.Time.UnixMilli()
	}
	return s
}

// shownText is as much of a line as is shown: what is cut is not cut within a
// character. JSON makes U+FFFD of each byte that is none.
func shownText(line rawLine) []byte {
	if line.n > int64(len(line.text)) {
		return line.text[:wholeRunes(line.text)]
	}
	return line.text
}

// wholeRunes is the length of text without the beginning of a character at its end.
func wholeRunes(text []byte) int {
	for i := len(text) - 1; i >= 0 && i > len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				return i
			}
			break
		}
	}
	return len(text)
}

// utf16Spans turns spans of bytes of a text into those of what JavaScript makes of
// it, where each byte that is no character is one U+FFFD. What lies behind the
// text is left out. Spans are in order.
func utf16Spans(text []byte, spans [][2]int) [][2]int {
	out := make([][2]int, 0, len(spans))
	at, units := 0, 0
	advance := func(to int) int {
		for at < min(to, len(text)) {
			r, size := utf8.DecodeRune(text[at:])
			at += size
			units++
			if r > 0xffff {
				units++
			}
		}
		return units
	}
	for _, span := range spans {
		if span[0] >= len(text) && len(text) > 0 {
			break
		}
		start := advance(span[0])
		out = append(out, [2]int{start, advance(span[1])})
	}
	return out
}
