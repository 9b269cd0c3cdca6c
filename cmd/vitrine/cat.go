package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
)

func catCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat BUILD [ARTIFACT]",
		Short: "Print one artifact of a build, or a part of it",
		Long: `cat opens one artifact and writes it to standard output as it comes. What it
writes is authenticated piece by piece; whether all of it was there, and is what
the record names, shows in the exit status: 0 only after the last byte. Without
ARTIFACT the build's only sealed log is meant.

With --lines, --from-line, --bytes or --around, or with #L120-L140 at the end of
ARTIFACT or of BUILD's address, it fetches and opens that part alone. Each piece
of it is authenticated as sealed to you. The hash in the record is one of the
whole, so it is not checked then; vitrine verify does. In a pager the same holds,
since that fetches no more than you look at. A public file is not sealed, so of a
part nothing is checked; but one of up to 1 MiB is read whole, and its hash checked
before a byte is printed.

On a terminal, and in a pager, colours stay, and what else a terminal would obey
is shown as ^[ and the like, and a carriage return within a line as the end of
one; --raw passes all on. Into files and pipes bytes go as they are.

With --json each line is an object with its number and its "text", or "bytes" in
base64 if it is not UTF-8; a line of more than a mebibyte comes as several.

Of a build whose runner went away, --partial prints what there is, says on
standard error where it ends, and exits with 1.`,
		Example: `  vitrine cat 3f0c9a51 ansible.log | grep -c changed
  vitrine cat 3f0c9a51 ansible.log --lines 120-140 -n
  vitrine cat 3f0c9a51 --around 'fatal: |FAILED!' -C 5
  vitrine cat https://vitrine.example.org/t/main/build/3f0c9a51d2e84f0b9d1c5a7e2b60aa91#L120-L140`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			paged, _ := cmd.Flags().GetBool("pager")
			return readPart(cmd, args, paged)
		},
	}
	partFlags(cmd)
	outputFlags(cmd)
	partialFlag(cmd)
	keyringFlag(cmd)
	return cmd
}

func lessCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "less BUILD [ARTIFACT]",
		Short: "Look at one artifact of a build in a pager",
		Long: `less opens one artifact in $PAGER, or else in less(1), and fetches of it what you
look at and a little more. So it begins at once however long the log is; going to
the end (G) fetches all of it. To see the end first, use vitrine tail --pager.

It is cat --pager, and takes the flags of cat.`,
		Example: `  vitrine less 3f0c9a51 ansible.log
  vitrine less 3f0c9a51 ansible.log --from-line 120000
  PAGER='less -RN' vitrine less 3f0c9a51`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return readPart(cmd, args, true) },
	}
	partFlags(cmd)
	rawFlag(cmd)
	partialFlag(cmd)
	keyringFlag(cmd)
	return cmd
}

// readPart is cat and less.
func readPart(cmd *cobra.Command, args []string, paged bool) error {
	p, args, err := parsePart(cmd, args)
	if err != nil {
		return err
	}
	return printLog(cmd, args, p, paged)
}

// A chosenLog is one artifact of a build, and what it takes to read it.
type chosenLog struct {
	client   *client.Client
	record   *vitrine.Record
	partial  *vitrine.Build // not nil if the build was interrupted
	artifact vitrine.Artifact
	ids      []age.Identity
}

// chooseLog finds the artifact that BUILD [ARTIFACT] means.
func chooseLog(cmd *cobra.Command, args []string) (*chosenLog, error) {
	c, record, partial, err := openBuild(cmd, args[0])
	if err != nil {
		return nil, err
	}
	ids, err := reveal(cmd, c, record, args[1:])
	if err != nil {
		return nil, err
	}
	var chosen []vitrine.Artifact
	if len(args) == 2 {
		if chosen, err = choose(record, args[1:]); err != nil {
			return nil, err
		}
	} else {
		chosen = likelyLogs(record)
	}
	if len(chosen) != 1 {
		if known, err := c.Build(cmd.Context(), record.UUID); err == nil && !known.Expired.IsZero() {
			return nil, fmt.Errorf("build %s expired on %s, and the server has its logs no longer", record.UUID, record.Expires.Format(time.DateOnly))
		}
		if len(jobFiles(record)) == 0 {
			return nil, fmt.Errorf("build %s has no artifacts", record.UUID)
		}
		return nil, usagef("which artifact? build %s has %s", record.UUID, artifactList(record))
	}
	if ids == nil {
		if ids, err = identitiesFor(cmd, chosen); err != nil {
			return nil, err
		}
	}
	return &chosenLog{c, record, partial, chosen[0], ids}, nil
}

// likelyLogs returns the artifact that is meant if none is named: the only sealed
// log, the only sealed file, or the only log. If there is no such, they are more
// or less than one.
func likelyLogs(record *vitrine.Record) []vitrine.Artifact {
	var found []vitrine.Artifact
	for _, fits := range []func(vitrine.Artifact) bool{
		func(a vitrine.Artifact) bool { return a.Sealed && a.IsLog() },
		func(a vitrine.Artifact) bool { return a.Sealed },
		vitrine.Artifact.IsLog,
	} {
		found = nil
		for _, a := range record.Artifacts {
			if fits(a) && !a.IsSummary() {
				found = append(found, a)
			}
		}
		if len(found) == 1 {
			break
		}
	}
	return found
}

// printLog prints a part of the log that args name.
func printLog(cmd *cobra.Command, args []string, p part, paged bool) error {
	numbers, _ := cmd.Flags().GetBool("line-numbers")
	asJSON, _ := cmd.Flags().GetBool("json")
	switch {
	case asJSON && paged:
		return usagef("--json is for programs: leave out --json, or the pager")
	case asJSON && p.kind == byteRange:
		return usagef("--json prints lines: leave out --json, or --bytes")
	}
	chosen, err := chooseLog(cmd, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	numbers = numbers || asJSON
	print := func(first int64, write func(io.Writer) error) error {
		out := openOutput(cmd, paged, cancel)
		switch {
		case asJSON:
			lines := &jsonLines{w: out, next: first}
			return out.end(cmp.Or(write(lines), lines.end()))
		case numbers:
			out.mark(besideNumber)
			return out.end(write(numbered(out, first)))
		}
		return out.end(write(out))
	}
	switch {
	case chosen.partial != nil:
		return printPartial(ctx, chosen, p, print)
	case p.kind == wholeLog && !paged:
		return print(1, func(w io.Writer) error {
			return fetch(ctx, chosen.client, chosen.record, chosen.artifact, chosen.ids, w, nil)
		})
	}
	log, err := openLog(ctx, chosen.client, chosen.record, chosen.artifact, chosen.ids, nil)
	if err != nil {
		return err
	}
	defer log.Close()
	stop := log.watch("look")
	off, n, err := p.find(ctx, log)
	first := int64(1)
	if err == nil && numbers && off > 0 {
		if first, err = log.Number(ctx, off); err != nil {
			err = log.explain(err)
		}
	}
	stop()
	if err != nil {
		return err
	}
	return print(first, func(w io.Writer) error {
		r := log.NewReader(off, n)
		defer r.Close()
		switch got, err := io.Copy(w, r); {
		case err != nil:
			return log.explain(err)
		case got != n:
			return log.explain(io.ErrUnexpectedEOF)
		}
		return nil
	})
}

// printPartial prints what there is of a log whose build was interrupted.
func printPartial(ctx context.Context, chosen *chosenLog, p part, print func(first int64, write func(io.Writer) error) error) error {
	skip, keep := int64(0), int64(-1)
	switch p.kind {
	case wholeLog:
	case lineRange:
		skip = p.from - 1
		if p.to >= 0 {
			keep = p.to - skip
		}
	case lastLines: // what is last shows only at the end, so it is read twice
		all := &lineCounter{w: io.Discard}
		if _, err := fetchPartial(ctx, chosen.client, chosen.partial, chosen.artifact, chosen.ids, all); err != nil {
			return err
		}
		skip = max(0, all.total()-p.from)
	default:
		return usagef("of a build that was interrupted there are lines alone: give --lines, --from-line, or nothing")
	}
	var note string
	err := print(skip+1, func(w io.Writer) (err error) {
		note, err = fetchPartial(ctx, chosen.client, chosen.partial, chosen.artifact, chosen.ids, &lineCutter{w, skip, keep})
		return err
	})
	if err != nil {
		return err
	}
	if note != "" {
		fmt.Fprintln(os.Stderr, "vitrine: "+note)
	}
	return errIncomplete(chosen.partial)
}
