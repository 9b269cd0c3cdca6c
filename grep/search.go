package grep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"vitrine/lines"
)

// Options say what is wanted of a log.
type Options struct {
	Before, After int   // lines around each match; those before it as far as 1 MiB goes
	Max           int64 // lines that match, at the most; 0: all
	CountOnly     bool  // no lines are given
	// Within are the only pieces of the log that can hold what the pattern's Query
	// asks for, in order; nil is the whole log, and an empty one nothing.
	Within []Span
	// Progress, if it is there, is told how many bytes more were looked at.
	Progress func(n int64)
}

// A Span is a piece of a log: N bytes from an offset.
type Span struct{ Off, N int64 }

// A Line is a line that matches, or one around it.
type Line struct {
	Number  int64    // from 1
	Offset  int64    // of Text in the log
	Text    []byte   // without its line feed; of a long line, the piece that matches
	Matches [][2]int // in Text, the first 1,000; none: a line around a match
}

// sizes are in bytes.
type sizes struct {
	piece   int // read at a time; no more than line
	line    int // a longer line is searched in pieces of this
	overlap int // of such pieces
	step    int // read where little is wanted
}

var usual = sizes{piece: 256 << 10, line: 1 << 20, overlap: 64 << 10, step: 64 << 10}

// Search calls each for the lines of a log in their order, and returns how many
// match. each may end it by an error; what it is given is good only until it
// returns.
//
// A line of more than 1 MiB is searched in pieces of 1 MiB, of which each begins
// with the last 64 KiB of the one before: the first that matches is given. To the
// pattern each is a line of its own.
func (p *Pattern) Search(ctx context.Context, log *lines.Log, o Options, each func(Line) error) (matches int64, err error) {
	return p.search(ctx, log, o, each, usual)
}

func (p *Pattern) search(ctx context.Context, log *lines.Log, o Options, each func(Line) error, size sizes) (int64, error) {
	s := &search{Pattern: p, ctx: ctx, log: log, Options: o, each: each, size: size}
	if _, known := log.Known(); !known && o.Within == nil {
		s.counting = !o.CountOnly
	}
	within := o.Within
	if within == nil {
		within = []Span{{0, log.Size()}}
	}
	for i := 0; i < len(within); {
		off, end := within[i].Off, within[i].Off+within[i].N
		for i++; i < len(within) && within[i].Off <= end; i++ {
			end = max(end, within[i].Off+within[i].N)
		}
		if err := s.span(off, min(end, log.Size())); errors.Is(err, errEnough) {
			break
		} else if err != nil {
			return s.found, err
		}
	}
	return s.found, nil
}

// errEnough ends a search that has found all that is wanted.
var errEnough = errors.New("enough")

// A search is one going through one log.
type search struct {
	*Pattern
	Options
	ctx  context.Context
	log  *lines.Log
	each func(Line) error
	size sizes

	found int64
	after int   // lines that are still to be given after a match
	done  int64 // all lines that begin before are searched
	shown int64 // where the last line that was given ends

	r     io.ReadCloser
	left  int64  // bytes that r still has
	buf   []byte // not searched yet: from the beginning of a line, or of a piece of one
	base  int64  // its offset
	long  bool   // buf begins within a line, the one
	first int64  // that begins here
	told  bool   // and was given already
	cursor
	matched [][2]int

	// Line feeds before an offset, if they are counted: only once a match is
	// there, where the log knows how many are before it.
	counting    bool
	feeds, upTo int64
}

// span searches the lines of which there is something between two offsets.
func (s *search) span(off, end int64) (err error) {
	if off >= end || end <= s.done {
		return nil
	}
	if off > s.done {
		if off, err = s.lineAt(off); err != nil {
			return err
		}
	} else {
		off = s.done
	}
	if off != s.done {
		s.counting, s.after = false, 0
	}
	s.done, s.base, s.buf, s.long = off, off, s.buf[:0], false
	defer func() {
		if s.r != nil {
			s.r.Close()
			s.r, s.left = nil, 0
		}
	}()
	for s.done < s.log.Size() && (s.done < end || s.after > 0 || s.long) {
		if err := s.next(end); err != nil {
			return err
		}
	}
	return nil
}

// lineAt is where the line begins that holds the byte at off. Lines that are
// searched already it does not look at.
func (s *search) lineAt(off int64) (int64, error) {
	p := make([]byte, s.size.step)
	for off > s.done {
		p := p[:min(int64(len(p)), off-s.done)]
		if err := s.readAt(p, off-int64(len(p))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
			return off - int64(len(p)) + int64(i) + 1, nil
		}
		off -= int64(len(p))
	}
	return off, nil
}

func (s *search) readAt(p []byte, off int64) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	n, err := s.log.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
}

// next searches what there is of whole lines in buf, or reads more if there is
// none. So no line in buf but the first is longer than a piece.
func (s *search) next(end int64) error {
	atEnd := s.base+int64(len(s.buf)) == s.log.Size()
	feed := bytes.IndexByte(s.buf, '\n')
	line := feed // the length of the first line
	if feed < 0 {
		line = len(s.buf)
	}
	switch {
	case line > s.size.line:
		if err := s.part(s.buf[:s.size.line], false); err != nil {
			return err
		}
		s.drop(s.size.line - s.size.overlap)
		return nil
	case feed < 0 && !atEnd:
		return s.fill(end)
	case s.long:
		if err := s.part(s.buf[:line], true); err != nil {
			return err
		}
		if feed >= 0 {
			line++
		}
		s.drop(line)
		s.done = s.base
		return nil
	}
	whole := len(s.buf)
	if !atEnd {
		whole = bytes.LastIndexByte(s.buf, '\n') + 1
	}
	if err := s.lines(s.buf[:whole]); err != nil {
		return err
	}
	s.drop(whole)
	s.done = s.base
	return nil
}

// fill reads a piece more, up to end, or where that is reached a little beyond.
func (s *search) fill(end int64) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	at := s.base + int64(len(s.buf))
	if s.left == 0 {
		if s.r != nil {
			s.r.Close()
		}
		s.left = end - at
		if s.left <= 0 {
			s.left = min(int64(s.size.step), s.log.Size()-at)
		}
		s.r = s.log.NewReader(at, s.left)
	}
	n := int(min(int64(s.size.piece), s.left))
	if cap(s.buf)-len(s.buf) < n {
		s.buf = append(make([]byte, 0, 2*len(s.buf)+n), s.buf...)
	}
	have := len(s.buf)
	n, err := io.ReadFull(s.r, s.buf[have:have+n])
	s.buf = s.buf[:have+n]
	if s.left -= int64(n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read from %d on: %w", at, err)
	}
	if s.Progress != nil {
		s.Progress(int64(n))
	}
	return nil
}

// drop forgets the first n bytes of buf.
func (s *search) drop(n int) {
	to := s.base + int64(n)
	if s.counting && s.upTo < to {
		s.feeds += int64(bytes.Count(s.buf[s.upTo-s.base:n], []byte{'\n'}))
		s.upTo = to
	}
	s.buf = s.buf[:copy(s.buf, s.buf[n:])]
	s.base = to
}

// lines searches whole lines, which buf begins with.
func (s *search) lines(b []byte) error {
	s.cursor.reset(s.finders, b)
	for i := 0; ; {
		at, end := len(b), len(b)
		if !s.enough() {
			at, end = s.match(b, i)
		}
		if err := s.following(b[i:at], s.base+int64(i)); err != nil {
			return err
		}
		if s.enough() && s.after == 0 {
			return errEnough
		}
		if at == len(b) {
			return nil
		}
		off := s.base + int64(at)
		if err := s.tell(off, Line{Offset: off, Text: b[at:end]}, line(b, at, end)); err != nil {
			return err
		}
		i = min(end+1, len(b))
	}
}

func (s *search) enough() bool { return s.Max > 0 && s.found == s.Max }

// match is where the next line at i or behind it is that matches; at the end of b
// if none does.
func (s *search) match(b []byte, i int) (at, end int) {
	for i < len(b) {
		at := i
		if s.finders != nil {
			found, _ := s.cursor.from(i)
			if found < 0 {
				break
			}
			at += bytes.LastIndexByte(b[i:found], '\n') + 1
			i = found
		}
		end := bytes.IndexByte(b[i:], '\n')
		if end += i; end < i {
			end = len(b)
		}
		if s.matches(line(b, at, end)) {
			return at, end
		}
		i = end + 1
	}
	return len(b), len(b)
}

// line is what the pattern is held against, of a line without its line feed.
func line(b []byte, at, end int) []byte {
	if end < len(b) && end > at && b[end-1] == '\r' {
		end--
	}
	return b[at:end]
}

// part searches a piece of a long line, which buf begins with.
func (s *search) part(piece []byte, last bool) error {
	if !s.long {
		s.long, s.told, s.first = true, false, s.base
	}
	if !s.told && !s.enough() {
		held := piece
		if last {
			held = line(s.buf, 0, len(piece))
		}
		s.cursor.reset(s.finders, held)
		if at, _ := s.match(held, 0); at == 0 {
			s.told = true
			if err := s.tell(s.first, Line{Offset: s.base, Text: piece}, held); err != nil {
				return err
			}
		}
	}
	if s.told && s.enough() && s.after == 0 {
		return errEnough
	}
	if !last {
		return nil
	}
	if !s.told && s.after > 0 {
		text := make([]byte, s.size.line)
		if err := s.readAt(text, s.first); err != nil {
			return err
		}
		s.after--
		n, err := s.number(s.first)
		if err == nil {
			err = s.each(Line{Number: n, Offset: s.first, Text: text})
		}
		if err != nil {
			return err
		}
		s.told = true
	}
	if end := s.base + int64(len(piece)); s.told {
		s.shown = min(end+1, s.log.Size())
	}
	s.long = false
	return nil
}
