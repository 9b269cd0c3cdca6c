package grep

import "bytes"

// tell gives a line that matches, which begins at an offset, and those before it.
func (s *search) tell(off int64, l Line, held []byte) (err error) {
	s.found++
	if s.CountOnly {
		return nil
	}
	if l.Number, err = s.number(off); err != nil {
		return err
	}
	if s.Before > 0 && off > s.shown {
		if err := s.preceding(off, l.Number); err != nil {
			return err
		}
	}
	s.matched = s.find(s.matched[:0], held)
	l.Matches, s.after = s.matched, s.After
	s.shown = l.Offset + int64(len(l.Text)) + 1
	return s.each(l)
}

// preceding gives the lines before the one with a number at an offset.
func (s *search) preceding(off, number int64) error {
	text, err := s.textBefore(off)
	if err != nil {
		return err
	}
	i, n := len(text), 0
	for ; n < s.Before && i > 0; n++ {
		i = bytes.LastIndexByte(text[:i-1], '\n') + 1
	}
	for text = text[i:]; n > 0; n-- {
		feed := bytes.IndexByte(text, '\n')
		if err := s.each(Line{Number: number - int64(n), Offset: off - int64(len(text)), Text: text[:feed]}); err != nil {
			return err
		}
		text = text[feed+1:]
	}
	return nil
}

// textBefore are whole lines that end at an offset, of those that were not given
// yet and are no more than the length of a long line before it: as many as are
// wanted, or more, if there are.
func (s *search) textBefore(off int64) ([]byte, error) {
	if from := max(s.shown, s.base); from < off && off-from <= int64(s.size.line) {
		text := s.buf[from-s.base : off-s.base]
		if s.base <= s.shown || bytes.Count(text, []byte{'\n'}) >= s.Before {
			return text, nil
		}
	}
	var text []byte
	for _, n := range []int{s.size.step, s.size.line} {
		all := off-s.shown <= int64(n)
		if all {
			n = int(off - s.shown)
		} else {
			n++ // which may be the line feed before the first of them
		}
		text = make([]byte, n)
		if err := s.readAt(text, off-int64(n)); err != nil {
			return nil, err
		}
		if all {
			return text, nil
		}
		if bytes.Count(text, []byte{'\n'}) > s.Before {
			break
		}
	}
	return text[bytes.IndexByte(text, '\n')+1:], nil
}

// following gives lines after a match, if any are still to be given.
func (s *search) following(b []byte, off int64) error {
	for ; s.after > 0 && len(b) > 0; s.after-- {
		feed := bytes.IndexByte(b, '\n')
		if feed < 0 {
			feed = len(b)
		}
		n, err := s.number(off)
		if err != nil {
			return err
		}
		if err := s.each(Line{Number: n, Offset: off, Text: b[:feed]}); err != nil {
			return err
		}
		next := min(feed+1, len(b))
		b, off = b[next:], off+int64(next)
		s.shown = off
	}
	return nil
}

// number is that of the line which begins at an offset.
func (s *search) number(off int64) (int64, error) {
	switch {
	case !s.counting:
		n, err := s.log.Number(s.ctx, off)
		if err != nil {
			return 0, err
		}
		// A long line may have begun before buf.
		s.counting, s.feeds, s.upTo = true, n-1, max(off, s.base)
	case off > s.upTo:
		s.feeds += int64(bytes.Count(s.buf[s.upTo-s.base:off-s.base], []byte{'\n'}))
		s.upTo = off
	}
	// Behind off only within a long line, where there is no line feed.
	return s.feeds + 1, nil
}
