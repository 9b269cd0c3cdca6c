// Package outline tells what the lines of a log are: plays, tasks, groups, errors,
// warnings, and when they were written. It knows Ansible's output, the group
// marks of CI systems, and what is common to most programs.
//
// It looks at a line at a time and keeps nothing of it. It must never fail, whatever
// bytes a line is, or take a time that grows faster than its length.
package outline

import (
	"bytes"
	"strings"
	"time"
)

// A Kind is what a line is.
type Kind string

// Kinds of lines.
const (
	Plain    Kind = ""
	Play     Kind = "play"  // PLAY [NAME] ***
	Task     Kind = "task"  // TASK [NAME] ***
	Group    Kind = "group" // ::group::NAME, section_start: and the like begin one
	GroupEnd Kind = "endgroup"
	Heading  Kind = "heading" // --- NAME and the like: what follows belongs to it until the next
	Failed   Kind = "failed"  // fatal: [HOST]: …, failed: [HOST] …
	Error    Kind = "error"
	Warning  Kind = "warning"
	Recap    Kind = "recap" // PLAY RECAP, and the hosts below it
)

// A Line is what is known of a line.
type Line struct {
	Kind Kind
	Name string    // of a play, task, group or host; without escape sequences, at most 255 bytes
	Time time.Time // zero if the line has none
}

// maxHead is how many bytes of a line are looked at: what it is stands at its
// beginning.
const maxHead = 512

// Of tells what a line is, which may have colours and a time before it.
func Of(line []byte) (l Line) {
	if i := indexAt(line[:min(len(line), 64)], "section_", len("section")); i >= 0 {
		if l, ok := section(line, i); ok {
			return l
		}
	}
	text := head(line)
	if bytes.IndexByte(text, escape) < 0 {
		return of(text)
	}
	var buffer [maxHead]byte
	return of(Strip(buffer[:0], text))
}

// of tells what a line is by its head, without escape sequences.
func of(text []byte) (l Line) {
	at, rest := cutTime(text)
	timed := !at.IsZero()
	l.Time = at
	if timed {
		if text := cutSource(rest); len(text) < len(rest) { // Zuul's: TIME | HOST | TEXT
			if s := string(text); s == "ERROR" || s == "MODULE FAILURE" {
				l.Kind, l.Name = Failed, name(bytes.Trim(rest[:len(rest)-len(text)], " |"))
				return l
			}
			rest = text
		}
	}
	for len(rest) > 0 && isBlank(rest[len(rest)-1]) {
		rest = rest[:len(rest)-1]
	}
	if len(rest) == 0 {
		return l
	}
	switch rest[0] {
	case 'P', 'T', 'R', 'f':
		l.Kind, l.Name = ansible(rest)
	case ':', '#':
		l.Kind, l.Name = command(rest)
	case '-', '+', '~':
		l.Kind, l.Name = rule(rest)
	}
	if l.Kind == Plain {
		if host, ok := recapHost(rest); ok {
			l.Kind, l.Name = Recap, host
		} else {
			l.Kind = severity(rest, timed)
		}
	}
	return l
}

// Body is what a line says: without escape sequences, without a time before it,
// and the host that Zuul writes there. Without any of them it is the line itself.
func Body(line []byte) []byte {
	line = shown(line)
	if bytes.IndexByte(line, escape) >= 0 {
		line = Strip(nil, line)
	}
	if at, rest := cutTime(line); !at.IsZero() {
		return cutSource(rest)
	}
	return line
}

// TimeOf is the time at the beginning of a line, or zero.
func TimeOf(line []byte) time.Time {
	var buffer [64]byte
	if len(line) > cap(buffer) {
		line = line[:cap(buffer)]
	}
	line = head(line)
	if bytes.IndexByte(line, escape) >= 0 {
		line = Strip(buffer[:0], line)
	}
	at, _ := cutTime(line)
	return at
}

// head is the beginning of what a line shows.
func head(line []byte) []byte {
	line = shown(line)
	return line[:min(len(line), maxHead)]
}

// shown is what a line shows of what carriage returns have written over one
// another: the last, without the end of the line.
func shown(line []byte) []byte {
	for n := len(line); n > 0 && (line[n-1] == '\n' || line[n-1] == '\r'); n = len(line) {
		line = line[:n-1]
	}
	if bytes.IndexByte(line, '\r') >= 0 { // quick, while looking from the end is not
		line = line[bytes.LastIndexByte(line, '\r')+1:]
	}
	return line
}

// ansible tells the headings and failures of Ansible, and of what Zuul shows of it.
func ansible(text []byte) (Kind, string) {
	for _, h := range []struct {
		before string
		kind   Kind
	}{{"PLAY [", Play}, {"TASK [", Task}, {"RUNNING HANDLER [", Task}} {
		rest, ok := bytes.CutPrefix(text, []byte(h.before))
		if !ok {
			continue
		}
		rest = bytes.TrimRight(rest, "* ")
		if n := len(rest); n > 0 && rest[n-1] == ']' {
			return h.kind, name(rest[:n-1])
		}
		if len(text) >= maxHead-1 { // its end is not in sight
			return h.kind, name(rest)
		}
		return Plain, ""
	}
	if rest, ok := bytes.CutPrefix(text, []byte("PLAY RECAP")); ok && len(bytes.Trim(rest, "* ")) == 0 {
		return Recap, ""
	}
	rest, ok := bytes.CutPrefix(text, []byte("fatal: ["))
	if !ok {
		rest, ok = bytes.CutPrefix(text, []byte("failed: ["))
	}
	if host, after, closed := bytes.Cut(rest, []byte("]")); ok && closed &&
		(bytes.HasPrefix(after, []byte(": ")) || bytes.HasPrefix(after, []byte(" (")) || bytes.HasPrefix(after, []byte(" =>"))) {
		host, _, _ = bytes.Cut(host, []byte(" -> ")) // to whom it was delegated
		return Failed, name(host)
	}
	return Plain, ""
}

// recapHost returns the host of a line of the recap.
func recapHost(text []byte) (string, bool) {
	end := bytes.IndexByte(text, ' ')
	if end <= 0 {
		return "", false
	}
	after := end
	for after < len(text) && text[after] == ' ' {
		after++
	}
	counts, ok := bytes.CutPrefix(text[after:], []byte(": ok="))
	if !ok || !bytes.Contains(counts, []byte("failed=")) || !bytes.Contains(counts, []byte("unreachable=")) {
		return "", false
	}
	return name(text[:end]), true
}

// section tells GitLab's marks, which a carriage return hides from people, and of
// which one may begin at i.
func section(line []byte, i int) (Line, bool) {
	at, before := cutTime(line[:i])
	before = Strip(nil, before)
	if len(bytes.TrimLeft(before, "0123456789OE+ \r")) > 0 { // newer runners write 00O and the like before a line
		return Line{}, false
	}
	l := Line{Kind: Group, Time: at}
	rest, ok := bytes.CutPrefix(line[i:min(len(line), i+maxHead)], []byte("section_start:"))
	if !ok {
		if rest, ok = bytes.CutPrefix(line[i:], []byte("section_end:")); !ok {
			return Line{}, false
		}
		l.Kind = GroupEnd
	}
	stamp, rest, ok := bytes.Cut(rest, []byte(":"))
	if !ok || len(stamp) == 0 || len(bytes.Trim(stamp, "0123456789")) > 0 {
		return Line{}, false
	}
	id, heading, _ := bytes.Cut(rest, []byte("\r"))
	if l.Kind == Group {
		if l.Name = name(heading); l.Name == "" {
			id, _, _ = bytes.Cut(id, []byte("["))
			l.Name = name(id)
		}
	}
	return l, true
}

// command tells the marks of GitHub and of what runs its actions.
func command(text []byte) (Kind, string) {
	word, after := text, []byte(nil)
	switch {
	case bytes.HasPrefix(text, []byte("::")):
		var ok bool
		if word, after, ok = bytes.Cut(text[2:], []byte("::")); !ok {
			return Plain, ""
		}
		word, _, _ = bytes.Cut(word, []byte(" ")) // file=…,line=…
	case bytes.HasPrefix(text, []byte("##[")):
		var ok bool
		if word, after, ok = bytes.Cut(text[3:], []byte("]")); !ok {
			return Plain, ""
		}
	}
	switch string(word) {
	case "group":
		return Group, name(after)
	case "endgroup":
		return GroupEnd, ""
	case "error":
		return Error, ""
	case "warning":
		return Warning, ""
	}
	return Plain, ""
}

// rule tells the headings of Buildkite, which others use too, and which must not
// be taken for those of a diff, of Go's tests or of a shell's trace.
func rule(text []byte) (Kind, string) {
	if len(text) < 5 || text[3] != ' ' || text[1] != text[0] || text[2] != text[0] {
		return Plain, ""
	}
	heading := text[4:]
	switch strings.ToLower(string(heading)) { // of a test's two texts
	case "expected", "actual", "want", "got":
		return Plain, ""
	}
	for _, word := range []string{"a/", "b/", "before", "after", "/"} {
		if bytes.HasPrefix(heading, []byte(word)) {
			return Plain, ""
		}
	}
	if text[0] == '-' {
		for _, word := range []string{"PASS: ", "SKIP: ", "BENCH: "} {
			if bytes.HasPrefix(heading, []byte(word)) {
				return Plain, ""
			}
		}
		if bytes.HasPrefix(heading, []byte("FAIL: ")) {
			return Error, ""
		}
	}
	c := heading[0]
	emoji := c == ':' || c >= 0x80
	upper := 'A' <= c && c <= 'Z'
	if !emoji && !upper && (text[0] == '+' || c < 'a' || c > 'z') || text[0] == '+' && bytes.IndexByte(heading, '=') >= 0 {
		return Plain, ""
	}
	if bytes.IndexByte(heading, '\t') >= 0 || bytes.IndexByte(heading, ' ') < 0 && bytes.ContainsAny(heading, "/.") {
		return Plain, "" // a file
	}
	return Heading, name(bytes.TrimRight(heading, string(text[0])+" "))
}
