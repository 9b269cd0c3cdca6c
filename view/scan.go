package view

import (
	"bytes"
	"net/http"

	"vitrine/outline"
)

// Bounds of what a scan tells of. Each sort has its own: a log with very many tasks
// must not hide the error at its end.
const (
	maxSections = 200_000 // plays, tasks, groups, headings and their ends
	maxErrors   = 100_000 // failures and errors
	maxWarnings = 100_000
	maxMessage  = 200 // lines that a failure's message may have
)

// A markedLine is one that has a kind.
type markedLine struct {
	Line int64        `json:"line"`
	Kind outline.Kind `json:"kind"`
	Name string       `json:"name"`
}

// A limit says that no more lines of a sort are told of, from a line on.
type limit struct {
	More string `json:"more"` // "sections", "errors" or "warnings"
	Line int64  `json:"line"`
}

// scan tells of all lines that have a kind.
func scan(w http.ResponseWriter, r *request) error {
	log, ahead := newPass(r.Context(), r.log, 0)
	defer ahead.Close()
	out := newStream(w)
	m := marker{send: out.send}
	var n int64
	line, err := log.next(0)
	for ; err == nil; line, err = log.next(0) {
		if n++; n%1024 == 0 {
			out.reach(progress{At: log.off, Line: n})
		}
		m.look(n, line.text)
	}
	m.release()
	out.close(struct {
		Done  bool  `json:"done"`
		Lines int64 `json:"lines"`
	}{true, n}, ignoreEnd(err))
	return nil
}

// A marker tells of lines that have a kind.
type marker struct {
	send                       func(any)
	sections, errors, warnings int // told of

	held  []markedLine // a failure, until it is known whether it was ignored, and marks in its message
	lines int          // of its message
	ended bool         // the message has
}

// look takes the next line.
func (m *marker) look(n int64, text []byte) {
	of := outline.Of(text)
	if len(m.held) > 0 {
		body := outline.Body(text)
		m.lines++
		switch {
		case string(body) == "...ignoring":
			m.held[0].Kind = outline.Warning
			m.release()
		case m.ended || m.lines > maxMessage || len(body) == 0 || bytes.IndexByte([]byte(" \t{}]"), body[0]) < 0:
			m.release()
		default:
			m.ended = body[0] == '}'
		}
	}
	if of.Kind == outline.Plain {
		return
	}
	mark := markedLine{n, of.Kind, of.Name}
	if len(m.held) > 0 || of.Kind == outline.Failed {
		m.held = append(m.held, mark)
		return
	}
	m.tell(mark)
}

// release tells of what was held back.
func (m *marker) release() {
	for _, mark := range m.held {
		m.tell(mark)
	}
	m.held, m.lines, m.ended = m.held[:0], 0, false
}

func (m *marker) tell(mark markedLine) {
	told, most, sort := &m.sections, maxSections, "sections"
	switch mark.Kind {
	case outline.Failed, outline.Error:
		told, most, sort = &m.errors, maxErrors, "errors"
	case outline.Warning:
		told, most, sort = &m.warnings, maxWarnings, "warnings"
	}
	switch *told++; {
	case *told <= most:
		m.send(mark)
	case *told == most+1:
		m.send(limit{sort, mark.Line})
	}
}
