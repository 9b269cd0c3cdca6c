package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine"
	"vitrine/storage"
)

const (
	// sendEvery is the default of Options.SendEvery.
	sendEvery = 30 * time.Second
	// liveTimeout bounds one attempt to send what is new.
	liveTimeout = 10 * time.Minute
	// endWithin is how long parts that are on their way may take when the file is
	// whole. What they do not make in time is sent once more.
	endWithin = 3 * time.Second
)

// A live artifact is sent in parts while it is written, so that what is there of
// it is stored should the runner go away without a word. Whatever goes wrong with
// that is tried again at the next look, and disturbs neither who writes nor the
// artifact: once it is complete, the spool has it whole.
type live struct {
	upload   *uploader
	artifact *artifactWriter
	// flush has the file hold all that was written, and returns its size.
	flush  func() (int64, error)
	key    string
	cancel context.CancelFunc
	wake   chan struct{}
	end    context.CancelFunc
	ending <-chan struct{} // closed when nothing more is to be begun
	sends  sync.WaitGroup
	fullAt atomic.Int64 // the size of the file with which the next part is full

	// Of run alone, and then of complete.
	parts  []vitrine.Part // those that are full and stored
	off    int64          // where they end
	tail   int64          // bytes beyond them that are stored
	lapses int            // of the upload, when the first of them was sent
	err    error          // of the last attempt
}

// newLive begins to send an artifact that is being written.
func (u *uploader) newLive(w *artifactWriter, flush func() (int64, error)) *live {
	l := &live{
		upload: u, artifact: w, flush: flush, key: vitrine.ArtifactKey(u.started.record.UUID, w.record.Path),
		wake: make(chan struct{}, 1),
	}
	l.fullAt.Store(vitrine.GrowingPartSize(1))
	ctx, cancel := context.WithCancel(u.ctx)
	l.cancel = cancel
	ending, end := context.WithCancel(ctx)
	l.ending, l.end = ending.Done(), end
	u.mu.Lock()
	u.live[l.key] = l
	u.mu.Unlock()
	l.sends.Go(func() { l.run(ctx) })
	u.wg.Go(l.sends.Wait)
	return l
}

// grown is called when the file has grown.
func (l *live) grown() {
	if l.artifact.stored.Load() >= l.fullAt.Load() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// stop ends the sending, so that the file may be completed and closed.
func (l *live) stop() {
	l.end()
	late := time.AfterFunc(endWithin, l.cancel)
	l.sends.Wait()
	late.Stop()
	l.cancel()
}

func (l *live) run(ctx context.Context) {
	select {
	case <-l.upload.begun:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(l.upload.every)
	defer tick.Stop()
	for {
		ticked := false
		select {
		case <-ctx.Done():
			return
		case <-l.ending:
			return
		case <-tick.C:
			ticked = true
		case <-l.wake:
			if l.err != nil {
				continue // until the next tick
			}
		}
		attempt, cancel := context.WithTimeout(ctx, liveTimeout)
		l.err = l.send(attempt, ticked)
		cancel()
		if ctx.Err() != nil {
			l.err = nil // what is stored is good
		}
		if l.err != nil {
			slog.Debug("a growing artifact is not sent until the next look", "key", l.key, "error", l.err)
		}
	}
}

// send sends the parts that are full and, at a tick, what there is beyond them.
func (l *live) send(ctx context.Context, ticked bool) error {
	if err := l.upload.begin(ctx); err != nil {
		return err
	}
	if l.err != nil { // flushing takes space: not before the store answers again
		if err := l.upload.beat(ctx); err != nil {
			return err
		}
	}
	if n := l.upload.lapsed(); n != l.lapses {
		l.parts, l.off, l.tail, l.lapses = nil, 0, 0, n
		l.fullAt.Store(l.nextSize())
	}
	size := l.artifact.stored.Load()
	if ticked {
		var err error
		if size, err = l.flush(); err != nil {
			return err
		}
	}
	if err := l.full(ctx, l.artifact.temp, size, l.ending); err != nil {
		return err
	}
	if rest := size - l.off; ticked && rest > l.tail && len(l.parts) < vitrine.MaxParts {
		if _, err := l.put(ctx, len(l.parts)+1, io.NewSectionReader(l.artifact.temp, l.off, rest)); err != nil {
			return err
		}
		l.tail = rest
	}
	return nil
}

// full sends the parts that are full in a file of size bytes, several at once, and
// begins none when ending is closed.
func (l *live) full(ctx context.Context, file *os.File, size int64, ending <-chan struct{}) error {
	var sent [vitrine.MaxParts]vitrine.Part
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	off := l.off
	for i := len(l.parts); i < vitrine.MaxParts && size-off >= vitrine.GrowingPartSize(i+1) && !closed(ending) && ctx.Err() == nil; i++ {
		r := io.NewSectionReader(file, off, vitrine.GrowingPartSize(i+1))
		group.Go(func() (err error) {
			part, err := l.put(ctx, i+1, r)
			if err == nil {
				sent[i] = part
			}
			return err
		})
		off += r.Size()
	}
	err := group.Wait()
	for i := len(l.parts); i < vitrine.MaxParts && sent[i].Number > 0; i++ {
		l.parts, l.off, l.tail = append(l.parts, sent[i]), l.off+sent[i].Size, 0
	}
	l.fullAt.Store(l.off + l.nextSize())
	return err
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (l *live) nextSize() int64 { return vitrine.GrowingPartSize(len(l.parts) + 1) }

// put sends a part.
func (l *live) put(ctx context.Context, number int, r *io.SectionReader) (vitrine.Part, error) {
	part, err := vitrine.ReadPart(number, r)
	if err == nil && part.Size != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return part, fmt.Errorf("spool: %w", err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return part, err
	}
	if err := l.upload.writer.PutPart(ctx, l.key, part, r); err != nil {
		return part, err
	}
	l.upload.hear()
	if l.upload.lapsed() != l.lapses {
		return part, errForgotten
	}
	return part, nil
}

var errForgotten = errors.New("the store may have given the build up meanwhile: its parts are sent again")

// complete makes the stored object of the parts, the last of which it sends, once
// the file is whole. If it can't, the file is to be sent as any other.
func (l *live) complete(ctx context.Context, file *os.File, opts storage.CreateOptions) error {
	if l.err != nil {
		return l.err
	}
	if err := l.full(ctx, file, opts.Size, nil); err != nil {
		return err
	}
	if rest := opts.Size - l.off; rest > 0 {
		part, err := l.put(ctx, len(l.parts)+1, io.NewSectionReader(file, l.off, rest))
		if err != nil {
			return err
		}
		l.parts = append(l.parts, part)
	}
	return l.upload.writer.Complete(ctx, l.key, l.parts, opts)
}

// takeLive returns the live artifact of a key of which parts are stored, or nil;
// once, as the parts are good for one attempt.
func (u *uploader) takeLive(key string) *live {
	u.mu.Lock()
	l := u.live[key]
	delete(u.live, key)
	u.mu.Unlock()
	if l == nil || len(l.parts) == 0 && l.tail == 0 {
		return nil
	}
	return l
}
