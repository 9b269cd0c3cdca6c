package publish

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine"
	"vitrine/storage"
)

const (
	uploadsAtOnce = 8 // artifacts that are sent side by side
	partsAtOnce   = 4 // parts of one artifact that are
)

// A KeptError says that a build is not published, and that it is kept in the
// spool, from where it can be sent later.
type KeptError struct {
	UUID   string
	Dir    string // its folder in the spool
	Signed bool   // all of it is sealed and signed: Resume can send it
	Err    error  // why
}

func (e *KeptError) Error() string {
	what := fmt.Sprintf("build %s is not published: %v", e.UUID, e.Err)
	switch {
	case errors.Is(e.Err, fs.ErrExist):
		return what + "\n  another build of that uuid, or other bytes of this one, are stored already: publish it under another uuid; what was to be sent is kept in " + e.Dir + "; vitrine publish --drop " + e.UUID + " removes it"
	case e.Signed:
		return what + "\n  it is kept, sealed and signed, in " + e.Dir + "; once that is mended, vitrine publish --resume sends it; vitrine publish --drop " + e.UUID + " gives it up"
	default:
		return what + "\n  what is sealed of it is kept in " + e.Dir + "; publishing its files again with --uuid " + e.UUID + " goes on with it"
	}
}

func (e *KeptError) Unwrap() error { return e.Err }

// An uploader sends a build from the spool, started.json first and the final
// record last. An object that is stored already is sent again after a restart:
// only the store knows whether it has the same bytes, and says so.
type uploader struct {
	writer  storage.Writer
	folder  *folder
	started *signedRecord
	meter   *meter
	every   time.Duration // see Options.SendEvery
	slots   chan struct{} // one for each upload underway

	// What Start begins and seal feeds goes on in the background.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	begun  chan struct{} // closed when started.json was sent, or could not be
	hush   func()        // ends the beats, and returns when there are none any more

	mu     sync.Mutex
	sent   map[string]bool  // by key
	live   map[string]*live // by key, artifacts that are sent while they grow
	err    error            // the first of the background; nothing is tried after it
	heard  time.Time        // when the store last took something
	lapses int              // see lapsed
}

// newUploader begins to send a build in the background. every may be zero.
func newUploader(ctx context.Context, w storage.Writer, f *folder, started *signedRecord, m *meter, every time.Duration) *uploader {
	u := &uploader{
		writer: w, folder: f, started: started, meter: m, every: cmp.Or(every, sendEvery),
		slots: make(chan struct{}, uploadsAtOnce),
		begun: make(chan struct{}), sent: make(map[string]bool), live: make(map[string]*live), heard: time.Now(),
	}
	u.ctx, u.cancel = context.WithCancel(ctx)
	beatCtx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { u.beats(beatCtx) })
	u.hush = func() {
		cancel()
		beating.Wait()
	}
	u.wg.Go(func() {
		defer close(u.begun)
		u.note(u.begin(u.ctx))
	})
	return u
}

// close ends all that goes on.
func (u *uploader) close() {
	u.cancel()
	u.hush()
	u.wg.Wait()
}

// note keeps the first error of the background.
func (u *uploader) note(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
	}
}

func (u *uploader) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// later sends an artifact in the background, unless sending has failed; then it
// is left to finish. Sealing never waits for sending.
func (u *uploader) later(a vitrine.Artifact) {
	u.wg.Go(func() {
		<-u.begun
		if u.failure() == nil {
			u.note(u.artifact(u.ctx, a))
		}
	})
}

// finish waits for the background and sends what it left. What failed before
// the call is tried once more; what failed during it has just been tried.
func (u *uploader) finish(ctx context.Context, final *signedRecord) error {
	before := u.failure()
	stop := context.AfterFunc(ctx, u.cancel)
	u.wg.Wait()
	stop()
	if err := u.failure(); err != nil && before == nil {
		return err
	}
	return u.rest(ctx, final)
}

// rest sends all that is not sent yet, in order.
func (u *uploader) rest(ctx context.Context, final *signedRecord) error {
	if err := u.begin(ctx); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploadsAtOnce)
	for _, a := range final.record.Artifacts {
		group.Go(func() error { return u.artifact(groupCtx, a) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	u.hush() // who is published begins no more
	return u.signed(ctx, vitrine.RecordKey(final.record.StartTime, final.record.UUID), final)
}

func (u *uploader) begin(ctx context.Context) error {
	return u.signed(ctx, u.startedKey(), u.started)
}

// signed sends a signature and then its record.
func (u *uploader) signed(ctx context.Context, key string, s *signedRecord) error {
	name := filepath.Join(u.folder.dir, startedFile)
	if !s.record.IsStarted() {
		name = filepath.Join(u.folder.dir, finalFile)
	}
	err := u.object(ctx, vitrine.SignatureKey(key), name+signatureSuffix, optionsOf(s.signature, "text/plain; charset=utf-8"), nil)
	if err != nil {
		return err
	}
	return u.object(ctx, key, name, optionsOf(s.text, "application/json"), nil)
}

func optionsOf(text []byte, mediaType string) storage.CreateOptions {
	return storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text), MediaType: mediaType}
}

func (u *uploader) artifact(ctx context.Context, a vitrine.Artifact) error {
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	opts := storage.CreateOptions{Size: a.Size}
	if n, err := hex.Decode(opts.SHA256[:], []byte(a.SHA256)); err != nil || n != len(opts.SHA256) {
		return fmt.Errorf("artifact %s: %q is not a SHA-256", a.Path, a.SHA256)
	}
	if !a.Sealed {
		opts.MediaType = a.MediaType // a viewer must not show ciphertext as text
	}
	if expires := u.started.record.Expires; !expires.IsZero() {
		opts.Expires = expires.Add(vitrine.ExpiryGrace)
	}
	file := filepath.Join(u.folder.dir, artifactFile(a.PlainPath()))
	return u.object(ctx, vitrine.ArtifactKey(u.started.record.UUID, a.Path), file, opts, u.meter)
}

var errNoParts = errors.New("no parts of it are stored")

// object sends a file of the spool, once. progress may be nil.
func (u *uploader) object(ctx context.Context, key, file string, opts storage.CreateOptions, progress *meter) error {
	u.mu.Lock()
	done := u.sent[key]
	u.mu.Unlock()
	if done {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	body := &body{file: f, meter: progress}
	err = errNoParts
	if l := u.takeLive(key); l != nil {
		if err = l.complete(ctx, f, opts); err != nil {
			slog.Debug("sent whole, not as the parts that are stored", "key", key, "error", err)
		}
	}
	if err != nil {
		err = u.writer.Create(ctx, key, body, opts)
	}
	if err != nil {
		body.count(-body.off)
		return err
	}
	body.count(opts.Size - body.off) // the store may have known it without reading
	if progress != nil {
		progress.add(func(t *Totals) { t.SentFiles++ })
	}
	u.hear()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent[key] = true
	return nil
}

// A body is a file on its way that tells a meter how far it is.
type body struct {
	file  *os.File
	off   int64
	meter *meter
}

func (b *body) count(n int64) {
	b.off += n
	if b.meter != nil && n != 0 {
		b.meter.add(func(t *Totals) { t.SentBytes += n })
	}
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.file.Read(p)
	b.count(int64(n))
	return n, err
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	off, err := b.file.Seek(offset, whence)
	if err == nil {
		b.count(off - b.off)
	}
	return off, err
}

// ReadAt counts nothing: who reads at random seeks to where it has got.
func (b *body) ReadAt(p []byte, off int64) (int, error) { return b.file.ReadAt(p, off) }

var _ io.ReadSeeker = (*body)(nil)
