package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/summary"
)

const (
	whyContext  = 1000 // lines around a failure
	sealedBy    = "sealed by an earlier vitrine, or with --no-summary"
	nothingTold = "nothing is known that failed, nor an error or a warning"
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
none either, the last 30 lines of each log (with -n of so many logs, and with -C the
last line and so many before it); but of a build that succeeded only that nothing
failed. With --all it lists all that is known, in the order of the lines:
what failed, what was ignored or rescued, errors and warnings.

What failed stands in a summary that publish seals with the logs. Of a build
without one, the last 4 MiB of each log are looked at. Lines of a longer log that has
no table of lines are counted from its end: the last one is -1.

With --json it prints one list, an object for each failure: "path", "line", "kind"
(failed, error or warning), "task", "host", "message", and the "lines" of the log
around it, of which the first has the number "from". A line that is not UTF-8 is
{"bytes": …} in base64. Where nothing is known there is an object for each log, of
"path", "from" and "lines" alone. With --all there are no "lines", and "ignored" is
true where the play went on.`,
		Example: `  vitrine why 3f0c9a51
  vitrine why 3f0c9a51 -C 40 -n 1
  vitrine why 3f0c9a51 --all`,
		Args: cobra.ExactArgs(1),
		RunE: why,
	}
	cmd.Flags().IntP("context", "C", -1, "`lines` before and after each; default: 5 before, 10 after")
	cmd.Flags().IntP("number", "n", 3, "how many failures, at the most: the last ones")
	cmd.Flags().Bool("all", false, "list all failures, errors and warnings, without the lines around them")
	rawFlag(cmd)
	keyringFlag(cmd)
	return cmd
}

// A reason is a note with the lines of the log around it; of a log of which nothing
// is known there is no note, and the lines are its last.
type reason struct {
	Path string `json:"path"`
	*summary.Note
	From  int64      `json:"from"` // the number of the first line
	Lines []jsonText `json:"lines"`
}

func why(cmd *cobra.Command, args []string) error {
	before, after, last := int64(5), int64(10), int64(whyTail)
	if n, _ := cmd.Flags().GetInt("context"); cmd.Flags().Changed("context") {
		if n < 0 || n > whyContext {
			return usagef("-C %d: want a number of lines up to %d", n, whyContext)
		}
		before, after, last = int64(n), int64(n), int64(n)+1
	}
	most, _ := cmd.Flags().GetInt("number")
	if most < 1 {
		return usagef("-n %d: want a number of failures", most)
	}
	all, _ := cmd.Flags().GetBool("all")
	if all && (cmd.Flags().Changed("context") || cmd.Flags().Changed("number")) {
		return usagef("--all lists every note, without the lines around it: -n and -C don't go with it")
	}
	asJSON, _ := cmd.Flags().GetBool("json")
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
	if all {
		list := allTold(told)
		if more := noRoom(told); more != "" {
			fmt.Fprintf(os.Stderr, "vitrine: %s\n", more)
		}
		if asJSON {
			return newJSON(os.Stdout).Encode(list)
		}
		if len(list) == 0 {
			_, err := fmt.Println(nothingTold)
			return err
		}
		return printText(cmd, func(w io.Writer) { printTold(w, list) })
	}
	found, others := reasonsOf(told, record.Result == vitrine.Success)
	if others != "" {
		fmt.Fprintf(os.Stderr, "vitrine: %s besides: vitrine why --all %s lists them\n", others, record.UUID[:8])
	}
	if len(found) == 0 && record.Result == vitrine.Success {
		if asJSON {
			return newJSON(os.Stdout).Encode([]reason{})
		}
		_, err := fmt.Println("nothing failed")
		return err
	}
	if len(found) == 0 {
		if found = logs.unknown(); len(found) == 0 {
			return fmt.Errorf("build %s has no log to look at, but %s", record.UUID, artifactList(record))
		}
		fmt.Fprintln(os.Stderr, "vitrine: "+noFailures)
		if !cmd.Flags().Changed("number") {
			most = len(found)
		}
	}
	if n := len(found) - most; n > 0 {
		fmt.Fprintf(os.Stderr, "vitrine: %s\n", leftOut(told, n, len(found)))
		found = found[n:]
	} else if more := noRoom(told); more != "" {
		fmt.Fprintf(os.Stderr, "vitrine: %s\n", more)
	}
	for i := range found {
		r := &found[i]
		if r.Note == nil {
			r.From, r.Lines, err = logs.tail(ctx, r.Path, last)
		} else {
			r.From, r.Lines, err = logs.around(ctx, r.Path, r.Line, before, after)
		}
		if err != nil {
			return err
		}
	}
	if asJSON {
		return newJSON(os.Stdout).Encode(found)
	}
	return printText(cmd, func(w io.Writer) { printReasons(w, found) })
}

// reasonsOf are the failures that a summary tells of, by log and line; if there is
// none, and the build did not succeed, the errors. Warnings are no reason: the end
// of a log tells more. others counts what is left out.
func reasonsOf(s *summary.Summary, succeeded bool) (list []reason, others string) {
	add := func(l summary.Log, notes []summary.Note) {
		for i := range notes {
			list = append(list, reason{Path: l.Path, Note: &notes[i]})
		}
	}
	errs, warnings := tally(s)
	for _, l := range s.Logs {
		add(l, l.Failures)
	}
	if len(list) > 0 || succeeded {
		return list, countOthers(errs, warnings)
	}
	for _, l := range s.Logs {
		add(l, l.Errors)
	}
	return list, countOthers(0, warnings)
}

// printReasons prints reasons with the lines around them: of some whose lines
// overlap, or follow on each other, once below them all.
func printReasons(w io.Writer, found []reason) {
	for i := 0; i < len(found); {
		if i > 0 {
			fmt.Fprintln(w)
		}
		first, lines, marked := found[i], []jsonText(nil), make(map[int64]bool)
		for end := first.From; i < len(found) && found[i].Path == first.Path && first.From <= found[i].From && found[i].From <= end; i++ {
			r := found[i]
			if r.Note == nil {
				fmt.Fprintln(w, r.Path)
			} else {
				fmt.Fprintln(w, noteHeading(r.Path, *r.Note))
				printMessage(w, "  ", r.Message)
				fmt.Fprintln(w)
				marked[r.Line] = true
			}
			lines = append(lines, r.Lines[min(end-r.From, int64(len(r.Lines))):]...)
			end = first.From + int64(len(lines))
		}
		for i, line := range lines {
			mark := ' '
			if marked[first.From+int64(i)] {
				mark = '>'
			}
			fmt.Fprintf(w, "%c %7d  %s\n", mark, first.From+int64(i), line)
		}
	}
}
