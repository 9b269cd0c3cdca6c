package lines

import (
	"bytes"
	"context"
	"io"
	"regexp"
)

const (
	longLine = 1 << 20  // bytes of a line that are held against a pattern at once
	overlap  = 64 << 10 // of one piece of a longer line and the next
)

// Find returns the number of the first line at or after line from that matches,
// and its offset; 0 if there is none. Of a line longer than 1 MiB, pieces are
// held against the pattern.
func (l *Log) Find(ctx context.Context, from int64, re *regexp.Regexp) (n, off int64, err error) {
	n = max(from, 1)
	if off, err = l.Offset(ctx, n); err != nil {
		return 0, 0, err
	}
	in := l.NewReader(off, l.Size()-off)
	defer in.Close()
	literal, _ := re.LiteralPrefix()
	f := finder{re: re, literal: []byte(literal), n: n, off: off}
	buf := make([]byte, 0, longLine)
	for left := l.Size() - off; left > 0; {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		c, err := in.Read(buf[len(buf):min(cap(buf), len(buf)+pieceSize)])
		buf, left = buf[:len(buf)+c], left-int64(c)
		if err != nil && (left > 0 || err != io.EOF) {
			return 0, 0, unexpected(err)
		}
		whole := bytes.LastIndexByte(buf, '\n') + 1
		if f.find(buf[:whole]) {
			return f.n, f.off, nil
		}
		buf = buf[:copy(buf, buf[whole:])]
		if len(buf) == cap(buf) || left == 0 && len(buf) > 0 {
			if re.Match(buf) {
				return f.n, f.off, nil
			}
			gone := len(buf) - min(overlap, len(buf))
			f.piece += int64(gone)
			buf = buf[:copy(buf, buf[gone:])]
		}
	}
	return 0, 0, ctx.Err()
}

// A finder holds lines against a pattern.
type finder struct {
	re      *regexp.Regexp
	literal []byte // in every match
	n, off  int64  // of the line that comes next, or of which a piece came already
	piece   int64  // bytes of it that came and are gone
}

// find looks for a match in whole lines, and goes on to the one that matches, or
// behind them.
func (f *finder) find(lines []byte) bool {
	for len(lines) > 0 {
		i := bytes.Index(lines, f.literal)
		if i < 0 {
			f.pass(lines)
			return false
		}
		start := bytes.LastIndexByte(lines[:i], '\n') + 1
		f.pass(lines[:start])
		lines = lines[start:]
		end := bytes.IndexByte(lines, '\n')
		if f.re.Match(lines[:end]) {
			return true
		}
		f.pass(lines[:end+1])
		lines = lines[end+1:]
	}
	return false
}

func (f *finder) pass(lines []byte) {
	if len(lines) > 0 {
		f.n += int64(bytes.Count(lines, []byte{'\n'}))
		f.off += f.piece + int64(len(lines))
		f.piece = 0
	}
}
