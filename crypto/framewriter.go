package crypto

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
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

// A plainFrame is a frame on its way from plaintext to zstd.
type plainFrame struct {
	plain  []byte
	packed []byte
	done   chan struct{} // receives when packed is there
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
	f.done <- struct{}{}
}

// A frameWriter has the frames that its caller fills compressed side by side,
// and writes them to dst in order. All writing is done by the caller's
// goroutine, inside filled and Close; the others only compress one frame and
// end, so nothing has to be stopped after an error.
type frameWriter struct {
	dst     io.Writer
	current *plainFrame   // being filled, or nil
	queue   []*plainFrame // being compressed, oldest first
	entries []seekEntry   // of the frames written
	offset  int64         // bytes written to dst
	flushed int64         // offset after the last flush
	err     error         // the first one; nothing is written after it
}

// space is what is left in the current frame, where the caller puts plaintext;
// there always is some.
func (w *frameWriter) space() []byte {
	if w.current == nil {
		w.current = plainFrames.Get().(*plainFrame)
		w.current.plain = w.current.plain[:0]
	}
	return w.current.plain[len(w.current.plain):frameSize]
}

// filled takes note of n bytes put into the space. Its error is the first
// one that writing any frame met.
func (w *frameWriter) filled(n int) error {
	w.current.plain = w.current.plain[:len(w.current.plain)+n]
	if len(w.current.plain) == frameSize && w.err == nil {
		w.pack()
	}
	return w.err
}

// pack sends the current frame off to be compressed and, if as many are
// underway as is useful, waits for the oldest.
func (w *frameWriter) pack() {
	if len(w.entries)+len(w.queue) >= maxFrames-1 { // one is left for the padding
		w.err = fmt.Errorf("more than %d GiB can't be sealed as one file", maxFrames>>10)
		return
	}
	go w.current.pack()
	w.queue = append(w.queue, w.current)
	w.current = nil
	if len(w.queue) > parallel() {
		w.writeOldest()
	}
}

func (w *frameWriter) writeOldest() {
	f := w.queue[0]
	w.queue = w.queue[:copy(w.queue, w.queue[1:])]
	<-f.done
	w.writeFrame(f.packed, len(f.plain))
	plainFrames.Put(f)
}

func (w *frameWriter) writeFrame(b []byte, decompressed int) {
	w.write(b)
	w.entries = append(w.entries, seekEntry{uint32(len(b)), uint32(decompressed)})
}

func (w *frameWriter) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.dst.Write(b)
	w.offset += int64(n)
	w.err = err
}

// writeAll writes the frames that are there, the current one as far as it got.
func (w *frameWriter) writeAll() {
	if w.current != nil && len(w.current.plain) > 0 && w.err == nil {
		w.pack()
	} else if w.current != nil {
		plainFrames.Put(w.current)
		w.current = nil
	}
	for len(w.queue) > 0 {
		w.writeOldest()
	}
}

// maxFlushed bounds the frames of a stream that is flushed: each flush takes two,
// and the other half is left for the plaintext that comes after.
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
	w.writeAll()
	if w.offset == w.flushed {
		return w.err
	}
	end := (w.offset+chunkSize-1)/chunkSize*chunkSize + 1
	w.writePadding(uint32(max(end-w.offset-skippableHeader, 0)))
	w.flushed = w.offset
	return w.err
}

// Close writes what is left: the last frames, the padding, the seek table.
func (w *frameWriter) Close() error {
	w.writeAll()
	if w.err == nil && len(w.entries) == 0 {
		// Stock zstd refuses a stream without a frame.
		w.writeFrame(encoder().EncodeAll(nil, nil), 0)
	}
	// A frame that is to lie between padding and table has its size added to tail.
	tail := seekTableSize(len(w.entries) + 1)
	padding, err := paddingSize(w.offset, tail)
	if w.err == nil {
		w.err = err
	}
	w.writePadding(padding)
	w.write(appendSeekTable(nil, w.entries))
	return w.err
}

var zeros [64 << 10]byte

func (w *frameWriter) writePadding(size uint32) {
	w.write(appendSkippableHeader(nil, skippableMagic, size))
	for n := int64(size); n > 0; n -= int64(len(zeros)) {
		w.write(zeros[:min(n, int64(len(zeros)))])
	}
	w.entries = append(w.entries, seekEntry{compressed: skippableHeader + size})
}
