package summary

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"vitrine/outline"
)

var traceback = []byte("Traceback (most recent call last)")

// A follow is a note whose message goes on in the lines that follow: a result of
// Ansible that is written over several, or a traceback.
type follow struct {
	note  note
	text  []byte // bounded by maxLine
	lines int
}

// failed begins the note of a task that failed on a host. line is without time.
func (s *Scanner) failed(host string, line []byte) {
	n := s.note(outline.Failed, "")
	n.Host = host
	_, result, ok := bytes.Cut(line, []byte("=>"))
	if _, item, is := bytes.Cut(line, []byte("] (")); is { // of a loop, which may have an arrow in it
		if i := bytes.LastIndex(item, []byte(") => {")); i >= 0 {
			result, ok = item[i+len(") =>"):], true
		}
	}
	result = bytes.TrimSpace(result)
	if ok && (len(result) > 1 && result[0] == '{' && result[len(result)-1] == '}' || len(line) >= maxLine) {
		n.Message = message(line, result)
		s.failures.add(n)
		s.ignored = true
		return
	}
	s.follow = &follow{note: n, text: bytes.Clone(line)}
}

// followed reports whether a line belongs to the note before it.
func (s *Scanner) followed(line []byte) bool {
	f := s.follow
	body := outline.Body(line)
	inside := len(body) > 0 && bytes.IndexByte([]byte(" \t{}]"), body[0]) >= 0
	last := len(body) > 0 && body[0] == '}'
	if f.note.Kind == outline.Error && !inside { // the exception comes last
		kind := outline.Of(line).Kind // of another line, if the traceback breaks off
		inside, last = len(body) > 0 && (kind == outline.Plain || kind == outline.Error), true
	}
	if !inside {
		s.endFollow()
		return false
	}
	f.lines++
	if room := maxLine - len(f.text) - 1; room > 0 {
		f.text = append(f.text, '\n')
		f.text = append(f.text, body[:min(len(body), room)]...)
	}
	if last || f.lines == maxFollow {
		s.endFollow()
	}
	return true
}

func (s *Scanner) endFollow() {
	f := s.follow
	if f == nil {
		return
	}
	s.follow = nil
	if f.note.Kind == outline.Error {
		f.note.Message = tail(f.text, 10, maxShort)
		s.errors.add(f.note)
		return
	}
	first, rest, _ := bytes.Cut(f.text, []byte("\n"))
	_, begun, ok := bytes.Cut(first, []byte("=>"))
	if result := bytes.TrimSpace(append(bytes.Clone(begun), f.text[len(first):]...)); ok && len(result) > 0 && result[0] == '{' {
		f.note.Message = message(first, result)
	} else if result := bytes.TrimSpace(rest); !ok && len(result) > 0 && result[0] == '{' {
		f.note.Message = message(nil, result) // Zuul's
	} else {
		f.note.Message = outline.Text(f.text, MaxMessage)
	}
	s.failures.add(f.note)
	s.ignored = true
}

// message makes of a task's result, which is JSON, what a person wants to read of
// it. A result that breaks off is read as far as it goes.
func message(line, result []byte) string {
	var b strings.Builder
	if i := bytes.Index(line, []byte("] (item=")); i >= 0 {
		item, _, _ := bytes.Cut(line[i+3:], []byte(") =>"))
		fmt.Fprintf(&b, "%s: ", outline.Text(item, outline.MaxName))
	} else if bytes.Contains(line[:min(len(line), 512)], []byte("]: UNREACHABLE!")) {
		b.WriteString("unreachable: ")
	}
	fields := readFields(result)
	said := first(fields, "msg", "reason", "censored", "exception")
	if said == "" && fields["stderr"] == "" && fields["stdout"] == "" && fields["module_stderr"] == "" {
		b.WriteString(outline.Text(result, maxShort)) // it says nothing that is known
		return outline.Text([]byte(b.String()), MaxMessage)
	}
	b.WriteString(outline.Text([]byte(said), MaxMessage/2))
	if rc := fields["rc"]; rc != "" && rc != "0" {
		fmt.Fprintf(&b, " (rc %s)", outline.Text([]byte(rc), 16))
	}
	for _, out := range []string{"stderr", "module_stderr", "stdout", "module_stdout"} {
		if text := tail([]byte(fields[out]), 10, maxShort); text != "" && text != said {
			fmt.Fprintf(&b, "\n%s: %s", out, text)
			break
		}
	}
	return outline.Text([]byte(b.String()), MaxMessage)
}

func first(fields map[string]string, names ...string) string {
	for _, name := range names {
		if s := strings.TrimSpace(fields[name]); s != "" {
			return s
		}
	}
	return ""
}

// readFields reads the fields of a result that its message is made of.
func readFields(result []byte) map[string]string {
	fields := make(map[string]string)
	dec := json.NewDecoder(bytes.NewReader(result))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fields
	}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			break
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			break
		}
		switch name {
		case "msg", "reason", "censored", "exception", "rc", "stderr", "stdout", "module_stderr", "module_stdout":
			var text string
			if json.Unmarshal(value, &text) != nil {
				text = string(value)
			}
			fields[name] = text
		}
	}
	return fields
}

// tail is the end of a text: its last lines, of at most max bytes.
func tail(text []byte, lines, max int) string {
	text = bytes.TrimSpace(text)
	text = text[len(text)-min(len(text), 2*max):] // escape sequences and all
	for i := len(text); i > 0 && lines > 0; lines-- {
		i = bytes.LastIndexByte(text[:i], '\n')
		if i < 0 {
			break
		}
		if lines == 1 {
			text = text[i+1:]
		}
	}
	s := outline.Text(text, 2*max)
	if len(s) <= max {
		return s
	}
	s = s[len(s)-max:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return outline.Text([]byte(strings.ToValidUTF8(s, "")), max)
}
