package publish

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"vitrine"
	"vitrine/crypto"
)

const (
	headSize = 512      // bytes of a file that are looked at to tell what it is
	readSize = 64 << 10 // bytes that are read of it at a time
)

// A sealer takes plaintext and counts it. crypto.Writer is one.
type sealer interface {
	io.WriteCloser
	Size() int64
	Lines() int64
}

// An artifactWriter writes one artifact into the spool.
type artifactWriter struct {
	sealer
	build  *Build
	temp   *os.File
	stored atomic.Int64 // bytes in temp
	buffer *bufio.Writer
	hash   hash.Hash
	record artifact
	scan   *scan // of a text that a summary is made of; else nil
}

// Write takes plaintext.
func (w *artifactWriter) Write(p []byte) (int, error) {
	n, err := w.sealer.Write(p)
	if w.scan != nil {
		w.scan.Write(p[:n])
	}
	return n, err
}

// fileWriter writes what is stored, and counts it when it can be read.
type fileWriter struct{ *artifactWriter }

func (f fileWriter) Write(p []byte) (int, error) {
	n, err := f.temp.Write(p)
	f.hash.Write(p[:n])
	f.stored.Add(int64(n))
	return n, err
}

// An artifact is an entry of the record with the path of the file that it was
// made from, which the record may not tell.
type artifact struct {
	vitrine.Artifact
	Source string
}

// newArtifact begins the artifact at a path, whose content starts with head: a
// public one is kept as it is, any other is sealed.
func (b *Build) newArtifact(path string, head []byte) (*artifactWriter, error) {
	w, err := b.beginArtifact(path, head, !b.service.IsPublic(path), b.service.ShowsName(path))
	if err == nil && b.summarize && vitrine.IsLog(mediaType(path, head)) {
		w.scan = newScan(path, b.patterns)
	}
	return w, err
}

func (b *Build) beginArtifact(path string, head []byte, sealed, named bool) (*artifactWriter, error) {
	temp, err := b.folder.create()
	if err != nil {
		return nil, err
	}
	w := &artifactWriter{build: b, temp: temp, hash: sha256.New(), record: artifact{Source: path}}
	w.record.Name, w.record.Path, w.record.MediaType = path, path, mediaType(path, head)
	searchable := b.searchable && vitrine.IsText(w.record.MediaType)
	w.buffer = bufio.NewWriterSize(fileWriter{w}, 64<<10)
	// A raw NAME.zst would be stored as NAME.zst.age, which says zstd inside age.
	raw := !crypto.Compressible(head) && !strings.HasSuffix(path, strings.TrimSuffix(vitrine.SealedSuffix, vitrine.SealedRawSuffix))
	if w.record.Sealed = sealed; sealed && !named {
		w.record.Name = vitrine.HiddenPrefix + randomID()[:16]
		w.record.Path, w.record.MediaType = w.record.Name, "application/octet-stream"
	}
	switch {
	case !w.record.Sealed:
		w.sealer = &plainWriter{dst: w.buffer}
	case raw:
		w.record.Path += vitrine.SealedRawSuffix
		w.sealer, err = crypto.SealRaw(w.buffer, b.recipients...)
	case searchable:
		w.record.Path += vitrine.SealedSuffix
		w.sealer, err = crypto.SealSearchable(w.buffer, b.recipients...)
	default:
		w.record.Path += vitrine.SealedSuffix
		w.sealer, err = crypto.Seal(w.buffer, b.recipients...)
	}
	if err != nil {
		w.discard()
		return nil, err
	}
	if s, ok := w.sealer.(*crypto.Writer); ok {
		w.record.Metadata = map[string]string{vitrine.HeaderSHA256: s.HeaderSHA256()}
	}
	return w, nil
}

// discard gives the artifact up.
func (w *artifactWriter) discard() {
	if w.scan != nil {
		w.scan.end()
	}
	w.temp.Close()
	os.Remove(w.temp.Name())
}

// end completes the stored file, which has no name yet.
func (w *artifactWriter) end() error {
	err := w.sealer.Close()
	if err == nil {
		err = w.buffer.Flush()
	}
	if err != nil {
		w.discard()
		return err
	}
	if w.scan != nil {
		w.scan.end()
	}
	w.record.Size = w.stored.Load()
	w.record.SHA256 = hex.EncodeToString(w.hash.Sum(nil))
	w.record.PlainSize = w.sealer.Size()
	if vitrine.IsText(w.record.MediaType) {
		w.record.Lines = w.sealer.Lines()
	}
	return nil
}

// keep makes a file that is complete durable, and part of the build.
func (w *artifactWriter) keep() error {
	if err := w.build.folder.keepArtifact(w.temp, w.record); err != nil {
		return err
	}
	w.build.include(w.record)
	if w.scan != nil {
		w.build.tell(w.scan.scanner)
	}
	return nil
}

// sealFile seals a file of the runner into the spool, up to the size that it
// has now: a log that something still writes must come to an end. What it
// returns is to be kept.
func (b *Build) sealFile(ctx context.Context, f File) (*artifactWriter, error) {
	src, size, err := f.open()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if size != f.Size {
		b.meter.add(func(t *Totals) { t.PlainBytes += size - f.Size })
	}
	in := bufio.NewReaderSize(&source{ctx, io.LimitReader(src, size), b.meter}, readSize)
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	w, err := b.newArtifact(f.Path, head)
	if err != nil {
		return nil, err
	}
	plain := io.Reader(in)
	if w.scan != nil {
		plain = io.TeeReader(in, w.scan)
	}
	if _, err := io.Copy(w.sealer, plain); err != nil {
		w.discard()
		return nil, err
	}
	if err := w.end(); err != nil {
		return nil, err
	}
	return w, nil
}

// A source is a file being read, until ctx ends.
type source struct {
	ctx   context.Context
	src   io.Reader
	meter *meter
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.src.Read(p)
	s.meter.add(func(t *Totals) { t.SealedBytes += int64(n) })
	return n, err
}

// created is what [Build.Create] returns.
type created struct {
	artifact *artifactWriter
	live     *live

	mu     sync.Mutex // held to write
	err    error
	closed bool
}

// flush has the file hold all that was written, in a form that can be read
// without what follows, and returns its size.
func (c *created) flush() (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.artifact.sealer.Size() == 0 {
		return 0, c.err
	}
	err := c.err
	if f, ok := c.artifact.sealer.(interface{ Flush() error }); ok && err == nil {
		err = f.Flush()
	}
	if err == nil {
		err = c.artifact.buffer.Flush()
	}
	return c.artifact.stored.Load(), err
}

func (c *created) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, os.ErrClosed
	}
	n, err := c.artifact.Write(p)
	c.artifact.build.meter.add(func(t *Totals) {
		t.PlainBytes += int64(n)
		t.SealedBytes += int64(n)
	})
	if err != nil {
		c.err = fmt.Errorf("%s: %w", c.artifact.record.Path, err)
	}
	c.live.grown()
	return n, c.err
}

// Close makes the artifact part of the build. After an error of Write it gives
// it up: what was written is not whole.
func (c *created) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return os.ErrClosed
	}
	c.closed = true
	c.mu.Unlock()
	c.live.stop()
	if c.err == nil {
		if c.err = c.artifact.end(); c.err == nil {
			c.err = c.artifact.keep()
		}
	} else {
		c.artifact.discard()
	}
	b := c.artifact.build
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	return c.err
}

// A plainWriter passes a public file on as it is, and counts.
type plainWriter struct {
	dst         io.Writer
	size, lines int64
	last        byte
}

func (w *plainWriter) Write(p []byte) (int, error) {
	n, err := w.dst.Write(p)
	if n > 0 {
		w.size += int64(n)
		w.lines += int64(bytes.Count(p[:n], []byte{'\n'}))
		w.last = p[n-1]
	}
	return n, err
}

func (w *plainWriter) Size() int64 { return w.size }

func (w *plainWriter) Lines() int64 {
	if w.size > 0 && w.last != '\n' {
		return w.lines + 1
	}
	return w.lines
}

func (w *plainWriter) Close() error { return nil }
