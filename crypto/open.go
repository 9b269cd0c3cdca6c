package crypto

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
)

// maxHeader bounds the header of a file that is opened. 256 recipients of the
// largest kind, the post-quantum ones, take 400 kB.
const maxHeader = 1 << 20

// Open decrypts what [Seal] or [SealRaw] made; it tells them apart by the first
// bytes of the plaintext. The Reader must be read to [io.EOF]: only then is the
// file known to be whole. It implements [io.WriterTo], the fastest way.
//
// Of a file whose end is missing it gives out what the 64 KiB chunks of age that
// are there whole hold: of what Seal made, the whole frames in them.
//
// If no identity fits, the error is an [*age.NoIdentityMatchError]. Bytes that
// are not what was sealed are [ErrCorrupt], with [ErrTruncated], [ErrExtended]
// or [ErrAltered] where the bytes tell which; errors of src and of identities
// are returned as they are, wrapped.
//
// Plaintext can be thousands of times larger than src. It comes in pieces of
// bounded size; where a total was declared, the caller compares.
//
// Close waits for work underway. It does not close src.
func Open(src io.Reader, identities ...age.Identity) (*Reader, error) {
	s := &source{r: src}
	header, err := readHeader(s)
	if s.err != nil {
		return nil, &sourceError{s.err}
	}
	if err != nil {
		return nil, err
	}
	key, err := unwrap(header, identities)
	if err != nil {
		return nil, err
	}
	p, err := newPayload(s, header, key)
	if err != nil {
		return nil, err
	}
	plain := bufio.NewReaderSize(p, 64<<10)
	head, err := plain.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if looksZstd(head) {
		return &Reader{frames: &frameReader{src: plain}}, nil
	}
	return &Reader{raw: plain}, nil
}

// readHeader reads an age header, up to and with its last line, and leaves s at
// the first byte after it.
func readHeader(s *source) ([]byte, error) {
	const intro = "age-encryption.org/v1\n"
	in := bufio.NewReader(s)
	var header []byte
	for {
		line, err := in.ReadSlice('\n')
		header = append(header, line...)
		if len(header) > maxHeader {
			return nil, fmt.Errorf("%w: the header is larger than %d bytes", ErrForeign, maxHeader)
		}
		if n := min(len(header), len(intro)); string(header[:n]) != intro[:n] {
			return nil, fmt.Errorf("%w: not an age file, or its first line is damaged", ErrAltered)
		}
		switch {
		case err == io.EOF:
			return nil, fmt.Errorf("%w: the file ends within its header", ErrTruncated)
		case err == bufio.ErrBufferFull:
			return nil, fmt.Errorf("%w: a line of the header is too long", ErrAltered)
		case err != nil:
			return nil, err
		}
		if bytes.HasPrefix(line, []byte("---")) {
			s.unread(in)
			break
		}
	}
	if _, err := age.ExtractHeader(bytes.NewReader(header)); err != nil {
		return nil, fmt.Errorf("%w: malformed header: %w", ErrAltered, err)
	}
	return header, nil
}

// unwrap finds the file key with the first identity that can.
func unwrap(header []byte, identities []age.Identity) ([]byte, error) {
	if len(identities) == 0 {
		return nil, errors.New("no identities")
	}
	// Those that have to ask come last: another may do.
	identities = slices.Clone(identities)
	slices.SortStableFunc(identities, func(a, b age.Identity) int {
		return cmp.Compare(asks(a), asks(b))
	})
	key, err := age.DecryptHeader(header, identities...)
	var noMatch *age.NoIdentityMatchError
	var identity *IdentityError
	switch {
	case err == nil:
		return key, nil
	case errors.As(err, &noMatch), errors.As(err, &identity):
		return nil, err
	}
	return nil, fmt.Errorf("%w: header: %w", ErrAltered, err)
}

func asks(id age.Identity) int {
	if _, ok := id.(*asking); ok {
		return 1
	}
	return 0
}

// A Reader reads the plaintext of a sealed file. It is not safe for concurrent use.
type Reader struct {
	frames *frameReader  // or
	raw    *bufio.Reader // what was sealed as it is
	frame  *packedFrame  // whose plaintext is being read
	rest   []byte        // of it
	err    error
}

// Read reads plaintext that was authenticated.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.err == nil && r.raw != nil {
		n, err := r.raw.Read(p)
		r.err = err
		return n, err
	}
	if !r.more() {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo writes all plaintext to w. It returns nil only if the file was
// authenticated as a whole.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	if r.err == nil && r.raw != nil {
		n, err = r.raw.WriteTo(w)
		if err == nil {
			r.err = io.EOF
		}
		return n, err
	}
	for r.more() {
		c, err := w.Write(r.rest)
		n += int64(c)
		r.rest = r.rest[c:]
		if err != nil {
			return n, err
		}
	}
	if r.err == io.EOF {
		return n, nil
	}
	return n, r.err
}

// more makes sure that there is plaintext in rest, unless there is none or an error.
func (r *Reader) more() bool {
	for r.err == nil && len(r.rest) == 0 {
		if r.frame, r.err = r.frames.next(r.frame); r.err == nil {
			r.rest = r.frame.plain
		}
	}
	return r.err == nil
}

// Close releases what the Reader holds. Reading ends with an error after it.
func (r *Reader) Close() error {
	if r.frames != nil {
		r.frames.close()
	}
	r.frame, r.rest, r.err = nil, nil, errors.New("open: reader is closed")
	return nil
}
