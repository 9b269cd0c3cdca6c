package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"vitrine"
)

// A bodyReader gives out a body and says, at its end, whether it was the one
// that opts describe. It never reads more than one byte beyond opts.Size.
type bodyReader struct {
	ctx  context.Context
	src  io.Reader
	opts CreateOptions
	read int64
	hash hash.Hash
}

func newBodyReader(ctx context.Context, src io.Reader, opts CreateOptions) *bodyReader {
	return &bodyReader{ctx: ctx, src: src, opts: opts, hash: sha256.New()}
}

// Read ends in io.EOF only if the body was whole and the right one.
func (r *bodyReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if left := r.opts.Size + 1 - r.read; int64(len(p)) > left {
		p = p[:left]
	}
	n, err := r.src.Read(p)
	r.read += int64(n)
	r.hash.Write(p[:n])
	switch {
	case r.read > r.opts.Size:
		return 0, fmt.Errorf("%w: more than %d bytes", ErrIntegrity, r.opts.Size)
	case err == io.EOF && r.read < r.opts.Size:
		return n, fmt.Errorf("%w: %d bytes, want %d", ErrIntegrity, r.read, r.opts.Size)
	case err == io.EOF && !bytes.Equal(r.hash.Sum(nil), r.opts.SHA256[:]):
		return n, fmt.Errorf("%w: SHA-256 is %x, want %x", ErrIntegrity, r.hash.Sum(nil), r.opts.SHA256)
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("read body: %w", err)
	}
	return n, err
}

// readWhole fills b with all of a bodyReader.
func readWhole(body io.Reader, b []byte) error {
	if _, err := io.ReadFull(body, b); err != nil {
		return err
	}
	if _, err := io.ReadFull(body, make([]byte, 1)); err != io.EOF {
		return err
	}
	return nil
}

// A stream is an open object. Its reads end with the context.
type stream struct {
	ctx context.Context
	io.Reader
	io.Closer
}

func (s stream) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}

// checkRange refuses an offset that no byte of an object of size bytes has; the
// end itself is one, where the stream is empty.
func checkRange(key string, off, size int64) error {
	if off < 0 || off > size {
		return fmt.Errorf("object %s: offset %d is not in its %d bytes", key, off, size)
	}
	return nil
}

// checkSize refuses a declared size that no object may have.
func checkSize(opts CreateOptions) error {
	if opts.Size < 0 || opts.Size > vitrine.MaxArtifactSize {
		return fmt.Errorf("a size of %d bytes: want 0 to %d", opts.Size, int64(vitrine.MaxArtifactSize))
	}
	return nil
}
