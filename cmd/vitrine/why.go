package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/outline"
	"vitrine/summary"
)

const (
	whyContext  = 1000 // lines around a failure
	sealedBy    = "sealed by an earlier vitrine, or with --no-summary"
	noFailures  = "nothing in the logs says that it failed: these are their last lines"
	lookingAtIt = "the build has no summary (" + sealedBy + "): looking at the last part of its logs"
)

func whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why BUILD",
		Short: "Show what failed in a build, with the lines around it",
		Long: `why prints what failed in a build: task, host and message, and the lines of the log
around it, of which only that part is fetched. The last failure, which mostly is
the one, is printed last. Where none is known it prints errors, and where there are
none either, the last lines of each log.

What failed stands in a summary that publish seals with the logs. Of a build
without one, the last 4 MiB of each log are looked at. Lines of a longer log that has
no table of lines are counted from its end: the last one is -1.

With --json it prints one list, an object for each failure: "path", "line", "task",
"host", "message", and the "lines" of the log around it, of which the first has the
number "from". A line that is not UTF-8 is {"bytes": …} in base64.`,
		Example: `  vitrine why 3f0c9a51
  vitrine why 3f0c9a51 -C 40 -n 1`,
		Args: cobra.ExactArgs(1),
		RunE: why,
	}
	cmd.Flags().IntP("context", "C", -1, "`lines` before and after each; default: 5 before, 10 after")
	cmd.Flags().IntP("number", "n", 3, "how many failures, at the most: the last ones")
	rawFlag(cmd)
	keyringFlag(cmd)
	return cmd
}

// A reason is a note with the lines of the log around it.
type reason struct {
	Path string `json:"path"`
	summary.Note
	From  int64      `json:"from"` // the number of the first line
	Lines []jsonText `json:"lines"`
}

func why(cmd *cobra.Command, args []string) error {
	before, after := int64(5), int64(10)
	if n, _ := cmd.Flags().GetInt("context"); cmd.Flags().Changed("context") {
		if n < 0 || n > whyContext {
			return usagef("-C %d: want a number of lines up to %d", n, whyContext)
		}
		before, after = int64(n), int64(n)
	}
	most, _ := cmd.Flags().GetInt("number")
	if most < 1 {
		return usagef("-n %d: want a number of failures", most)
	}
	ctx := cmd.Context()
	c, record, _, err := openBuild(cmd, args[0])
	if err != nil {
		return err
	}
	ids, err := reveal(cmd, c, record, nil)
	if err != nil {
		return err
	}
	if ids == nil {
		if ids, err = identitiesFor(cmd, record.Artifacts); err != nil {
			return err
		}
	}
	logs := &buildLogs{client: c, record: record, ids: ids, ends: make(map[string]logEnd)}
	defer logs.close()
	told, err := fetchSummary(ctx, c, record, ids)
	if err != nil {
		return err
	}
	if told == nil {
		fmt.Fprintln(os.Stderr, "vitrine: "+lookingAtIt)
		if told, err = logs.look(ctx); err != nil {
			return err
		}
	}
	found := failuresOf(told)
	if n := len(found) - most; n > 0 {
		fmt.Fprintf(os.Stderr, "vitrine: %d before these are left out: -n %d prints them too\n", n, len(found))
		found = found[n:]
	}
	for i := range found {
		r := &found[i]
		if r.From, r.Lines, err = logs.around(ctx, r.Path, r.Line, before, after); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		fmt.Fprintln(os.Stderr, "vitrine: "+noFailures)
		if found, err = logs.tails(ctx); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("build %s has no log to look at, but %s", record.UUID, artifactList(record))
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return json.NewEncoder(os.Stdout).Encode(found)
	}
	return printText(cmd, func(w io.Writer) { printReasons(w, found) })
}

// failuresOf are the failures that a summary tells of, by log and line; errors, if
// there is none.
func failuresOf(s *summary.Summary) (list []reason) {
	for _, notes := range []func(summary.Log) []summary.Note{
		func(l summary.Log) []summary.Note { return l.Failures },
		func(l summary.Log) []summary.Note { return l.Errors },
	} {
		for _, l := range s.Logs {
			for _, n := range notes(l) {
				list = append(list, reason{Path: l.Path, Note: n})
			}
		}
		if len(list) > 0 {
			break
		}
	}
	return list
}

func printReasons(w io.Writer, found []reason) {
	for i, r := range found {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, noteHeading(r.Path, r.Note))
		if r.Line != 0 {
			printMessage(w, "  ", r.Note.Message)
			fmt.Fprintln(w)
		}
		for i, line := range r.Lines {
			mark := ' '
			if r.From+int64(i) == r.Line {
				mark = '>'
			}
			fmt.Fprintf(w, "%c %7d  %s\n", mark, r.From+int64(i), line)
		}
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
	var errs, warnings, omitted int
	for _, l := range s.Logs {
		errs += len(l.Errors)
		warnings += len(l.Warnings)
		omitted += l.Omitted
	}
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
	var more bytes.Buffer
	for _, n := range []struct {
		count int
		what  string
	}{{errs, "error"}, {warnings, "warning"}, {omitted, "more note"}} {
		if n.count > 0 {
			if more.Len() > 0 {
				more.WriteString(", ")
			}
			more.WriteString(count(n.count, n.what))
		}
	}
	if more.Len() > 0 {
		fmt.Fprintf(w, "\n%s in all; vitrine why %s shows the lines\n", more.Bytes(), uuid[:8])
	}
}
