package summary

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strconv"

	"vitrine/outline"
)

// Bounds of what is kept of a log while it is scanned: the first notes of a kind
// say how it began to go wrong, the last ones mostly why it ended.
const (
	maxLine    = 64 << 10 // bytes of a line that are looked at
	maxFollow  = 200      // lines that may belong to a note
	firstNotes = MaxNotes / 4
	lastNotes  = MaxNotes - firstNotes
	maxShort   = 1 << 10 // bytes of the message of an error or a warning
)

// A Scanner makes the summary of one log of what is written to it. It holds a
// line and a bounded number of notes, and never fails.
type Scanner struct {
	log      Log
	patterns []*regexp.Regexp
	recap    map[string]*Host

	line []byte // the beginning of one that is not whole yet
	open bool   // there is such a line

	task      string
	taskLine  int64
	run, past int64 // the lines of the last recap, and of the one before
	failures  notes
	errors    notes
	warnings  notes
	follow    *follow // what following lines belong to
	ignored   bool    // the next line may say that the last failure is
}

// NewScanner returns a scanner of the log at a path. Lines that match one of the
// patterns are failures too.
func NewScanner(path string, patterns []*regexp.Regexp) *Scanner {
	return &Scanner{log: Log{Path: path}, patterns: patterns, recap: make(map[string]*Host)}
}

// Write takes the next bytes of the log.
func (s *Scanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i >= 0 && !s.open {
			s.scan(p[:min(i, maxLine)])
			p = p[i+1:]
			continue
		}
		part := p
		if i >= 0 {
			part = p[:i]
		}
		s.line = append(s.line, part[:min(len(part), maxLine-len(s.line))]...)
		s.open = true
		if i < 0 {
			break
		}
		s.end()
		p = p[i+1:]
	}
	return n, nil
}

func (s *Scanner) end() {
	line := s.line
	s.line, s.open = s.line[:0], false
	s.scan(line)
}

// Log returns what the log tells, whose last line has come.
func (s *Scanner) Log() Log {
	if s.open {
		s.end()
	}
	s.endFollow()
	l := s.log
	l.Failures, l.Errors, l.Warnings = s.failures.list(), s.errors.list(), s.warnings.list()
	l.Omitted += s.failures.omitted + s.errors.omitted + s.warnings.omitted
	l.Recap = nil
	for _, h := range s.recap {
		l.Recap = append(l.Recap, *h)
	}
	slices.SortStableFunc(l.Warnings, func(a, b Note) int { return cmp.Compare(a.Line, b.Line) })
	slices.SortFunc(l.Recap, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	return l
}

// scan looks at a line.
func (s *Scanner) scan(line []byte) {
	s.log.Lines++
	if s.follow != nil && s.followed(line) {
		return
	}
	l := outline.Of(line)
	if s.ignored {
		s.ignored = false
		if l.Kind == outline.Plain && string(outline.Body(line)) == "...ignoring" {
			if n, ok := s.failures.pop(); ok {
				s.warnings.add(n)
			}
			return
		}
	}
	switch l.Kind {
	case outline.Plain:
	case outline.Play, outline.GroupEnd:
		s.task, s.taskLine = "", s.log.Lines
	case outline.Task, outline.Group, outline.Heading:
		s.task, s.taskLine = l.Name, s.log.Lines
	case outline.Recap:
		if l.Name == "" {
			s.task, s.taskLine = "", s.log.Lines
			s.past, s.run = s.run, s.log.Lines
		} else {
			s.host(l.Name, outline.Body(line))
		}
		return
	case outline.Failed:
		s.failed(l.Name, outline.Body(line))
		return
	}
	if len(s.patterns) > 0 {
		body := outline.Body(line)
		for _, re := range s.patterns {
			if re.Match(body) {
				s.failures.add(s.note(outline.Failed, outline.Text(body, maxShort)))
				return
			}
		}
	}
	switch l.Kind {
	case outline.Error:
		body := outline.Body(line)
		if bytes.HasPrefix(bytes.TrimSpace(body), traceback) {
			s.follow = &follow{note: s.note(outline.Error, ""), text: bytes.Clone(body)}
			return
		}
		s.errors.add(s.note(outline.Error, outline.Text(body, maxShort)))
	case outline.Warning:
		s.warnings.add(s.note(outline.Warning, outline.Text(outline.Body(line), maxShort)))
	}
}

func (s *Scanner) note(kind outline.Kind, message string) note {
	return note{Note{Line: s.log.Lines, Kind: kind, Task: s.task, Message: message}, s.taskLine}
}

// A note with the line of its task's heading: two tasks may have one name.
type note struct {
	Note
	taskLine int64
}

// notes are the first and the last of a kind.
type notes struct {
	first, last []note
	omitted     int
}

func (n *notes) add(new note) {
	switch {
	case len(n.first) < firstNotes && len(n.last) == 0:
		n.first = append(n.first, new)
		return
	case len(n.last) == lastNotes:
		n.last = append(n.last[:0], n.last[1:]...)
		n.omitted++
	}
	n.last = append(n.last, new)
}

// pop takes the last one out.
func (n *notes) pop() (last note, ok bool) {
	for _, list := range []*[]note{&n.last, &n.first} {
		if k := len(*list); k > 0 {
			last, *list = (*list)[k-1], (*list)[:k-1]
			return last, true
		}
	}
	return last, false
}

func (n *notes) list() []Note {
	var list []Note
	for _, l := range [][]note{n.first, n.last} {
		for _, n := range l {
			list = append(list, n.Note)
		}
	}
	return list
}

// host takes in a host of the recap. What failed on it and is not counted as
// failed was ignored or rescued: the play went on.
func (s *Scanner) host(name string, line []byte) {
	var now Host
	_, counts, _ := bytes.Cut(line, []byte(" : "))
	for _, f := range bytes.Fields(counts) {
		key, value, _ := bytes.Cut(f, []byte("="))
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 0 || n > maxCount {
			continue
		}
		switch string(key) {
		case "ok":
			now.OK = n
		case "changed":
			now.Changed = n
		case "unreachable":
			now.Unreachable = n
		case "failed":
			now.Failed = n
		case "skipped":
			now.Skipped = n
		case "rescued":
			now.Rescued = n
		case "ignored":
			now.Ignored = n
		}
	}
	s.handled(name, now.Failed+now.Unreachable)
	h := s.recap[name]
	if h == nil {
		if len(s.recap) == MaxHosts {
			s.log.Omitted++
			return
		}
		h = &Host{Name: name}
		s.recap[name] = h
	}
	for _, c := range []struct{ sum, n *int }{
		{&h.OK, &now.OK}, {&h.Changed, &now.Changed}, {&h.Unreachable, &now.Unreachable}, {&h.Failed, &now.Failed},
		{&h.Skipped, &now.Skipped}, {&h.Rescued, &now.Rescued}, {&h.Ignored, &now.Ignored},
	} {
		*c.sum = min(*c.sum+*c.n, maxCount)
	}
}

// handled moves the failures of a host since the recap before to the warnings, but
// for those of the last tasks that failed: so many are counted as failed.
func (s *Scanner) handled(host string, failed int) {
	var task int64 = -1
	for _, list := range []*[]note{&s.failures.last, &s.failures.first} {
		var keep []note
		for _, n := range slices.Backward(*list) {
			if n.Host != host || n.Line <= s.past {
				keep = append(keep, n)
				continue
			}
			if n.taskLine != task {
				task, failed = n.taskLine, failed-1
			}
			if failed >= 0 {
				keep = append(keep, n)
			} else {
				s.warnings.add(n)
			}
		}
		slices.Reverse(keep)
		*list = keep
	}
}
