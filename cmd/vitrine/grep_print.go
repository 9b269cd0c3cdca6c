package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"vitrine"
	"vitrine/grep"
	"vitrine/terminal"
)

// A grepForm is how grep prints.
type grepForm struct {
	json, count, list bool
	context           bool // there are lines around matches
	terminal          bool // headings and colours; what text has of them is tamed
	plain             bool // no colours of our own
}

// Colours of grep's own.
const (
	boldStyle   = "\x1b[1m"
	numberStyle = "\x1b[32m"
	matchStyle  = "\x1b[1;31m"
	noStyle     = "\x1b[m"
)

// styled is a text in a style, if there are to be any.
func (f grepForm) styled(style, text string) string {
	if f.plain {
		return text
	}
	return style + text + noStyle
}

// A grepLine is what grep prints as JSON.
type grepLine struct {
	Build    string   `json:"build"`
	Artifact string   `json:"artifact"`
	Count    int64    `json:"count,omitempty"` // with -c, and nothing below
	Line     int64    `json:"line,omitempty"`
	Text     *string  `json:"text,omitempty"`
	Bytes    []byte   `json:"bytes,omitempty"`   // instead of Text, if it is not UTF-8
	Matches  [][2]int `json:"matches,omitempty"` // bytes of the text, from and to; a line around a match has none
}

// line prints a line.
func (f grepForm) line(j *grepJob, artifact string, l grep.Line) {
	w := &j.buf
	if f.json {
		out := grepLine{Build: j.build.UUID, Artifact: artifact, Line: l.Number, Matches: l.Matches}
		if held := bytes.TrimSuffix(l.Text, []byte("\r")); utf8.Valid(held) {
			text := string(held)
			out.Text = &text
		} else {
			out.Bytes = held
		}
		writeJSON(w, out)
		return
	}
	same := artifact == j.artifact
	if f.context && (same && l.Number > j.last+1 || !same && j.matchedBefore()) && !(f.terminal && !same) {
		w.WriteString("--\n")
	}
	if f.terminal && !same {
		f.heading(j, artifact)
	}
	j.artifact, j.last = artifact, l.Number
	mark := ':'
	if len(l.Matches) == 0 {
		mark = '-'
	}
	if !f.terminal {
		fmt.Fprintf(w, "%s/%s%c%d%c", j.build.UUID[:12], artifact, mark, l.Number, mark)
		w.Write(l.Text)
		w.WriteByte('\n')
		return
	}
	number := strconv.FormatInt(l.Number, 10)
	fmt.Fprintf(w, "%s%c", f.styled(numberStyle, number), mark)
	tame := terminal.NewWriter(w)
	tame.Continue(strings.Repeat(" ", len(number)) + "| ")
	f.marked(tame, l)
	tame.Write([]byte{'\n'}) // which ends the line with its carriage return, if it has one
	tame.Flush()
}

func (j *grepJob) matchedBefore() bool { return j.artifact != "" }

// heading prints what the lines below it are of.
func (f grepForm) heading(j *grepJob, artifact string) {
	b := j.build
	if j.matchedBefore() {
		j.buf.WriteByte('\n')
	}
	tame := terminal.NewWriter(&j.buf) // what turns text around may stand in a name too
	fmt.Fprintf(tame, "%s  %s\n", f.styled(boldStyle, b.UUID[:12]+"/"+artifact), buildWords(b))
	tame.Flush()
}

// buildWords are the facts of a build by which people know it.
func buildWords(b vitrine.Build) string {
	return strings.Join([]string{b.JobName, string(b.Result), b.StartTime.Local().Format("2006-01-02 15:04")}, "  ")
}

// total prints what is known of a whole log that has matches.
func (f grepForm) total(j *grepJob, artifact string, found int64) {
	switch {
	case !f.count && !f.list:
	case f.json:
		out := grepLine{Build: j.build.UUID, Artifact: artifact}
		if !f.list {
			out.Count = found
		}
		writeJSON(&j.buf, out)
	case f.list:
		fmt.Fprintf(&j.buf, "%s/%s\n", j.build.UUID[:12], artifact)
	default:
		fmt.Fprintf(&j.buf, "%s/%s:%d\n", j.build.UUID[:12], artifact, found)
	}
}

func writeJSON(w *bytes.Buffer, line grepLine) {
	newJSON(w).Encode(line) // a buffer takes all
}

// maxShown is how many bytes of a line a terminal shows.
const maxShown = 2000

// marked writes a line with its matches in colour: of a long line what is about the
// first match.
func (f grepForm) marked(w *terminal.Writer, l grep.Line) {
	text, from := l.Text, 0
	if len(text) > maxShown {
		if len(l.Matches) > 0 {
			from = max(0, l.Matches[0][0]-maxShown/4)
		}
		text = text[from:min(from+maxShown, len(text))]
	}
	if from > 0 {
		io.WriteString(w, "…")
	}
	at := 0
	for _, m := range l.Matches {
		start, end := min(max(m[0]-from, at), len(text)), min(m[1]-from, len(text))
		if start >= end {
			continue
		}
		w.Write(text[at:start])
		if f.plain {
			w.Write(text[start:end])
		} else {
			w.Highlight(matchStyle, text[start:end])
		}
		at = end
	}
	w.Write(text[at:])
	if from+len(text) < len(l.Text) {
		io.WriteString(w, "…")
	}
}
