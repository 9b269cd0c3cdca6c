package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/outline"
	"vitrine/summary"
)

// fetchSummary opens the summary that was sealed with the logs; nil if there is none.
func fetchSummary(ctx context.Context, c *client.Client, record *vitrine.Record, ids []age.Identity) (*summary.Summary, error) {
	a, ok := record.Summary()
	if !ok {
		return nil, nil
	}
	if a.PlainSize > summary.MaxSize {
		return nil, fmt.Errorf("%w: %s: more than %d bytes", errUnverified, a.Path, summary.MaxSize)
	}
	var text bytes.Buffer
	if err := fetch(ctx, c, record, a, ids, &text, nil); err != nil {
		return nil, err
	}
	s, err := summary.Parse(text.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnverified, a.Path, err)
	}
	return s, nil
}

// revealFor opens what show prints to readers alone: the summary of a build, and
// the real names of its artifacts. That none of the identities that were found at
// hand opens them is no error.
func revealFor(cmd *cobra.Command, c *client.Client, record *vitrine.Record) (told *summary.Summary, err error) {
	ids, err := identitiesAtHand(cmd)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	named := *record
	named.Artifacts = slices.Clone(record.Artifacts)
	err = revealNames(&named, func(a vitrine.Artifact, w io.Writer) error {
		a.Name = "build " + record.UUID
		return fetch(cmd.Context(), c, record, a, ids, w, nil)
	})
	if err == nil {
		told, err = fetchSummary(cmd.Context(), c, record, ids)
		record.Artifacts = named.Artifacts
	}
	if asked, _ := cmd.Flags().GetStringArray("identity"); err != nil && len(asked) == 0 && !isUnverified(err) {
		return nil, nil
	}
	return told, err
}

// patternsOf are the patterns of --summary-pattern.
func patternsOf(cmd *cobra.Command) ([]*regexp.Regexp, error) {
	texts, _ := cmd.Flags().GetStringArray("summary-pattern")
	if cmd.Flags().Changed("summary-pattern") && (len(texts) == 0 || slices.Contains(texts, "")) { // none, if one was given that is empty
		return nil, usagef("--summary-pattern is empty: want a regexp of lines that are failures")
	}
	var list []*regexp.Regexp
	for _, text := range texts {
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, usagef("--summary-pattern %q: %v", text, err)
		}
		list = append(list, re)
	}
	return list, nil
}

// showSummary prints what a summary tells, in short.
func showSummary(w io.Writer, uuid string, s *summary.Summary) {
	print := func(heading string, pick func(summary.Log) []summary.Note) {
		for _, l := range s.Logs {
			for _, n := range pick(l) {
				if heading != "" {
					fmt.Fprintf(w, "\n%s\n", heading)
					heading = ""
				}
				fmt.Fprintln(w, "  "+noteHeading(l.Path, n))
				printMessage(w, "    ", n.Message)
			}
		}
	}
	print("ignored or rescued", func(l summary.Log) []summary.Note {
		return slices.DeleteFunc(slices.Clone(l.Warnings), func(n summary.Note) bool { return n.Kind != outline.Failed })
	})
	print("failed", func(l summary.Log) []summary.Note { return l.Failures })
	for _, l := range s.Logs {
		if len(l.Recap) > 0 {
			fmt.Fprintf(w, "\nrecap of %s\n", l.Path)
		}
		for _, h := range l.Recap {
			fmt.Fprintf(w, "  %s: %s\n", h.Name, (vitrine.Recap{
				OK: int64(h.OK), Changed: int64(h.Changed), Unreachable: int64(h.Unreachable), Failed: int64(h.Failed), Skipped: int64(h.Skipped),
			}))
		}
	}
	if others := countOthers(tally(s)); others != "" {
		fmt.Fprintf(w, "\n%s: vitrine why --all %s lists them\n", others, uuid[:8])
	}
	if more := noRoom(s); more != "" {
		fmt.Fprintf(w, "\n%s\n", more)
	}
}

// omitted counts the notes that the summary leaves out.
func omitted(s *summary.Summary) (notes int) {
	for _, l := range s.Logs {
		notes += l.Omitted
	}
	return notes
}

// leftOut says that why leaves out n of all notes that it could print, beside those
// that the summary does not have.
func leftOut(s *summary.Summary, n, all int) string {
	if more := omitted(s); more > 0 {
		return fmt.Sprintf("%d more notes are left out: -n %d prints %d of them, the others had no room in the summary", more+n, all, n)
	}
	return fmt.Sprintf("%d before these are left out: -n %d prints them too", n, all)
}

// noRoom says how much the summary leaves out; nothing, if it has all.
func noRoom(s *summary.Summary) string {
	var list []string
	notes := omitted(s)
	if notes > 0 {
		list = append(list, count(notes, "more note"))
	}
	if s.Omitted > 0 {
		list = append(list, "what "+count(s.Omitted, "more log")+" told")
	}
	if list == nil {
		return ""
	}
	return strings.Join(list, " and ") + " had no room in the summary"
}

// tally counts errors and warnings. A failure that was ignored is no warning here.
func tally(s *summary.Summary) (errs, warnings int) {
	for _, l := range s.Logs {
		errs += len(l.Errors)
		for _, n := range l.Warnings {
			if n.Kind == outline.Warning {
				warnings++
			}
		}
	}
	return errs, warnings
}

// countOthers says how many errors and warnings there are; nothing, if none.
func countOthers(errs, warnings int) string {
	var list []string
	if errs > 0 {
		list = append(list, count(errs, "error"))
	}
	if warnings > 0 {
		list = append(list, count(warnings, "warning"))
	}
	return strings.Join(list, ", ")
}

// A listed note is one as why --all has it.
type listed struct {
	Path string `json:"path"`
	summary.Note
	Ignored bool `json:"ignored,omitempty"` // a failure after which the play went on
}

// allTold is all that a summary tells, in the order of the logs and their lines.
func allTold(s *summary.Summary) []listed {
	list := []listed{}
	for _, l := range s.Logs {
		begin := len(list)
		for _, n := range slices.Concat(l.Failures, l.Errors) {
			list = append(list, listed{Path: l.Path, Note: n})
		}
		for _, n := range l.Warnings {
			list = append(list, listed{l.Path, n, n.Kind == outline.Failed})
		}
		slices.SortStableFunc(list[begin:], func(a, b listed) int { return cmp.Compare(a.Line, b.Line) })
	}
	return list
}

// printTold prints a note a line; more lines of a message are indented.
func printTold(w io.Writer, list []listed) {
	for _, t := range list {
		message := strings.ReplaceAll(t.Message, "\n", "\n    ")
		switch {
		case t.Ignored:
			message = "ignored or rescued: " + message
		case t.Kind == outline.Failed:
			message = "failed: " + message
		}
		fmt.Fprintf(w, "%s  %s\n", noteHeading(t.Path, t.Note), message)
	}
}

// noteHeading says where a note stands, and what it belongs to.
func noteHeading(path string, n summary.Note) string {
	s := path
	if n.Line != 0 {
		s = fmt.Sprintf("%s:%d", path, n.Line)
	}
	if n.Task != "" {
		s += "  " + n.Task
	}
	if n.Host != "" {
		s += "  on " + n.Host
	}
	return s
}

func printMessage(w io.Writer, indent, message string) {
	for line := range strings.Lines(message) {
		fmt.Fprintf(w, "%s%s\n", indent, strings.TrimSuffix(line, "\n"))
	}
}
