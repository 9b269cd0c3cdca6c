package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
)

// A Writer seals what is written to it. A file is complete only when Close has
// returned nil; after an error, or without Close, what was written so far opens
// as [ErrTruncated], after what was in whole frames by then. There is nothing to release when a Writer is given up.
//
// A Writer is not safe for concurrent use. Several Writers share the
// compressors and their memory.
type Writer struct {
	frames sink
	age    io.WriteCloser
	header string // its SHA-256
	size   int64
	feeds  int64 // line feeds
	last   byte  // of the plaintext so far
	err    error // the first one, or errClosed
}

// A sink is the layer between a Writer and age. The plaintext is put into
// space, which is never empty, and then announced to filled.
type sink interface {
	space() []byte
	filled(n, lineFeeds int) error
	Close() error
}

var errClosed = errors.New("seal: writer is closed")

// Seal returns a Writer that compresses, pads and encrypts to the recipients.
// The header is written to dst before it returns. Of the plaintext, the length
// of the file tells its compressed size within 12 % and no more.
func Seal(dst io.Writer, recipients ...age.Recipient) (*Writer, error) {
	a, header, err := encrypt(dst, recipients)
	if err != nil {
		return nil, err
	}
	return &Writer{age: a, header: header, frames: &frameWriter{dst: a}}, nil
}

// SealSearchable is Seal with a search index in the file, which tells
// [ReaderAt.MayHold] where a text can't be. Making it takes about half
// as long again, up to 12 MiB of memory, and some percent of the file.
func SealSearchable(dst io.Writer, recipients ...age.Recipient) (*Writer, error) {
	a, header, err := encrypt(dst, recipients)
	if err != nil {
		return nil, err
	}
	return &Writer{age: a, header: header, frames: &frameWriter{dst: a, search: newSearchIndex()}}, nil
}

// SealRaw returns a Writer that encrypts and does not compress, for what
// [Compressible] says does not get smaller. The length of the file tells that
// of the plaintext. A plaintext that starts like a zstd stream is refused,
// since [Open] would decompress it.
func SealRaw(dst io.Writer, recipients ...age.Recipient) (*Writer, error) {
	a, header, err := encrypt(dst, recipients)
	if err != nil {
		return nil, err
	}
	return &Writer{age: a, header: header, frames: &rawWriter{dst: a}}, nil
}

// encrypt begins the age file: it writes the header and the nonce, and returns
// their hash.
func encrypt(dst io.Writer, recipients []age.Recipient) (_ io.WriteCloser, header string, err error) {
	if len(recipients) == 0 {
		return nil, "", errors.New("seal: no recipients")
	}
	if len(recipients) > MaxRecipients {
		return nil, "", fmt.Errorf("seal: %d recipients, more than %d", len(recipients), MaxRecipients)
	}
	h := &headerWriter{dst: dst, hash: sha256.New()}
	a, err := age.Encrypt(h, recipients...)
	if err != nil {
		return nil, "", fmt.Errorf("seal: %w", err)
	}
	header = hex.EncodeToString(h.hash.Sum(nil))
	h.hash = nil
	return a, header, nil
}

// A headerWriter hashes what passes while it has a hash.
type headerWriter struct {
	dst  io.Writer
	hash hash.Hash
}

func (w *headerWriter) Write(p []byte) (int, error) {
	if w.hash != nil {
		w.hash.Write(p)
	}
	return w.dst.Write(p)
}

// HeaderSHA256 is the lower-case hex SHA-256 of the age header and the nonce after
// it. They fix the key that the payload is under, so that who knows this hash, and
// opens a file by [OpenAt] that has it, reads what somebody sealed who had that
// key: the sealer or a reader.
func (w *Writer) HeaderSHA256() string { return w.header }

// Size is the number of plaintext bytes written so far.
func (w *Writer) Size() int64 { return w.size }

// Lines is the number of lines written so far, a last one without its line
// break included.
func (w *Writer) Lines() int64 {
	if w.size > 0 && w.last != '\n' {
		return w.feeds + 1
	}
	return w.feeds
}

// Write seals p. Bytes are held back until there is a frame of them.
func (w *Writer) Write(p []byte) (n int, err error) {
	for w.err == nil && n < len(p) {
		space := w.frames.space()
		c := copy(space, p[n:])
		w.filled(space[:c])
		n += c
	}
	return n, w.err
}

// ReadFrom seals all of r. An error of r fails the Writer for good: a source
// that broke off must not be sealed as if it were complete.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	for w.err == nil {
		space := w.frames.space()
		c, err := r.Read(space)
		n += int64(c)
		w.filled(space[:c])
		if err == io.EOF {
			break
		}
		if err != nil && w.err == nil {
			w.err = fmt.Errorf("seal: read plaintext: %w", err)
		}
	}
	return n, w.err
}

// filled counts and passes on p, which lies at the start of the space.
func (w *Writer) filled(p []byte) {
	if len(p) == 0 {
		return
	}
	w.size += int64(len(p))
	feeds := bytes.Count(p, []byte{'\n'})
	w.feeds += int64(feeds)
	w.last = p[len(p)-1]
	if err := w.frames.filled(len(p), feeds); err != nil {
		w.err = fmt.Errorf("seal: %w", err)
	}
}

// Flush makes all that was written so far readable from what has been written to
// dst, even if that is the end of it: [Open] gives it out before [ErrTruncated].
// It takes up to 64 KiB of the file each time, and compression suffers from
// flushing often. If nothing was written since the last Flush it does nothing.
//
// Only a Writer of [Seal] can be flushed. That Flush fails without dst having
// failed changes nothing about the Writer.
func (w *Writer) Flush() error {
	f, ok := w.frames.(*frameWriter)
	if !ok {
		return errors.New("seal: what is sealed without frames can't be flushed")
	}
	if w.err != nil {
		return w.err
	}
	if err := f.flush(); err != nil {
		err = fmt.Errorf("seal: %w", err)
		if f.err != nil {
			w.err = err
		}
		return err
	}
	return nil
}

// Close writes what was held back and makes the file complete, unless the
// Writer has failed; then it returns that error. It does not close dst.
func (w *Writer) Close() error {
	err := w.err
	if err == nil {
		w.err = errClosed
		if err = w.frames.Close(); err == nil {
			err = w.age.Close()
		}
		if err != nil {
			err = fmt.Errorf("seal: %w", err)
			w.err = err
		}
	}
	return err
}

// A rawWriter passes plaintext on to age as it is.
type rawWriter struct {
	dst     io.Writer
	buf     [32 << 10]byte
	held    int  // bytes of buf that wait for the others of a magic number
	started bool // something was passed on
}

func (w *rawWriter) space() []byte { return w.buf[w.held:] }

func (w *rawWriter) filled(n, _ int) error {
	w.held += n
	if !w.started && w.held < 4 {
		return nil
	}
	if !w.started && looksZstd(w.buf[:w.held]) {
		return errors.New("a zstd stream can't be sealed as it is, it must be sealed with zstd")
	}
	w.started = true
	return w.Close()
}

// Close passes on what is held.
func (w *rawWriter) Close() error {
	_, err := w.dst.Write(w.buf[:w.held])
	w.held = 0
	return err
}
