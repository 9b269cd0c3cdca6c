package view

import (
	"context"
	"net/http"
	"unicode/utf8"

	"vitrine/grep"
	"vitrine/lines"
)

const (
	maxQuery   = 1000     // bytes of what is searched for
	maxMatches = 100_000  // lines that a search tells of
	maxSpans   = 100      // matches of one line that it tells of
	maxFar     = 200      // bytes of a match behind what is shown of a line that it tells
	maxAround  = 60       // bytes before and after such a match
	wholeLine  = 64 << 10 // bytes of a line that grep gives whole for sure
)

// A matchedLine is one that a search found.
type matchedLine struct {
	Line  int64    `json:"line"`
	Spans [][2]int `json:"spans"` // in the text that is shown, in UTF-16 units
	Far   *far     `json:"far,omitempty"`
}

// far is the first match of a line if none is in the text that is shown.
type far struct {
	Off    int64  `json:"off"` // in bytes of the line
	Before string `json:"before"`
	Text   string `json:"text"`
	After  string `json:"after"`
}

// search tells of all lines that match, and goes on counting when it has told of
// as many as were asked for.
func search(w http.ResponseWriter, r *request) error {
	from, err := r.number("from", 1, maxLine, 1)
	if err != nil {
		return err
	}
	most, err := r.number("max", 0, maxMatches, maxMatches)
	if err != nil {
		return err
	}
	pattern, err := patternOf(r)
	if err != nil {
		return err
	}
	begin, err := r.log.Offset(r.Context(), from)
	if err != nil {
		return err
	}
	within, err := r.within(pattern, begin)
	if err != nil {
		return err
	}
	out := newStream(w)
	var count int64
	at := place{spans: within, at: begin}
	_, err = pattern.Search(r.Context(), r.log, grep.Options{
		Within:   within,
		Progress: func(n int64) { out.reach(progress{At: at.advance(n), Count: new(count)}) },
	}, func(l grep.Line) error {
		if l.Number < from { // the piece it was found in begins before
			return nil
		}
		if count++; count > most {
			return nil
		}
		m, err := matchOf(r.Context(), r.log, l)
		if err == nil {
			out.send(m)
		}
		return err
	})
	out.close(struct {
		Done  bool  `json:"done"`
		Count int64 `json:"count"`
	}{true, count}, err)
	return nil
}

// patternOf is what a search is for.
func patternOf(r *request) (*grep.Pattern, error) {
	text := r.URL.Query().Get("q")
	if text == "" || len(text) > maxQuery {
		return nil, &badRequest{"q must be a text of 1 to 1000 bytes"}
	}
	isRegexp, err := r.number("regexp", 0, 1, 0)
	if err != nil {
		return nil, err
	}
	exact, err := r.number("case", 0, 1, 0)
	if err != nil {
		return nil, err
	}
	p, err := grep.Compile(text, isRegexp == 0, exact == 0)
	if err != nil {
		return nil, &badRequest{err.Error()}
	}
	return p, nil
}

// within are the pieces of the log from an offset on that can hold a pattern; nil
// if that is all of it.
func (r *request) within(p *grep.Pattern, begin int64) ([]grep.Span, error) {
	if r.artifact.MayHold != nil {
		spans, ok, err := r.artifact.MayHold(p.Query())
		if err != nil {
			return nil, err
		}
		if ok {
			return after(spans, begin), nil
		}
	}
	if begin > 0 {
		return []grep.Span{{Off: begin, N: r.log.Size() - begin}}, nil
	}
	return nil, nil
}

// after is what of the spans lies behind an offset; it is never nil.
func after(spans []grep.Span, begin int64) []grep.Span {
	rest := []grep.Span{}
	for _, s := range spans {
		end := s.Off + s.N
		if s.Off = max(s.Off, begin); s.Off < end {
			s.N = end - s.Off
			rest = append(rest, s)
		}
	}
	return rest
}

// A place is how far a search is that looks at some pieces of a log.
type place struct {
	spans []grep.Span // those to come; nil: all is looked at
	at    int64
	seen  int64 // of the first span
}

// advance says where it is after n bytes more.
func (p *place) advance(n int64) int64 {
	if p.spans == nil {
		p.at += n
		return p.at
	}
	p.seen += n
	for len(p.spans) > 1 && p.seen > p.spans[0].N {
		p.seen -= p.spans[0].N
		p.spans = p.spans[1:]
	}
	if len(p.spans) > 0 {
		p.at = p.spans[0].Off + min(p.seen, p.spans[0].N)
	}
	return p.at
}

// matchOf says where in a line the matches are. Of a very long one, grep gives
// the piece that matches, which may lie behind what is shown of it.
func matchOf(ctx context.Context, log *lines.Log, l grep.Line) (matchedLine, error) {
	m := matchedLine{Line: l.Number, Spans: [][2]int{}}
	var skipped int64
	if len(l.Text) > wholeLine {
		begin, err := log.Offset(ctx, l.Number)
		if err != nil {
			return m, err
		}
		skipped = l.Offset - begin
	}
	spans := l.Matches[:min(len(l.Matches), maxSpans)]
	if skipped == 0 {
		shown := shownText(rawLine{n: int64(len(l.Text)), text: l.Text[:min(len(l.Text), maxText)]})
		m.Spans = utf16Spans(shown, spans)
	}
	if len(m.Spans) == 0 && len(spans) > 0 {
		from, to := spans[0][0], spans[0][1]
		begin, end := max(0, from-maxAround), min(len(l.Text), to+maxAround)
		for begin < from && !utf8.RuneStart(l.Text[begin]) {
			begin++
		}
		text, after := l.Text[from:min(to, from+maxFar)], l.Text[to:end]
		m.Far = &far{skipped + int64(from), string(l.Text[begin:from]), string(text[:wholeRunes(text)]), string(after[:wholeRunes(after)])}
	}
	return m, nil
}
