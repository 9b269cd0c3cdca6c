package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// OpenAt opens what [Seal] or [SealRaw] made for reading anywhere. src has size
// bytes; of it are read the header, the end, and then what is asked for. It is
// safe for concurrent use if src is. Errors are those of [Open].
//
// age authenticates each 64 KiB of what is read, and that the file ends where
// src does. That the rest of it is what was sealed shows only when it is read, and
// that it is the file that was meant, and not another one sealed to the same
// readers, only by its [ReaderAt.HeaderSHA256].
//
// If src has a method Prefetch(off, n int64), it is told what a reader in order
// will need next.
func OpenAt(src io.ReaderAt, size int64, identities ...age.Identity) (*ReaderAt, error) {
	r, err := openAt(src, size, identities)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// A ReaderAt reads the plaintext of a sealed file anywhere.
type ReaderAt struct {
	stream  *stream
	header  string      // its SHA-256
	raw     bool        // sealed as it is: the frames are pieces of the stream
	frames  []dataFrame // those with plaintext
	size    int64       // of the plaintext
	feeds   []int64     // before each frame, and in all; nil without a line table
	search  Span        // of the stream, that is the search index; none: no bytes
	tables  int64       // bytes of the seek table and its header
	largest int64       // bytes that a frame that is not large takes, compressed and not
	cache   frameCache
	blocks  searchBlocks
}

// A dataFrame is where a frame lies in the stream, and its plaintext in all of it.
type dataFrame struct {
	at, off       int64
	packed, plain uint32
}

func openAt(src io.ReaderAt, size int64, identities []age.Identity) (*ReaderAt, error) {
	var read bytes.Buffer
	s := &source{r: io.TeeReader(io.NewSectionReader(src, 0, size), &read)}
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
	nonce := make([]byte, nonceSize)
	if _, err := io.ReadFull(s, nonce); s.err != nil {
		return nil, &sourceError{s.err}
	} else if err != nil {
		return nil, fmt.Errorf("%w: the file ends after its header", ErrTruncated)
	}
	start := int64(len(header)) + nonceSize
	in := &sealedSpans{src: src, size: size, held: []*sealedSpan{{0, read.Bytes()}}}
	plain, n, err := age.DecryptReaderAt(in, size, age.NewInjectedFileKeyIdentity(key))
	var failed *sourceError
	switch {
	case errors.As(err, &failed):
		return nil, failed
	case errors.Is(err, ErrCorrupt):
		return nil, err
	case err != nil:
		return nil, explainEnd(in, header, key)
	}
	sum := sha256.Sum256(append(header, nonce...))
	r := &ReaderAt{stream: &stream{src: in, age: plain, start: start, size: n}, header: hex.EncodeToString(sum[:])}
	return r, r.readTables(in, start-nonceSize, key)
}

// readTables finds out what the stream is and reads the tables at its end.
func (r *ReaderAt) readTables(in *sealedSpans, header int64, fileKey []byte) error {
	table, tableErr := r.readSeekTable()
	var failed *sourceError
	if errors.As(tableErr, &failed) {
		return tableErr
	}
	// A stream with a seek table has a zstd frame at its beginning. To look there
	// with authentication would be to read 64 KiB more; but who can write a seek
	// table that is authentic can write the beginning too.
	isZstd := false
	if tableErr == nil {
		head, err := r.guessHead(in, header, fileKey)
		if err != nil {
			return err
		}
		isZstd = looksZstd(head)
	}
	if !isZstd {
		head := make([]byte, min(4, r.stream.size))
		if err := r.stream.read(head, 0); err != nil {
			return err
		}
		if !looksZstd(head) {
			r.cutRaw()
			return nil
		}
	}
	if tableErr != nil {
		return tableErr
	}
	return r.takeTable(table)
}

// guessHead decrypts the first bytes of the stream without authentication.
func (r *ReaderAt) guessHead(in *sealedSpans, header int64, fileKey []byte) ([]byte, error) {
	b := make([]byte, nonceSize+min(4, r.stream.size))
	if _, err := in.ReadAt(b, header); err != nil {
		return nil, err
	}
	key, err := payloadKey(fileKey, b[:nonceSize])
	if err != nil {
		return nil, err
	}
	p := payload{key: key}
	return p.guess(b[nonceSize:], r.stream.size <= chunkSize), nil
}

// cutRaw makes frames of what was sealed without any.
func (r *ReaderAt) cutRaw() {
	r.raw, r.size, r.largest = true, r.stream.size, frameSize
	for off := int64(0); off < r.size; off += frameSize {
		n := uint32(min(frameSize, r.size-off))
		r.frames = append(r.frames, dataFrame{off, off, n, n})
	}
}

// readSeekTable reads the seek table at the end of the stream.
func (r *ReaderAt) readSeekTable() ([]seekEntry, error) {
	footer := make([]byte, seekFooterSize)
	end := r.stream.size
	if end < skippableHeader+seekFooterSize {
		return nil, foreign("the zstd stream has no seek table at its end")
	}
	if err := r.stream.read(footer, end-seekFooterSize); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(footer[5:]) != seekFooterMagic {
		return nil, foreign("the zstd stream has no seek table at its end")
	}
	n := int64(binary.LittleEndian.Uint32(footer))
	size := n*seekEntrySize + seekFooterSize
	if footer[4]&0x80 != 0 {
		size = n*seekEntryMax + seekFooterSize
	}
	if n > maxFrames || size+skippableHeader > end {
		return nil, fmt.Errorf("%w: the seek table claims %d frames", ErrAltered, n)
	}
	b := make([]byte, skippableHeader+size)
	if err := r.stream.read(b, end-int64(len(b))); err != nil {
		return nil, err
	}
	if !bytes.Equal(b[:skippableHeader], appendSkippableHeader(nil, seekTableMagic, uint32(size))) {
		return nil, fmt.Errorf("%w: the seek table does not begin where it should", ErrAltered)
	}
	entries, err := parseSeekTable(b[skippableHeader:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAltered, err)
	}
	r.tables = int64(len(b))
	at := r.tables
	for _, e := range entries {
		at += int64(e.compressed)
	}
	if at != end {
		return nil, fmt.Errorf("%w: the sizes in the seek table do not add up to that of the file", ErrAltered)
	}
	return entries, nil
}

// takeTable makes the list of frames from the seek table and the line table.
func (r *ReaderAt) takeTable(entries []seekEntry) error {
	lines, err := r.readLineTable(entries)
	if err != nil {
		return err
	}
	if lines != nil {
		r.feeds = make([]int64, 1, len(lines.feeds)+1)
	}
	var at int64
	for i, e := range entries {
		switch {
		case e.decompressed == 0:
			if lines != nil && lines.search > 0 && lines.search == i {
				r.search = Span{at, int64(e.compressed)}
			}
		case e.compressed > maxFrameSize, e.decompressed > maxFrameSize:
			return foreign("a zstd frame of %d bytes, more than %d", max(e.compressed, e.decompressed), maxFrameSize)
		default:
			if lines != nil {
				n := r.feeds[len(r.frames)]
				r.feeds = append(r.feeds, n+int64(lines.feeds[len(r.frames)]))
			}
			f := dataFrame{at, r.size, e.compressed, e.decompressed}
			r.frames = append(r.frames, f)
			r.size += int64(e.decompressed)
			if !f.large() {
				r.largest = max(r.largest, int64(e.compressed)+int64(e.decompressed))
			}
		}
		at += int64(e.compressed)
	}
	if r.size == 0 && len(entries) > 0 {
		return r.checkEmpty(entries[0].compressed)
	}
	return nil
}

// readLineTable reads the line table before the seek table; nil if there is none.
func (r *ReaderAt) readLineTable(entries []seekEntry) (*lineTable, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	last := entries[len(entries)-1]
	if last.decompressed > 0 || last.compressed < skippableHeader || int(last.compressed) > maxLineTable {
		return nil, nil
	}
	at := r.stream.size - r.tables - int64(last.compressed)
	// In a file of an earlier vitrine it is the padding that lies there.
	head := make([]byte, min(int(last.compressed), skippableHeader+len(lineTableTag)))
	if err := r.stream.read(head, at); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(head) != ownMagic {
		return nil, nil
	}
	b := make([]byte, last.compressed)
	if err := r.stream.read(b, at); err != nil {
		return nil, err
	}
	t, err := parseLineTable(b, entries)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAltered, err)
	}
	return t, nil
}

// checkEmpty makes sure that a stream without plaintext, which nothing else of is
// read, does not begin with a frame that has some.
func (r *ReaderAt) checkEmpty(packed uint32) error {
	b := make([]byte, min(packed, zstd.HeaderMaxSize))
	if err := r.stream.read(b, 0); err != nil {
		return err
	}
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return fmt.Errorf("%w: zstd frame at 0: %w", ErrAltered, err)
	}
	if !h.Skippable && (!h.HasFCS || h.FrameContentSize > 0) {
		return fmt.Errorf("%w: the seek table says that there is no plaintext", ErrAltered)
	}
	return nil
}

// HeaderSHA256 is [Writer.HeaderSHA256] of the file.
func (r *ReaderAt) HeaderSHA256() string { return r.header }

// Size is the length of the plaintext, in bytes.
func (r *ReaderAt) Size() int64 { return r.size }

// ReadAt is that of [io.ReaderAt]. It keeps a few frames that were read last.
func (r *ReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("open: read at %d", off)
	}
	for i := r.frameAt(off); n < len(p) && i < len(r.frames); i++ {
		c, err := r.readFrame(p[n:], i, off+int64(n)-r.frames[i].off)
		if err != nil {
			return n, err
		}
		n += c
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readFrame copies from the plaintext of a frame what there is from off on.
func (r *ReaderAt) readFrame(p []byte, i int, off int64) (int, error) {
	f := r.frames[i]
	if f.large() {
		return theLarge.read(p, r, i, off)
	}
	plain, err := r.cache.get(i, int64(f.plain), func() ([]byte, error) { return r.open(i) })
	if err != nil {
		return 0, err
	}
	return copy(p, plain[off:]), nil
}

// frameAt is the index of the frame that holds the byte at off, or how many
// frames there are.
func (r *ReaderAt) frameAt(off int64) int {
	return sort.Search(len(r.frames), func(i int) bool {
		f := r.frames[i]
		return f.off+int64(f.plain) > off
	})
}

// open reads and decompresses one frame.
func (r *ReaderAt) open(i int) ([]byte, error) {
	f := new(packedFrame)
	if err := r.load(f, i, r.stream.read); err != nil {
		return nil, err
	}
	r.decompress(f)
	return f.plain, f.err
}

// load reads the packed bytes of a frame by read, and checks that they are one
// frame of the size that the table says.
func (r *ReaderAt) load(f *packedFrame, i int, read func([]byte, int64) error) error {
	e := r.frames[i]
	f.size, f.feeds = int(e.plain), -1
	if r.feeds != nil {
		f.feeds = r.feeds[i+1] - r.feeds[i]
	}
	f.packed = slices.Grow(f.packed[:0], int(e.packed))[:e.packed]
	if err := read(f.packed, e.at); err != nil {
		return err
	}
	if r.raw {
		return nil
	}
	if err := checkFrame(f.packed, uint64(e.plain)); err != nil {
		return fmt.Errorf("%w: zstd frame at %d: %w", ErrAltered, e.at, err)
	}
	return nil
}

func (r *ReaderAt) unpack(f *packedFrame) {
	r.decompress(f)
	f.done <- struct{}{}
}

// decompress makes plaintext of a frame that was loaded. Lines are found by the table,
// so one that lies would give others than those that were asked for, without a word.
func (r *ReaderAt) decompress(f *packedFrame) {
	if r.raw {
		f.plain, f.packed = f.packed, f.plain
	} else if f.decompress(); f.err == nil && f.feeds >= 0 {
		if n := int64(bytes.Count(f.plain, []byte{'\n'})); n != f.feeds {
			f.err = fmt.Errorf("%w: %d line feeds in a frame, the line table says %d", ErrAltered, n, f.feeds)
		}
	}
}

// checkFrame reports what is wrong with b if it is not one frame, from its first
// byte to its last, that declares its size.
func checkFrame(b []byte, size uint64) error {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return err
	}
	switch {
	case h.Skippable:
		return errors.New("a skippable one where the seek table has one with plaintext")
	case !h.HasFCS || h.FrameContentSize != size:
		return fmt.Errorf("it does not declare the %d bytes of the seek table", size)
	case h.DictionaryID != 0:
		return fmt.Errorf("it needs dictionary %d", h.DictionaryID)
	}
	at := h.HeaderSize
	for last := false; !last; {
		if len(b)-at < 3 {
			return errors.New("it does not end where it should")
		}
		var n int
		n, last = zstdBlockSize(b[at:])
		at += 3 + n
	}
	if h.HasCheckSum {
		at += 4
	}
	if at != len(b) {
		return errors.New("it does not end where it should")
	}
	return nil
}
