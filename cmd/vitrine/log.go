package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"filippo.io/age"

	"vitrine"
	"vitrine/client"
	"vitrine/crypto"
	"vitrine/lines"
	"vitrine/remote"
)

// A remoteLog is an artifact of a build that is read by parts.
type remoteLog struct {
	*lines.Log
	stored *remote.File
	sealed *crypto.ReaderAt // nil if it is public
	name   string           // as people know it
	record *vitrine.Record
	path   string
}

// Close ends reading; VITRINE_DEBUG shows what it took.
func (l *remoteLog) Close() error {
	err := l.stored.Close()
	requests, bytes := l.stored.Fetched()
	slog.Debug("read by ranges", "requests", requests, "bytes", bytes, "of", l.stored.Size())
	return err
}

// openLog opens an artifact to be read by parts: its plaintext, if it is sealed.
// What is read is not held against the hash in the record, which is of the whole;
// of a file that lies whole in the cache it is, and of a public one that is short or
// read from beginning to end. But the header of a sealed one is held against the
// record, if that names it: under its key only the publisher and the readers of
// the file can have sealed what is read.
func openLog(ctx context.Context, c *client.Client, record *vitrine.Record, a vitrine.Artifact, ids []age.Identity, cache *remote.Cache) (*remoteLog, error) {
	object := c.Object(vitrine.ArtifactKey(record.UUID, a.Path), a.Size)
	stored := remote.Open(ctx, object, a.Size, remote.Options{
		Head: headerSize(record), Tail: crypto.TailSize(a.PlainSize), Cache: cache, Name: a.SHA256, From: object.URL(),
	})
	l := &remoteLog{stored: stored, name: a.Name, record: record, path: a.Path}
	if !a.Sealed {
		src, err := openPublic(stored, a)
		if err != nil {
			err = l.explain(err)
			stored.Close()
			return nil, err
		}
		l.Log = lines.New(src)
		return l, nil
	}
	opened, err := crypto.OpenAt(stored, a.Size, ids...)
	switch {
	case isNoMatch(err):
		err = errNoneOpens(record, a, err)
	case err != nil:
		err = l.explain(err)
	case opened.Size() != a.PlainSize:
		err = fmt.Errorf("%w: %s opens to %d bytes, its record says %d", errUnverified, a.Path, opened.Size(), a.PlainSize)
	default:
		if err = checkHeader(a, opened); err == nil {
			err = checkLines(a, opened)
		}
	}
	if errors.Is(err, errUnverified) {
		stored.Forget()
	}
	if err != nil {
		stored.Close()
		return nil, err
	}
	l.sealed, l.Log = opened, lines.New(opened)
	return l, nil
}

// checkHeader checks that a file is the one that the record names, as far as its
// header tells. Records of earlier versions don't say.
func checkHeader(a vitrine.Artifact, opened *crypto.ReaderAt) error {
	if want, ok := a.Metadata[vitrine.HeaderSHA256]; ok && opened.HeaderSHA256() != want {
		return fmt.Errorf("%w: %s is not the file that the record names: its header is another", errUnverified, a.Path)
	}
	return nil
}

// checkLines checks that a file's table of lines has as many as the record names.
// That names none of what is no text, and of what has a hidden name.
func checkLines(a vitrine.Artifact, opened *crypto.ReaderAt) error {
	feeds, ok := opened.Lines()
	if !ok || a.Lines == 0 || a.Lines == feeds || a.Lines == feeds+1 { // the last line may have no line feed
		return nil
	}
	return fmt.Errorf("%w: the table of lines in %s has %d line feeds, its record says %d lines", errUnverified, a.Path, feeds, a.Lines)
}

// explain makes of what reading failed with an error that says of what.
func (l *remoteLog) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errMissing(l.record, l.path)
	}
	if errors.Is(err, crypto.ErrCorrupt) {
		l.stored.Forget()
	}
	return errReading(l.record, l.path, err)
}

// errReading says of which artifact an error of reading it is, and what tells more
// of one that is not what it should be.
func errReading(record *vitrine.Record, path string, err error) error {
	if !strings.Contains(err.Error(), vitrine.ArtifactKey(record.UUID, path)) { // as those of the client
		err = fmt.Errorf("open %s: %w", path, err)
	}
	if errors.Is(err, crypto.ErrSearchIndex) { // of which verify knows nothing
		return fmt.Errorf("%w\n  --no-index searches without it", err)
	}
	if isUnverified(err) {
		err = fmt.Errorf("%w\n  vitrine verify %s tells more", err, record.UUID)
	}
	return err
}

// watch shows on a terminal how much of the log was fetched, until stop is called.
func (l *remoteLog) watch(what string) (stop func()) {
	bar := newBar(what, 1, l.stored.Size())
	if bar == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for shown := 0; ; {
			select {
			case <-done:
				return
			case <-tick.C:
				_, fetched := l.stored.Fetched()
				bar.add(int(fetched) - shown)
				shown = int(fetched)
			}
		}
	}()
	return func() { close(done); bar.end() }
}

// A noneOpensError says that none of the reader's identities opens something. What
// age says of it, which names neither, is left out.
type noneOpensError struct {
	name, readers string // readers may be unknown
	err           error
}

func (e *noneOpensError) Error() string {
	text := e.name + ": none of your identities opens it"
	if e.readers != "" {
		text += "; it is sealed to " + e.readers
	}
	return text
}

func (e *noneOpensError) Unwrap() error { return e.err }

// errNoneOpens is the error for an artifact. The summary is no file that anybody
// knows of, so that is the build's.
func errNoneOpens(record *vitrine.Record, a vitrine.Artifact, err error) error {
	name := a.Name
	if a.IsSummary() {
		name = "build " + record.UUID
	}
	return &noneOpensError{name, readerList(record), err}
}

// isNoMatch reports whether an error says that something is sealed to others.
func isNoMatch(err error) bool {
	var noMatch *age.NoIdentityMatchError
	return errors.As(err, &noMatch)
}

func headerSize(record *vitrine.Record) int64 {
	var keys []string
	for _, r := range record.Readers {
		keys = append(keys, r.Fingerprints...)
	}
	return crypto.HeaderSize(keys)
}

var _ io.Closer = (*remoteLog)(nil)
