//go:build unix

package crypto

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"vitrine/testdata"
)

// benchmarkLog is the log named by the variable LOG, or the largest real one.
func benchmarkLog(b *testing.B) []byte {
	b.Helper()
	if file := os.Getenv("LOG"); file != "" {
		log, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		return log
	}
	packed, err := testdata.FS.ReadFile("logs/build.log.zst")
	if err != nil {
		b.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	log, err := d.DecodeAll(packed, nil)
	if err != nil {
		b.Fatal(err)
	}
	return log
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFrameSize is why frames have the size they have: how well a log
// compresses in frames of a size, how fast, and how many bytes of the sealed file
// a reader needs: the tables, the last 100 lines together with the tables, and 100
// lines in the middle, which is one request more. bench/README.md has the numbers.
func BenchmarkFrameSize(b *testing.B) {
	log := benchmarkLog(b)
	for _, size := range []int{128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(size),
				zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithSingleSegment(true))
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			var packed []byte
			var entries []seekEntry
			var table lineTable
			b.SetBytes(int64(len(log)))
			before := processorTime(b)
			for b.Loop() {
				entries, table = entries[:0], lineTable{}
				total := 0
				for plain := range slices.Chunk(log, size) {
					packed = e.EncodeAll(plain, packed[:0])
					total += len(packed)
					entries = append(entries, seekEntry{uint32(len(packed)), uint32(len(plain))})
					table.feeds = append(table.feeds, uint32(bytes.Count(plain, []byte{'\n'})))
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(log))/1e6/(processorTime(b)-before).Seconds(), "MB/cpu-s")
			total := 0
			for _, entry := range entries {
				total += int(entry.compressed)
			}
			tables := len(appendSeekTable(appendLineTable(nil, table), entries))
			b.ReportMetric(float64(len(log))/float64(total+tables), "x-smaller")
			// The tail's frames are pieces, whatever the size of the others.
			tail := log[len(log)-len(lastLines(log, 100)):]
			pieces := (len(tail)+pieceSize-1)/pieceSize + 1
			b.ReportMetric(float64(tables)*10e9/float64(len(log))/1e3, "kB-tables-of-10-GB")
			end := len(encoder().EncodeAll(log[max(0, len(log)-pieces*pieceSize):], nil))
			b.ReportMetric(float64(inChunks(tables+end))/1e3, "kB-tail")
			middle := entries[len(entries)/2]
			b.ReportMetric(float64(inChunks(int(middle.compressed)))/1e3, "kB-middle")
		})
	}
}

func lastLines(log []byte, n int) []byte {
	at := len(log)
	for range n + 1 {
		at = max(0, bytes.LastIndexByte(log[:at], '\n'))
	}
	return log[at:]
}

// inChunks is how many bytes of a sealed file hold n bytes of the stream that lie
// anywhere: age's chunks are read whole.
func inChunks(n int) int { return ((n+chunkSize-1)/chunkSize + 1) * sealedSize }

// BenchmarkSealSearchable is what a search index costs: time, memory and bytes.
func BenchmarkSealSearchable(b *testing.B) {
	log, key := benchmarkLog(b), newKey(b)
	for name, seal := range sealers {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			var n counter
			before := processorTime(b)
			for b.Loop() {
				n = 0
				w, err := seal(&n, key.Recipient())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.ReadFrom(bytes.NewReader(log)); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(log))/1e6/(processorTime(b)-before).Seconds(), "MB/cpu-s")
			b.ReportMetric(float64(len(log))/float64(n), "x-smaller")
		})
	}
}

var sealers = map[string]func(io.Writer, ...age.Recipient) (*Writer, error){"plain": Seal, "searchable": SealSearchable}

// A counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
