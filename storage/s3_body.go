package storage

import (
	"context"
	"errors"
	"io"
)

// A bodyError is a failure of a body that is sent, as opposed to the store's.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// A sentBody gives out a body on its way to a store, but its last byte only once
// the body has turned out to be the one that opts describe: a store that was
// promised opts.Size bytes drops a request that has fewer.
type sentBody struct {
	ctx  context.Context
	src  io.Reader
	opts CreateOptions
	body *bodyReader
	sent int64
}

// newSentBody returns a body that is an io.Seeker, and so may be sent again, only
// if src is one.
func newSentBody(ctx context.Context, src io.Reader, opts CreateOptions) (body io.Reader, again bool) {
	b := &sentBody{ctx: ctx, src: src, opts: opts, body: newBodyReader(ctx, src, opts)}
	if seeker, ok := src.(io.Seeker); ok {
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil { // not a pipe
			return &seekableBody{b, seeker, start}, true
		}
	}
	return b, false
}

// Read is [io.Reader]. All its errors but io.EOF are bodyErrors.
func (b *sentBody) Read(p []byte) (int, error) {
	left := b.opts.Size - b.sent
	if left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) < left {
		n, err := b.body.Read(p)
		b.sent += int64(n)
		if err != nil {
			return n, &bodyError{err}
		}
		return n, nil
	}
	n, err := io.ReadFull(b.body, p[:left])
	if err == nil {
		if _, err = io.ReadFull(b.body, make([]byte, 1)); err == io.EOF {
			b.sent += int64(n)
			return n, nil
		}
	}
	return 0, &bodyError{err}
}

type seekableBody struct {
	*sentBody
	src   io.Seeker
	start int64 // of the body in src
}

// Seek goes to the end, or back to the start: all that sending again needs, and
// asking for the length.
func (b *seekableBody) Seek(off int64, whence int) (int64, error) {
	switch {
	case off == 0 && whence == io.SeekCurrent:
		return b.sent, nil
	case off == 0 && whence == io.SeekEnd:
		b.sent = b.opts.Size
		return b.sent, nil
	case off == 0 && whence == io.SeekStart:
		if _, err := b.src.Seek(b.start, io.SeekStart); err != nil {
			return 0, &bodyError{err}
		}
		b.sent, b.body = 0, newBodyReader(b.ctx, b.sentBody.src, b.opts)
		return 0, nil
	}
	return 0, errors.ErrUnsupported
}
