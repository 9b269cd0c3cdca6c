package crypto

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sort"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

// The payload of an age file (C2SP age.md): a nonce, then chunks of 64 KiB of
// plaintext and a tag each. Only the last one may be shorter.
const (
	nonceSize  = 16
	chunkSize  = 64 << 10
	sealedSize = chunkSize + chacha20poly1305.Overhead
)

// A source reads a sealed file and remembers what age will not tell: the last
// bytes read, and errors of the reading itself.
type source struct {
	r      io.Reader
	err    error // of r, but for io.EOF
	n      int64 // bytes read since the header
	recent [2 * sealedSize]byte
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	for rest := p[:n]; len(rest) > 0; {
		c := copy(s.recent[s.n%int64(len(s.recent)):], rest)
		s.n += int64(c)
		rest = rest[c:]
	}
	return n, err
}

// unread gives back what in holds of s, and starts to count from there.
func (s *source) unread(in *bufio.Reader) {
	held, _ := in.Peek(in.Buffered())
	s.r = io.MultiReader(bytes.NewReader(bytes.Clone(held)), s.r)
	s.n = 0
}

// since returns the bytes from offset off, which must be a recent one, to the
// last one read.
func (s *source) since(off int64) []byte {
	b := make([]byte, s.n-off)
	n := copy(b, s.recent[off%int64(len(s.recent)):])
	copy(b[n:], s.recent[:])
	return b
}

// A payload is the decrypted payload of an age file. age does the decrypting;
// payload says what is wrong when age can't.
type payload struct {
	src  *source
	age  io.Reader
	key  []byte  // of the chunks
	n    int64   // plaintext bytes read
	head [4]byte // the first of them
	err  error   // the first one
}

func newPayload(s *source, header, fileKey []byte) (*payload, error) {
	r, err := age.Decrypt(io.MultiReader(bytes.NewReader(header), s), age.NewInjectedFileKeyIdentity(fileKey))
	switch {
	case s.err != nil:
		return nil, &sourceError{s.err}
	case s.n < nonceSize:
		return nil, fmt.Errorf("%w: the file ends after its header", ErrTruncated)
	case err != nil:
		return nil, err
	}
	key, err := payloadKey(fileKey, s.recent[:nonceSize])
	return &payload{src: s, age: r, key: key}, err
}

// payloadKey is the key of the chunks.
func payloadKey(fileKey, nonce []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, fileKey, nonce, "payload", chacha20poly1305.KeySize)
}

func (p *payload) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.age.Read(b)
	if p.n < int64(len(p.head)) {
		copy(p.head[p.n:], b[:n])
	}
	p.n += int64(n)
	if err != nil && err != io.EOF {
		err = p.explain()
	}
	p.err = err
	return n, err
}

// explain says what must have happened to a file of which a chunk can't be
// decrypted. The chunks before it are authentic, and full, or age would have
// ended there.
//
// age can't tell a chunk that was cut off from one that was altered or has got
// bytes behind it. The length helps: what Seal makes has a Padmé size, so
// another length is not that of the file, and the few lengths that it can have
// had can be tried.
func (p *payload) explain() error {
	if p.src.err != nil {
		return &sourceError{p.src.err}
	}
	isLast := func(index int64, sealed []byte) bool { return p.authentic(sealed, index, true) }
	index := p.n / chunkSize
	start := nonceSize + index*sealedSize
	if index > 0 && isLast(index-1, p.src.since(start - sealedSize)[:sealedSize]) {
		return fmt.Errorf("%w: data follows the end, which is after %d bytes of payload", ErrExtended, start)
	}
	chunk := p.src.since(start)
	shortest := chacha20poly1305.Overhead
	if index > 0 {
		shortest++ // only a file without plaintext may have an empty chunk
	}
	if len(chunk) < shortest {
		return fmt.Errorf("%w: the file ends after %d bytes of payload", ErrTruncated, start+int64(len(chunk)))
	}
	padded := p.looksPadded(chunk)
	for n := shortest; n < len(chunk); n++ {
		if padded && !isPadme(p.n+int64(n-chacha20poly1305.Overhead)) {
			continue
		}
		if isLast(index, chunk[:n]) {
			return fmt.Errorf("%w: data follows the end, which is after %d bytes of payload", ErrExtended, start+int64(n))
		}
	}
	follows, _ := p.src.Read(make([]byte, 1))
	switch {
	case follows > 0, padded && isPadme(p.n+int64(len(chunk)-chacha20poly1305.Overhead)):
		return fmt.Errorf("%w: chunk %d of the payload", ErrAltered, index)
	case padded:
		return fmt.Errorf("%w: the file ends after %d bytes of payload", ErrTruncated, start+int64(len(chunk)))
	}
	return fmt.Errorf("%w: chunk %d of the payload, the last one, is altered or truncated", ErrCorrupt, index)
}

// explainEnd says what must have happened to a file whose last chunk can't be
// decrypted. Chunks that are as they were lie before all that are not, so a few
// of them tell where the damage begins.
func explainEnd(in *sealedSpans, header, fileKey []byte) error {
	start := int64(len(header))
	s := &source{r: io.NewSectionReader(in, start, in.size-start)}
	p, err := newPayload(s, header, fileKey)
	if err != nil {
		return err
	}
	if _, err := p.Read(p.head[:]); err != nil {
		return err // if it is io.EOF, the file has changed meanwhile
	}
	chunk := make([]byte, sealedSize)
	at := func(index int) int64 { return nonceSize + int64(index)*sealedSize }
	chunks := int((in.size - start - nonceSize + sealedSize - 1) / sealedSize)
	first := sort.Search(chunks, func(i int) bool {
		if at(i+1) > in.size-start {
			return true
		}
		if _, e := in.ReadAt(chunk, start+at(i)); e != nil {
			err = e
			return true
		}
		return !p.authentic(chunk, int64(i), false)
	})
	if err != nil {
		return err
	}
	if n, err := in.ReadAt(chunk, start+at(first)); err == nil && p.authentic(chunk[:n], int64(first), true) {
		first++ // a full chunk that was the last
	}
	// As if all up to there had been read in order.
	s.n = at(max(first-1, 0))
	s.r = io.NewSectionReader(in, start+s.n, in.size-start-s.n)
	if _, err := io.CopyN(io.Discard, s, at(first+1)-s.n); err != nil && err != io.EOF {
		return err
	}
	p.n = int64(first) * chunkSize
	return p.explain()
}

// looksPadded reports whether the plaintext is what Seal pads. If not even its
// first chunk is authentic, that chunk's first bytes are good enough for a guess.
func (p *payload) looksPadded(chunk []byte) bool {
	if p.n > 0 {
		return looksZstd(p.head[:])
	}
	head := chunk[:min(4, len(chunk))]
	return looksZstd(p.guess(head, false)) || looksZstd(p.guess(head, true))
}

// authentic reports whether bytes are the chunk of that index, as sealed.
func (p *payload) authentic(sealed []byte, index int64, last bool) bool {
	aead, err := chacha20poly1305.New(p.key)
	if err != nil {
		return false
	}
	_, err = aead.Open(make([]byte, 0, len(sealed)), chunkNonce(index, last), sealed, nil)
	return err == nil
}

// guess decrypts the first bytes of the first chunk, authentic or not.
func (p *payload) guess(head []byte, last bool) []byte {
	c, err := chacha20.NewUnauthenticatedCipher(p.key, chunkNonce(0, last))
	if err != nil {
		return nil
	}
	c.SetCounter(1) // block 0 is the authenticator's key
	plain := make([]byte, len(head))
	c.XORKeyStream(plain, head)
	return plain
}

func chunkNonce(index int64, last bool) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSize)
	binary.BigEndian.PutUint64(nonce[3:], uint64(index))
	if last {
		nonce[len(nonce)-1] = 1
	}
	return nonce
}
