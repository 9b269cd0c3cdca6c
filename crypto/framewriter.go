package crypto

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"vitrine/ngram"
)

// encoder compresses for all frameWriters: it holds one compressor's memory for
// each core, whatever number of files is sealed at a time.
var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(frameSize),
		zstd.WithEncoderConcurrency(parallel()),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(true),
		zstd.WithSingleSegment(true), // so that even the smallest frame declares its size
	)
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

// The end of a long log is written in pieces, so that its last lines take little
// of the file to read. The last pieces lie behind the padding, beside the tables.
const (
	pieceSize  = 128 << 10                 // bytes of plaintext
	endPieces  = 3                         // behind the padding
	longLog    = 4 << 20                   // bytes of a log that is written so
	endEntries = 2*frameSize/pieceSize + 3 // what Close may write: pieces, search index, padding, line table
)

// A plainFrame is a frame on its way from plaintext to zstd.
type plainFrame struct {
	plain  []byte
	feeds  int        // line feeds in plain
	across []byte     // up to three bytes before plain, and three of it
	grams  *ngram.Set // of plain and across, if there is a search index
	packed []byte
	done   chan struct{} // receives when grams and packed are there
}

var plainFrames = sync.Pool{New: func() any {
	return &plainFrame{
		plain:  make([]byte, 0, frameSize),
		packed: make([]byte, 0, frameSize/4), // grows for what compresses badly
		done:   make(chan struct{}, 1),
	}
}}

func (f *plainFrame) pack() {
	f.packed = encoder().EncodeAll(f.plain, f.packed[:0])
	if f.grams != nil {
		f.grams.Add(f.across)
		f.grams.Add(f.plain)
	}
	f.done <- struct{}{}
}

// cut returns the pieces of a frame, which share its plaintext.
func (f *plainFrame) cut() []*plainFrame {
	var pieces []*plainFrame
	for plain := range slices.Chunk(f.plain, pieceSize) {
		pieces = append(pieces, &plainFrame{plain: plain, feeds: bytes.Count(plain, []byte{'\n'}), done: make(chan struct{}, 1)})
	}
	return pieces
}

// A frameWriter has the frames that its caller fills compressed side by side,
// and writes them to dst in order. All writing is done by the caller's
// goroutine, inside filled and Close; the others only compress one frame and
// end, so nothing has to be stopped after an error.
type frameWriter struct {
	dst     io.Writer
	search  *searchIndex  // nil: none is made
	current *plainFrame   // being filled, or nil
	held    *plainFrame   // the full one before it, which may become pieces; or nil
	queue   []*plainFrame // being compressed, oldest first
	before  []byte        // the last three bytes of plaintext sent off
	size    int64         // bytes of plaintext
	entries []seekEntry   // of the frames written
	feeds   []uint32      // line feeds of those with plaintext
	offset  int64         // bytes written to dst
	flushed int64         // offset after the last flush
	err     error         // the first one; nothing is written after it
}

// space is what is left in the current frame, where the caller puts plaintext;
// there always is some.
func (w *frameWriter) space() []byte {
	if w.current == nil {
		w.current = plainFrames.Get().(*plainFrame)
		w.current.plain, w.current.feeds = w.current.plain[:0], 0
	}
	return w.current.plain[len(w.current.plain):frameSize]
}

// filled takes note of n bytes put into the space, with so many line feeds. Its
// error is the first one that writing any frame met.
func (w *frameWriter) filled(n, feeds int) error {
	w.size += int64(n)
	w.current.feeds += feeds
	w.current.plain = w.current.plain[:len(w.current.plain)+n]
	if len(w.current.plain) == frameSize && w.err == nil {
		if w.held != nil {
			w.send(w.held)
		}
		w.held, w.current = w.current, nil
	}
	return w.err
}

// send sends a frame off to be compressed and, if as many are underway as is
// useful, waits for the oldest.
func (w *frameWriter) send(f *plainFrame) {
	if w.err == nil && len(w.entries)+len(w.queue) >= maxFrames-endEntries {
		w.err = fmt.Errorf("more than %d GiB can't be sealed as one file", maxFrames>>10)
	}
	if w.err != nil {
		return
	}
	w.start(f)
	if len(w.queue) > parallel() {
		w.writeOldest()
	}
}

// start has a frame compressed, as the last one of the queue.
func (w *frameWriter) start(f *plainFrame) {
	if w.search == nil {
		f.grams = nil
	} else {
		if f.grams == nil {
			f.grams = new(ngram.Set)
		} else {
			*f.grams = ngram.Set{}
		}
		f.across = append(f.across[:0], w.before...)
		f.across = append(f.across, f.plain[:min(3, len(f.plain))]...)
		w.before = append(w.before, f.plain[max(0, len(f.plain)-3):]...)
		w.before = w.before[max(0, len(w.before)-3):]
	}
	w.queue = append(w.queue, f)
	go f.pack()
}

// takeOldest waits for the frame that was sent off first.
func (w *frameWriter) takeOldest() *plainFrame {
	f := w.queue[0]
	w.queue = w.queue[:copy(w.queue, w.queue[1:])]
	<-f.done
	if f.grams != nil {
		w.search.add(f.grams, len(f.plain))
	}
	return f
}

func (w *frameWriter) writeOldest() {
	f := w.takeOldest()
	w.writeFrame(f)
	if cap(f.plain) == frameSize { // no piece of another frame
		plainFrames.Put(f)
	}
}

func (w *frameWriter) writeFrame(f *plainFrame) {
	w.write(f.packed)
	w.note(f)
}

// note makes a frame's entries in the tables.
func (w *frameWriter) note(f *plainFrame) {
	w.entries = append(w.entries, seekEntry{uint32(len(f.packed)), uint32(len(f.plain))})
	if len(f.plain) > 0 {
		w.feeds = append(w.feeds, uint32(f.feeds))
	}
}

func (w *frameWriter) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.dst.Write(b)
	w.offset += int64(n)
	w.err = err
}

// takeRest takes what has not been sent off.
func (w *frameWriter) takeRest() []*plainFrame {
	var rest []*plainFrame
	if w.held != nil {
		rest = append(rest, w.held)
	}
	if w.current != nil && len(w.current.plain) > 0 {
		rest = append(rest, w.current)
	}
	w.held, w.current = nil, nil
	return rest
}

// writeAll writes frames, after those that are being compressed.
func (w *frameWriter) writeAll(frames []*plainFrame) {
	for _, f := range frames {
		w.send(f)
	}
	for len(w.queue) > 0 {
		w.writeOldest()
	}
}

// maxFlushed bounds the frames of a stream that is flushed: each flush takes up to
// three, and the other half is left for the plaintext that comes after.
const maxFlushed = maxFrames / 2

// flush writes all frames, and then padding until age must have written out the
// chunk that the last of them ends in. age holds a full chunk back until more
// comes, as it may be the last one, so the padding reaches one byte into the next.
func (w *frameWriter) flush() error {
	if w.err != nil {
		return w.err
	}
	if len(w.entries)+len(w.queue) >= maxFlushed {
		return fmt.Errorf("flush: there are %d frames already, and as many are left for what comes", maxFlushed)
	}
	w.writeAll(w.takeRest())
	if w.offset == w.flushed {
		return w.err
	}
	end := (w.offset+chunkSize-1)/chunkSize*chunkSize + 1
	w.writePadding(uint32(max(end-w.offset-skippableHeader, 0)))
	w.flushed = w.offset
	return w.err
}

// Close writes what is left: the last frames, the search index, the padding, and
// the tables. Of a long log the last pieces come after the padding.
func (w *frameWriter) Close() error {
	rest := w.takeRest()
	var end []*plainFrame
	if w.size >= longLog {
		var pieces []*plainFrame
		for _, f := range rest {
			pieces = append(pieces, f.cut()...)
		}
		before := max(0, len(pieces)-endPieces)
		rest, end = pieces[:before], pieces[before:]
	}
	w.writeAll(rest)
	if w.err == nil && len(w.entries) == 0 && len(end) == 0 {
		// Stock zstd refuses a stream without a frame.
		w.writeFrame(&plainFrame{packed: encoder().EncodeAll(nil, nil)})
	}
	for _, f := range end {
		w.start(f)
	}
	for range end {
		w.takeOldest()
	}
	search := 0
	if w.search != nil && w.size >= minSearched {
		search = len(w.entries)
		index := appendSearchIndex(nil, w.search.blocks)
		w.write(index)
		w.entries = append(w.entries, seekEntry{compressed: uint32(len(index))})
	}
	padding := len(w.entries)
	w.entries = append(w.entries, seekEntry{})
	var tail []byte // what follows the padding
	for _, f := range end {
		tail = append(tail, f.packed...)
		w.note(f)
	}
	table := appendLineTable(nil, lineTable{search, w.feeds})
	w.entries = append(w.entries, seekEntry{compressed: uint32(len(table))})
	tail = append(tail, table...)
	size, err := paddingSize(w.offset, int64(len(tail))+seekTableSize(len(w.entries)))
	if w.err == nil {
		w.err = err
	}
	w.writeZeros(size)
	w.entries[padding].compressed = skippableHeader + size
	w.write(appendSeekTable(tail, w.entries))
	return w.err
}

var zeros [64 << 10]byte

func (w *frameWriter) writePadding(size uint32) {
	w.writeZeros(size)
	w.entries = append(w.entries, seekEntry{compressed: skippableHeader + size})
}

// writeZeros writes a padding frame that holds size bytes.
func (w *frameWriter) writeZeros(size uint32) {
	w.write(appendSkippableHeader(nil, skippableMagic, size))
	for n := int64(size); n > 0; n -= int64(len(zeros)) {
		w.write(zeros[:min(n, int64(len(zeros)))])
	}
}
