package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"vitrine"
	"vitrine/storage"
)

// ErrUnfinished says that a build in the spool was begun and not finished: its
// publisher was stopped before all files were sealed.
var ErrUnfinished = errors.New("it was not finished")

// Resume sends a build of [Waiting] that is sealed and signed, and removes it
// from the spool. open returns the writer for it; its record says for which
// tenant. The record is that of the published build.
//
// A build of which only a part is sealed is [ErrUnfinished]; one that another
// process works on is [ErrBusy]; one that can't be sent is a [*KeptError].
func Resume(ctx context.Context, spool, uuid string, open func(*vitrine.Record) (storage.Writer, error), progress func(Totals)) (*vitrine.Record, error) {
	started, err := readSigned(spool, uuid, startedFile)
	if err != nil {
		return nil, err
	}
	f, err := openFolder(spool, uuid, false)
	if err != nil {
		return nil, err
	}
	defer f.close()
	final, err := readSigned(spool, uuid, finalFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("build %s of job %s, begun %s: %w\n  publish its files again with --uuid %s --job %s, or give it up with vitrine publish --drop %s",
			uuid, started.record.JobName, started.record.StartTime.Format(time.RFC3339), ErrUnfinished,
			uuid, started.record.JobName, uuid)
	}
	if err != nil {
		return nil, err
	}
	m := &meter{report: progress}
	for _, a := range final.record.Artifacts {
		if !f.hasFile(a) {
			return nil, fmt.Errorf("spool: %s: %s is not there whole, and can't be sent", filepath.Join(f.dir, artifactFile(a.PlainPath())), a.Path)
		}
		m.add(func(t *Totals) {
			t.Files++
			t.SealedFiles++
			t.PlainBytes += a.PlainSize
			t.SealedBytes += a.PlainSize
			t.SpoolBytes += a.Size
		})
	}
	w, err := open(final.record)
	if err != nil {
		return nil, err
	}
	u := newUploader(ctx, w, f, started, m, 0)
	defer u.close()
	if err := u.finish(ctx, final); err != nil {
		return nil, &KeptError{UUID: uuid, Dir: f.dir, Signed: true, Err: err}
	}
	f.remove()
	return final.record, nil
}

// Drop removes a build of [Waiting] from the spool: what was not sent of it is
// lost. One that another process works on is [ErrBusy], one that is not there
// [fs.ErrNotExist].
func Drop(spool, uuid string) error {
	if !vitrine.ValidUUID(uuid) {
		return fmt.Errorf("uuid %q: want 32 lower-case hex digits", uuid)
	}
	f, err := openFolder(spool, uuid, false)
	if err != nil {
		return err
	}
	f.remove()
	return nil
}
