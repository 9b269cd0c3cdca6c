package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"vitrine"
)

const (
	// sealedAtOnce is how many files are sealed side by side. Each takes all
	// cores while it has bytes; the second fills the gaps of the first.
	sealedAtOnce = 2
	// filesAtOnce is how many are worked on in all: those that are sealed wait
	// for the disk, and many small ones had better wait together.
	filesAtOnce = 8
)

// Add seals files into the spool, from where they are sent in the background.
// It returns when all are sealed, or with the first error; files that it did not
// seal are not part of the build then. That files can't be sent is no error
// here: [Build.Finish] says so.
func (b *Build) Add(ctx context.Context, files []File) error {
	b.meter.add(func(t *Totals) {
		t.Files += len(files)
		for _, f := range files {
			t.PlainBytes += f.Size
		}
	})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	sealing := make(chan struct{}, sealedAtOnce)
	for _, f := range files {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return b.addFile(ctx, f, sealing)
		})
	}
	return group.Wait()
}

func (b *Build) addFile(ctx context.Context, f File, sealing chan struct{}) error {
	known, err := b.claim(f.Path)
	if err != nil {
		return err
	}
	if known != nil {
		b.include(*known)
		b.scanAgain(ctx, f, known.PlainSize)
		b.meter.add(func(t *Totals) { t.SealedBytes += f.Size })
		return nil
	}
	sealing <- struct{}{}
	w, err := b.sealFile(ctx, f)
	<-sealing
	if err == nil {
		err = w.keep()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

// claim takes a path for a file of this build. It returns the artifact if an
// earlier publish of the build has sealed it.
func (b *Build) claim(path string) (*artifact, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.names.add(path, b.service.IsPublic(path)); err != nil {
		return nil, err
	}
	if a, ok := b.spooled[path]; ok {
		if a.Sealed == b.service.IsPublic(path) {
			return nil, fmt.Errorf("%s: lies in %s, sealed or public otherwise than the keyring wants it", path, b.folder.dir)
		}
		return &a, nil
	}
	if b.final != nil {
		return nil, fmt.Errorf("%s: build %s is signed without this file and waits in %s: send it with vitrine publish --resume", path, b.UUID(), b.folder.dir)
	}
	return nil, nil
}

// include makes an artifact that lies in the spool part of the build.
func (b *Build) include(a artifact) {
	b.mu.Lock()
	b.artifacts[a.Source] = a
	b.mu.Unlock()
	b.meter.add(func(t *Totals) {
		t.SealedFiles++
		t.SpoolBytes += a.Size
	})
	b.upload.later(a.Artifact)
}

// Create begins an artifact whose content comes as it is written, such as the
// output of a command. What was written is sent in parts as it comes, so that most
// of it is stored should nobody be left to close it. It is part of the build when
// Close has returned nil. If
// an earlier publish of this build has sealed it the error is [fs.ErrExist].
func (b *Build) Create(path string) (io.WriteCloser, error) {
	known, err := b.claim(path)
	if err != nil {
		return nil, err
	}
	if known != nil {
		return nil, fmt.Errorf("%s: sealed by an earlier run of build %s, which waits in %s: %w", path, b.UUID(), b.folder.dir, fs.ErrExist)
	}
	w, err := b.newArtifact(path, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b.mu.Lock()
	b.open++
	b.mu.Unlock()
	b.meter.add(func(t *Totals) { t.Files++ })
	c := &created{artifact: w}
	c.live = b.upload.newLive(w, c.flush)
	return c, nil
}

// An Outcome is how a build ended.
type Outcome struct {
	Result      vitrine.Result
	ErrorDetail string    // cut, and made one line, as a record wants it
	End         time.Time // zero: now
}

// Finish signs the build's record, sends all that is not sent, the record last,
// and removes the build from the spool. If it can't be sent the error is a
// [*KeptError]. Finish and then Close are the last calls to a Build.
func (b *Build) Finish(ctx context.Context, o Outcome) error {
	if b.final == nil {
		if err := b.signFinal(o); err != nil {
			return b.kept(err)
		}
	} else if b.final.record.Result != o.Result {
		return b.kept(fmt.Errorf("it is signed with result %s already, not %s", b.final.record.Result, o.Result))
	}
	if err := b.upload.finish(ctx, b.final); err != nil {
		return b.kept(err)
	}
	b.folder.remove()
	return nil
}

func (b *Build) kept(err error) error {
	return &KeptError{UUID: b.UUID(), Dir: b.folder.dir, Signed: b.final != nil, Err: err}
}

// signFinal puts the final record into the spool.
func (b *Build) signFinal(o Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open > 0 {
		return errors.New("an artifact is still being written")
	}
	if o.Result == "" {
		return errors.New("it has no result")
	}
	record := *b.started.record
	record.Result = o.Result
	record.ErrorDetail = oneLine(o.ErrorDetail)
	if o.End.IsZero() {
		o.End = time.Now()
	}
	record.EndTime = o.End.UTC().Truncate(time.Second)
	if record.EndTime.Before(record.StartTime) { // a clock was set back
		record.EndTime = record.StartTime
	}
	if err := b.sealContents(); err != nil {
		return err
	}
	if err := b.sealSummary(); err != nil {
		return err
	}
	for a := range maps.Values(b.artifacts) {
		record.Artifacts = append(record.Artifacts, a.Artifact)
	}
	slices.SortFunc(record.Artifacts, func(a, b vitrine.Artifact) int { return cmp.Compare(a.Path, b.Path) })
	final, err := sign(&record, b.signer)
	if err != nil {
		return err
	}
	if err := b.folder.writeSigned(finalFile, final); err != nil {
		return err
	}
	b.final = final
	return nil
}

// Close ends what goes on in the background and gives the build free for
// another process. Unless it is published it stays in the spool.
func (b *Build) Close() error {
	b.upload.close()
	return b.folder.close()
}

// oneLine makes a text fit for a record's error_detail: an error of whatever
// origin must not keep the record from being written.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
			return ' '
		}
		return c
	}, strings.TrimSpace(s))
	if len(s) > vitrine.MaxText {
		s = strings.ToValidUTF8(s[:vitrine.MaxText], "") // a rune may be cut
	}
	return s
}
