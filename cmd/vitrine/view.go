package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/crypto"
	"vitrine/grep"
	"vitrine/lines"
	"vitrine/ngram"
	"vitrine/summary"
	"vitrine/view"
)

func viewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "view BUILD [ARTIFACT] | view --file FILE…",
		Short: "Show the logs of a build in the browser",
		Long: `view opens a build's logs with your identity and shows them on a page that this
machine alone can see: it is served on 127.0.0.1, below an address that can't be
guessed, until its tab is closed or you press Ctrl-C. A log is fetched by parts,
as they are looked at, and nothing is written to a disk.

What is shown of a sealed log is authenticated as sealed to you; the hash in the
record is of the whole, which is not fetched unless it is a public file of up to
1 MiB. vitrine verify and get check that.

BUILD is a uuid, the start of one, or the address of a build's page. With #L120 or
#L120-L140 at the end of BUILD or ARTIFACT, the page begins there; BUILD may also
end in #ARTIFACT or #ARTIFACT#L120. With --file, files of this machine are shown, sealed or not.`,
		Example: `  vitrine view 3f0c9a51
  vitrine view 3f0c9a51 ansible.log#L120-L140
  vitrine view --file ansible.log.zst.age`,
		Args: cobra.MaximumNArgs(2),
		RunE: showInBrowser,
	}
	cmd.Flags().Bool("no-browser", false, "print the address, and open no browser")
	cmd.Flags().StringArray("file", nil, "show a `file` of this machine; repeatable")
	keyringFlag(cmd)
	return cmd
}

func showInBrowser(cmd *cobra.Command, args []string) error {
	files, _ := cmd.Flags().GetStringArray("file")
	if (len(files) > 0) == (len(args) > 0) {
		return usagef("view what? give a BUILD, or else --file FILE")
	}
	names, fragment, err := cutLinks(args, files)
	if err != nil {
		return err
	}
	var build view.Build
	if len(files) > 0 {
		build, err = viewFiles(cmd, names)
	} else {
		build, err = viewBuild(cmd, names)
	}
	if err != nil {
		return err
	}

	ctx, stop := untilHangup(cmd.Context())
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	s, path, err := view.New(l.Addr().String(), build)
	if err != nil {
		return err
	}
	defer s.Close()
	address := "http://" + l.Addr().String() + path + fragment
	fmt.Fprintf(os.Stderr, "vitrine: %s\nvitrine: keep this address to yourself; close its tab or press Ctrl-C to end\n", address)
	if none, _ := cmd.Flags().GetBool("no-browser"); !none {
		done, err := openBrowser(address)
		if err != nil {
			fmt.Fprintf(os.Stderr, "vitrine: no browser could be opened (%v): open the address yourself\n", err)
		} else {
			fmt.Fprintln(os.Stderr, "vitrine: "+shownNothing)
		}
		defer done()
		go func() {
			select {
			case <-s.Seen(): // the page is there
				done()
			case <-ctx.Done():
			}
		}()
	}
	err = s.Serve(ctx, l)
	select {
	case <-s.Gone():
		fmt.Fprintln(os.Stderr, "vitrine: ended: "+whyGone(s))
	default:
	}
	return err
}

func whyGone(s *view.Server) string {
	select {
	case <-s.Seen():
		return "the tab was closed"
	default:
		return fmt.Sprintf("nobody opened the page for %.0f minutes", view.Unopened.Minutes())
	}
}

// shownNothing is for browsers of snap and flatpak.
const shownNothing = "if the browser shows nothing, it may not read the file that leads there: open the address yourself"

// untilHangup also ends when the terminal is closed, unless that is ignored, as
// nohup has it.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// viewBuild makes a view of a build's logs, the one that was asked for first.
func viewBuild(cmd *cobra.Command, args []string) (view.Build, error) {
	var none view.Build
	c, record, _, err := openBuild(cmd, args[0])
	if err != nil {
		return none, err
	}
	ids, err := reveal(cmd, c, record, args[1:])
	if err != nil {
		return none, err
	}
	asked, err := choose(record, args[1:])
	if err != nil {
		return none, err
	}
	if ids == nil {
		if ids, err = identitiesFor(cmd, record.Artifacts); err != nil {
			return none, err
		}
	}
	told, err := fetchSummary(cmd.Context(), c, record, ids)
	if isUnverified(err) { // the logs are there without it
		fmt.Fprintf(os.Stderr, "vitrine: the page can't say what failed: %v\n", err)
	} else if err != nil {
		return none, err
	}
	b := view.Build{UUID: record.UUID, Job: record.JobName, Result: string(record.Result), Page: c.BuildURL(record.UUID), Summary: told,
		Start: record.StartTime, End: record.EndTime, Project: record.Ref.Project, Pipeline: record.Pipeline, Change: record.Ref.Change, Patchset: record.Ref.Patchset}
	add := func(a vitrine.Artifact) {
		var log *remoteLog
		b.Artifacts = append(b.Artifacts, view.Artifact{
			Path: a.Name, Size: a.PlainSize,
			Open: func(ctx context.Context) (_ *lines.Log, err error) {
				if log, err = openLog(ctx, c, record, a, ids, nil); err != nil {
					return nil, err
				}
				return log.Log, nil
			},
			MayHold: func(q ngram.Query) ([]grep.Span, bool, error) { return mayHold(log.sealed, q) },
		})
	}
	if len(args) < 2 {
		asked = firstLog(record, told)
	}
	for _, a := range asked {
		add(a)
	}
	for _, a := range record.Artifacts {
		if a.IsText() && (len(asked) == 0 || a.Path != asked[0].Path) {
			add(a)
		}
	}
	if len(b.Artifacts) == 0 {
		return none, fmt.Errorf("build %s has no log to show, but %s", record.UUID, artifactList(record))
	}
	// Who holds no key for it learns that here, not in the browser. But one of several
	// logs that is damaged does not keep its reader from the others: its pane says so.
	first, err := b.Artifacts[0].Open(cmd.Context())
	if err == nil {
		b.Artifacts[0].Open = func(context.Context) (*lines.Log, error) { return first, nil }
	} else if len(args) == 2 || len(b.Artifacts) == 1 || !isUnverified(err) {
		return none, err
	}
	return b, nil
}

// firstLog returns the log to begin with if none is asked for: where the last failure
// is, else the last error, else the greatest of the likely ones. It may be none.
func firstLog(record *vitrine.Record, told *summary.Summary) []vitrine.Artifact {
	notes := []func(summary.Log) int{
		func(l summary.Log) int { return len(l.Failures) },
		func(l summary.Log) int { return len(l.Errors) },
	}
	for _, count := range notes {
		if told == nil {
			break
		}
		for _, l := range slices.Backward(told.Logs) {
			i := slices.IndexFunc(record.Artifacts, func(a vitrine.Artifact) bool { return a.Name == l.Path && a.IsText() })
			if i >= 0 && count(l) > 0 {
				return record.Artifacts[i : i+1]
			}
		}
	}
	likely := slices.DeleteFunc(likelyLogs(record), func(a vitrine.Artifact) bool { return !a.IsText() })
	if len(likely) == 0 {
		return nil
	}
	return []vitrine.Artifact{slices.MaxFunc(likely, func(a, b vitrine.Artifact) int { return cmp.Compare(a.PlainSize, b.PlainSize) })}
}

// mayHold asks the index of a sealed log where to look; one that is public, nil,
// has none, and one that is broken is done without. If nothing is known, within is nil.
func mayHold(sealed *crypto.ReaderAt, q ngram.Query) ([]grep.Span, bool, error) {
	if sealed == nil {
		return nil, false, nil
	}
	spans, ok, err := sealed.MayHold(q)
	if errors.Is(err, crypto.ErrSearchIndex) {
		return nil, false, nil
	}
	if !ok || err != nil {
		return nil, false, err
	}
	within := make([]grep.Span, len(spans))
	for i, s := range spans {
		within[i] = grep.Span(s)
	}
	return within, true, nil
}

// viewFiles makes a view of files, sealed or not.
func viewFiles(cmd *cobra.Command, names []string) (view.Build, error) {
	b := view.Build{Job: filepath.Base(names[0])}
	var ids []age.Identity
	for _, name := range names {
		f, size, sealed, err := statFile(name)
		if err != nil {
			return b, err
		}
		if sealed && ids == nil {
			if ids, err = identities(cmd); err != nil {
				return b, err
			}
		}
		a := view.Artifact{Path: name, Size: size}
		if sealed {
			r, err := crypto.OpenAt(f, size, ids...)
			if isNoMatch(err) {
				return b, &noneOpensError{name: name, err: err}
			}
			if err != nil {
				return b, fmt.Errorf("open %s: %w", name, err)
			}
			a.Size = r.Size()
			a.Open = func(context.Context) (*lines.Log, error) { return lines.New(r), nil }
			a.MayHold = func(q ngram.Query) ([]grep.Span, bool, error) { return mayHold(r, q) }
		} else {
			a.Open = func(context.Context) (*lines.Log, error) { return lines.New(io.NewSectionReader(f, 0, size)), nil }
		}
		b.Artifacts = append(b.Artifacts, a)
	}
	return b, nil
}

// statFile opens a file, which stays open, and tells whether it is sealed.
func statFile(name string) (f *os.File, size int64, sealed bool, err error) {
	info, err := os.Stat(name) // to open a pipe would be to wait for who writes to it
	if err != nil {
		return nil, 0, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, false, fmt.Errorf("%s is no regular file, and only those can be read anywhere", name)
	}
	f, err = os.Open(name)
	if err != nil {
		return nil, 0, false, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	const intro = "age-encryption.org/v1\n"
	head := make([]byte, len(intro))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, false, err
	}
	return f, info.Size(), string(head) == intro, nil
}
