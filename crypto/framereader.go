package crypto

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// decoder decompresses for all frameReaders, as encoder compresses.
var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(parallel()),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxFrameSize),
		zstd.WithDecoderMaxWindow(maxFrameSize),
		zstd.WithDecodeAllCapLimit(true), // a frame that lies about its size is an error
	)
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// maxInFlight is how many bytes, compressed and not, may be in flight when one
// more frame is read ahead. Frames of 1 MiB never reach it; it keeps frames of
// the largest size from filling the memory.
const maxInFlight = 16 << 20

// A packedFrame is a frame on its way from zstd to plaintext.
type packedFrame struct {
	packed []byte
	plain  []byte
	size   int   // declared length of plain
	feeds  int64 // line feeds that plain is to have; -1 if no table tells
	err    error
	off    int64         // of plain in all plaintext, where that is known
	large  bool          // not to be opened ahead: plain stays empty
	done   chan struct{} // receives when plain or err is there
}

func (f *packedFrame) unpack() {
	f.decompress()
	f.done <- struct{}{}
}

func (f *packedFrame) decompress() {
	// With this much to spare the decoder copies faster.
	const spare = 16
	if cap(f.plain) < f.size+spare {
		f.plain = make([]byte, 0, f.size+spare)
	}
	// The capacity is the limit, so it is cut to what was declared.
	f.plain, f.err = decoder().DecodeAll(f.packed, f.plain[:0:f.size+spare])
	if f.err == nil && len(f.plain) != f.size {
		f.err = fmt.Errorf("%d bytes where %d were declared", len(f.plain), f.size)
	}
	if f.err != nil {
		f.err = fmt.Errorf("%w: zstd frame: %w", ErrAltered, f.err)
	}
}

// A frameReader reads the zstd stream that a frameWriter writes. All reading
// from src is done by the caller's goroutine; the others only decompress one
// frame each and end.
type frameReader struct {
	src      *bufio.Reader
	queue    []*packedFrame // being decompressed, oldest first
	inFlight int            // bytes that the queue takes
	spare    []*packedFrame // to be used again
	entries  []seekEntry    // of the frames read
	err      error          // ended the reading of src; io.EOF if all is well
}

// next returns the next frame with its plaintext, or, when the stream has ended
// as it should, io.EOF. used is the frame it returned before, or nil.
func (r *frameReader) next(used *packedFrame) (*packedFrame, error) {
	if used != nil {
		r.keep(used)
	}
	// Twice as many as are decompressed at a time, so that one frame which takes
	// longer than those after it keeps no core waiting.
	for r.err == nil && len(r.queue) <= 2*parallel() && (len(r.queue) == 0 || r.inFlight < maxInFlight) {
		r.err = r.readFrame()
	}
	if len(r.queue) == 0 {
		return nil, r.err
	}
	f := r.queue[0]
	r.queue = r.queue[:copy(r.queue, r.queue[1:])]
	r.inFlight -= len(f.packed) + f.size
	<-f.done
	if f.err != nil {
		r.close()
		r.err = f.err
		return nil, r.err
	}
	return f, nil
}

// keep lets a frame's memory be used again, unless unusually large frames have
// left too much of it.
func (r *frameReader) keep(f *packedFrame) {
	total := cap(f.packed) + cap(f.plain)
	for _, s := range r.spare {
		total += cap(s.packed) + cap(s.plain)
	}
	if total <= 2*maxInFlight {
		r.spare = append(r.spare, f)
	}
}

// close waits for the frames in flight and gives them up.
func (r *frameReader) close() {
	for _, f := range r.queue {
		<-f.done
	}
	r.queue, r.spare = nil, nil
}

// readFrame reads the next frame. One with plaintext goes into the queue, a
// skippable one is passed over, and the seek table must be the end.
func (r *frameReader) readFrame() error {
	head, end := r.src.Peek(zstd.HeaderMaxSize)
	switch {
	case len(head) > 0: // the frame may be there whole, though what follows isn't
	case end == io.EOF:
		return foreign("the zstd stream has no seek table at its end")
	default:
		return end
	}
	if len(r.entries) == maxFrames {
		return foreign("more than %d zstd frames", maxFrames)
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return unexpectedEnd(cmp.Or(end, io.EOF))
		}
		return fmt.Errorf("%w: no zstd frame where one should start: %w", ErrAltered, err)
	}
	if !h.Skippable {
		return r.readPacked(&h)
	}
	r.src.Discard(h.HeaderSize) // was peeked at
	if binary.LittleEndian.Uint32(head) == seekTableMagic {
		return r.readSeekTable(h.SkippableSize)
	}
	if _, err := io.CopyN(io.Discard, r.src, int64(h.SkippableSize)); err != nil {
		return unexpectedEnd(err)
	}
	if uint64(h.SkippableSize)+skippableHeader > math.MaxUint32 {
		return foreign("a skippable zstd frame too large for a seek table")
	}
	r.entries = append(r.entries, seekEntry{compressed: h.SkippableSize + skippableHeader})
	return nil
}

// readPacked reads a frame with plaintext and has it decompressed.
func (r *frameReader) readPacked(h *zstd.Header) error {
	switch {
	case !h.HasFCS:
		return foreign("a zstd frame that does not declare its size")
	case h.FrameContentSize > maxFrameSize:
		return foreign("a zstd frame of %d bytes, more than %d", h.FrameContentSize, maxFrameSize)
	case h.DictionaryID != 0:
		return foreign("a zstd frame that needs dictionary %d", h.DictionaryID)
	}
	f := &packedFrame{done: make(chan struct{}, 1)}
	if n := len(r.spare); n > 0 {
		f, r.spare = r.spare[n-1], r.spare[:n-1]
	}
	f.size = int(h.FrameContentSize)
	f.packed = f.packed[:0]
	if err := r.read(f, h.HeaderSize); err != nil {
		return err
	}
	for last := false; !last; {
		if err := r.read(f, 3); err != nil {
			return err
		}
		var size int
		size, last = zstdBlockSize(f.packed[len(f.packed)-3:])
		if err := r.read(f, size); err != nil {
			return err
		}
	}
	if h.HasCheckSum {
		if err := r.read(f, 4); err != nil {
			return err
		}
	}
	r.entries = append(r.entries, seekEntry{uint32(len(f.packed)), uint32(f.size)})
	r.inFlight += len(f.packed) + f.size
	r.queue = append(r.queue, f)
	go f.unpack()
	return nil
}

// zstdBlockSize is the size of a block of a frame after its header, the first three
// bytes of b, and whether it is the last one.
func zstdBlockSize(b []byte) (size int, last bool) {
	block := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	size = int(block >> 3)
	if block>>1&3 == 1 { // one byte, to be repeated
		size = 1
	}
	return size, block&1 != 0
}

// read appends n more bytes to a frame.
func (r *frameReader) read(f *packedFrame, n int) error {
	have := len(f.packed)
	if have+n > maxFrameSize {
		return foreign("a zstd frame of more than %d bytes after compression", maxFrameSize)
	}
	f.packed = slices.Grow(f.packed, n)[:have+n]
	_, err := io.ReadFull(r.src, f.packed[have:])
	return unexpectedEnd(err)
}

// readSeekTable reads the content of the seek table. It must tell of the frames
// what they were, since a reader at random will rely on it, and be the end.
func (r *frameReader) readSeekTable(size uint32) error {
	if size > maxSeekTable {
		return foreign("a seek table of %d bytes, more than %d", size, maxSeekTable)
	}
	b, err := io.ReadAll(io.LimitReader(r.src, int64(size))) // grows with what is really there
	if err != nil {
		return err
	}
	if len(b) < int(size) {
		return endsWithin()
	}
	table, err := parseSeekTable(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAltered, err)
	}
	if !slices.Equal(table, r.entries) {
		return fmt.Errorf("%w: the seek table lies about the frames before it", ErrAltered)
	}
	switch _, err := r.src.ReadByte(); err {
	case nil:
		return fmt.Errorf("%w: data after the seek table", ErrExtended)
	default:
		return err // io.EOF: age has authenticated all of it
	}
}

// unexpectedEnd turns the end of the plaintext into what it means inside a frame.
func unexpectedEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return endsWithin()
	}
	return err
}

func endsWithin() error {
	return fmt.Errorf("%w: the zstd stream ends within a frame", ErrTruncated)
}

func foreign(format string, a ...any) error {
	return fmt.Errorf("%w: %s (\"age -d | zstd -d\" may open it)", ErrForeign, fmt.Sprintf(format, a...))
}
