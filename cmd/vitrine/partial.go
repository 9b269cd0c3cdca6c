package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/crypto"
)

// partialSuffix ends the names of files that lack their end.
const partialSuffix = ".partial"

// An interruptedError says that a build has no record of its end: its runner went
// away, and what there is of it is in build.
type interruptedError struct{ build vitrine.Build }

func (e *interruptedError) Error() string {
	return fmt.Sprintf("build %s was interrupted: its runner went away, and what had come of it by then is neither whole nor signed", e.build.UUID)
}

// hinted adds what to do to an interruptedError.
func hinted(err error) error {
	var e *interruptedError
	if errors.As(err, &e) {
		return fmt.Errorf("%w\n  vitrine cat --partial %s reads what there is", err, e.build.UUID)
	}
	return err
}

func partialFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("partial", false, "of a build that was interrupted, read what there is; the exit status is 1 then")
}

// wantsPartial returns the build of an interruptedError if the user wants what
// there is of it, and if it makes sense: it is the server's word.
func wantsPartial(cmd *cobra.Command, err error) (*vitrine.Build, error) {
	var e *interruptedError
	if partial, _ := cmd.Flags().GetBool("partial"); !partial || !errors.As(err, &e) {
		return nil, hinted(err)
	}
	for i, a := range e.build.Artifacts {
		k, err := vitrine.ParseKey(vitrine.ArtifactKey(e.build.UUID, a.Path))
		if err != nil || k.UUID != e.build.UUID || a.Sealed != strings.HasSuffix(a.Path, vitrine.SealedRawSuffix) ||
			a.Size < 1 || a.Size > vitrine.MaxArtifactSize {
			return nil, fmt.Errorf("%w: the server lists an artifact %.100q of %d bytes, which can't be one", errUnverified, a.Path, a.Size)
		}
		e.build.Artifacts[i].Name = a.PlainPath()
	}
	return &e.build, nil
}

// fetchPartial copies what there is of an artifact of an interrupted build to w,
// and returns a note of where it ends. Each piece of it was authenticated as
// one that somebody sealed to the reader; who did, and that it is all, nobody says.
func fetchPartial(ctx context.Context, c *client.Client, build *vitrine.Build, a vitrine.Artifact, ids []age.Identity, w io.Writer) (note string, err error) {
	r, err := c.Open(ctx, vitrine.ArtifactKey(build.UUID, a.Path))
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", a.Path, err)
	}
	defer r.Close()
	lines := &lineCounter{w: w}
	var plain io.Reader = io.LimitReader(r, a.Size)
	if a.Sealed {
		opened, openErr := crypto.Open(plain, ids...)
		if err = openErr; err == nil {
			defer opened.Close()
			plain = opened
		}
	}
	if err == nil {
		_, err = io.Copy(lines, plain)
	}
	switch {
	case err == nil:
		return a.Name + ": came to its end, but nobody signed it", nil
	case isNoMatch(err):
		return "", errNoneOpens(&build.Record, a, err)
	case errors.Is(err, crypto.ErrAltered), errors.Is(err, crypto.ErrExtended), !errors.Is(err, crypto.ErrCorrupt):
		return "", errReading(&build.Record, a.Path, err)
	}
	return fmt.Sprintf("%s: incomplete: the rest is missing after %d bytes, %s", a.Name, lines.bytes, count(int(lines.lines), "line")), nil
}

// errIncomplete ends what was done with an interrupted build, whatever there was.
func errIncomplete(build *vitrine.Build) error {
	return fmt.Errorf("build %s was interrupted: this is what had come by then, and nobody signed it", build.UUID)
}

// A lineCounter counts what passes.
type lineCounter struct {
	w            io.Writer
	bytes, lines int64 // and line feeds
	last         byte
}

func (l *lineCounter) Write(p []byte) (int, error) {
	n, err := l.w.Write(p)
	l.bytes += int64(n)
	l.lines += int64(bytes.Count(p[:n], []byte{'\n'}))
	if n > 0 {
		l.last = p[n-1]
	}
	return n, err
}

// total is the number of lines, a last one without its line feed included.
func (l *lineCounter) total() int64 {
	if l.bytes > 0 && l.last != '\n' {
		return l.lines + 1
	}
	return l.lines
}

// A lineCutter passes some lines on: those after skip, and of them keep, or all if
// that is negative.
type lineCutter struct {
	w          io.Writer
	skip, keep int64
}

func (l *lineCutter) Write(p []byte) (int, error) {
	rest := p
	for l.skip > 0 && len(rest) > 0 {
		_, after, ended := bytes.Cut(rest, []byte{'\n'})
		if rest = after; ended {
			l.skip--
		}
	}
	n := len(rest)
	if l.keep >= 0 {
		n = 0
		for l.keep > 0 && n < len(rest) {
			line, _, ended := bytes.Cut(rest[n:], []byte{'\n'})
			n += len(line)
			if ended {
				n, l.keep = n+1, l.keep-1
			}
		}
	}
	if _, err := l.w.Write(rest[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// getPartial writes what there is of the artifacts under their names with
// partialSuffix.
func getPartial(cmd *cobra.Command, c *client.Client, build *vitrine.Build, artifacts []vitrine.Artifact, ids []age.Identity, root *os.Root) ([]string, error) {
	var written []string
	for _, a := range artifacts {
		name := a.Name + partialSuffix
		err := writeFile(root, name, func(w io.Writer) error {
			note, err := fetchPartial(cmd.Context(), c, build, a, ids, w)
			if err == nil {
				fmt.Fprintln(os.Stderr, "vitrine: "+note)
			}
			return err
		})
		if err != nil {
			return written, err
		}
		written = append(written, name)
	}
	return written, nil
}
