package publish

import (
	"bufio"
	"context"
	"errors"
	"io"

	"vitrine"
	"vitrine/summary"
)

// tell takes what a log told into the build's summary.
func (b *Build) tell(scan *summary.Scanner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.scanned++
	b.summary.Add(scan.Log())
}

// scanAgain reads a file that an earlier publish of the build has sealed, up to
// the size that it had then: what that publish knew of it is kept nowhere. A file
// that is gone, or shorter now, is not the one that was sealed: nothing is told of
// it.
func (b *Build) scanAgain(ctx context.Context, f File, size int64) {
	if !b.summarize || b.final != nil {
		return
	}
	src, now, err := f.open()
	if err != nil {
		return
	}
	defer src.Close()
	in := bufio.NewReaderSize(&source{ctx, io.LimitReader(src, size), &meter{}}, readSize)
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) || now < size || !vitrine.IsLog(mediaType(f.Path, head)) {
		return
	}
	scan := summary.NewScanner(f.Path, b.patterns)
	if n, err := io.Copy(scan, in); err == nil && n == size {
		b.tell(scan)
	}
}

// sealSummary adds the summary of the logs, if there are any. Like the contents it
// is sent with the final record and not before. A file of the runner that has its
// name is published in its place. b.mu is held.
func (b *Build) sealSummary() error {
	if b.scanned == 0 {
		return nil
	}
	if !b.named {
		if b.names.add(summary.Path, false) != nil {
			return nil
		}
		b.named = true
	}
	text, err := b.summary.Marshal()
	if err != nil {
		return err
	}
	var recap *vitrine.Recap
	if b.service.PublicRecap {
		recap = b.summary.Recap()
	}
	return b.sealOwn(summary.Path, text, vitrine.SummaryMetadata(recap))
}
