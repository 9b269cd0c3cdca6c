package main

import (
	"fmt"
	"hash"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"vitrine/publish"
	"vitrine/storage"
)

// A bar shows on a terminal how far a long work is. A nil bar, and one that is
// not on a terminal, shows nothing.
type bar struct {
	what  string
	start time.Time
	width int

	mu           sync.Mutex
	files, done  int
	total, bytes int64
	before       int64 // of bytes, those that came before start
	drawn        time.Time
	ended        bool
}

// onLine is the last bar that began, and may have the terminal's line.
var onLine atomic.Pointer[bar]

// newBar begins a bar for a number of files and of bytes; it may be told of more.
func newBar(what string, files int, total int64) *bar {
	fd := int(os.Stderr.Fd())
	if !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	width, _, err := term.GetSize(fd)
	if err != nil || width < 40 {
		width = 80
	}
	b := &bar{what: what, start: time.Now(), width: width, files: files, total: total}
	onLine.Store(b)
	return b
}

// add tells of n bytes more.
func (b *bar) add(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(b.done, b.files, b.bytes+int64(n), b.total)
}

// file tells of one file more that is done.
func (b *bar) file() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(b.done+1, b.files, b.bytes, b.total)
}

// totals shows how far publishing is: how much is sealed, and once all is, how
// much is sent.
func (b *bar) totals(t publish.Totals) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.SealedFiles < t.Files {
		b.what = "seal"
		b.set(t.SealedFiles, t.Files, t.SealedBytes, t.PlainBytes)
		return
	}
	if b.what != "send" {
		b.what, b.start = "send", time.Now()
		b.before = t.SentBytes // sent while sealing: no part of the rate from here on
	}
	b.set(t.SentFiles, t.Files, t.SentBytes, t.SpoolBytes)
}

// copied shows how far copying is: of what is known of by now.
func (b *bar) copied(t storage.CopyTotals) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(t.Copied+t.There, t.Objects, t.CopiedBytes, t.Bytes-t.ThereBytes)
}

// set draws the bar anew. b.mu is held.
func (b *bar) set(done, files int, bytes, total int64) {
	b.done, b.files, b.bytes, b.total = done, files, bytes, total
	rate := float64(bytes-b.before) / max(time.Since(b.start).Seconds(), 0.001)
	left := "–"
	if rate > 0 && total >= bytes {
		left = time.Duration(float64(total-bytes) / rate * float64(time.Second)).Round(time.Second).String()
	}
	b.show(fmt.Sprintf("%s  %d of %d files  %s of %s  %s/s  %s left", b.what, done, files,
		sizeWords(bytes), sizeWords(total), sizeWords(int64(rate)), left))
}

// imported shows how far an import is: how many builds were read, and of which
// time.
func (b *bar) imported(builds int, at time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := float64(builds) / max(time.Since(b.start).Seconds(), 0.001)
	b.show(fmt.Sprintf("%s  %s  back to %s  %.0f/s", b.what, count(builds, "build"), at.Format(time.DateOnly), rate))
}

// searched shows how far a search is: of the builds that are known by now, and how
// many bytes of their logs were read, passed over, and fetched to that end.
func (b *bar) searched(done, builds int, scanned, skipped, fetched int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.show(fmt.Sprintf("%s  %d of %s  %s searched  %s passed over  %s fetched", b.what, done, count(builds, "build"),
		sizeWords(scanned), sizeWords(skipped), sizeWords(fetched)))
}

// aside has something else printed where the bar is.
func (b *bar) aside(print func()) {
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.ended && !b.drawn.IsZero() {
			fmt.Fprint(os.Stderr, "\r\x1b[K")
			b.drawn = time.Time{}
		}
	}
	print()
}

// show draws a line in the place of the last, some times a second. b.mu is held.
func (b *bar) show(line string) {
	if b.ended || time.Since(b.drawn) < 100*time.Millisecond || unprompt.Load() != nil { // a prompt has the line
		return
	}
	b.drawn = time.Now()
	if len(line) > b.width-1 {
		line = line[:b.width-1]
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K%s", line)
}

// end clears the bar's line.
func (b *bar) end() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended && !b.drawn.IsZero() {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	b.ended = true
}

// sizeWords is a number of bytes for people: 48 KB, 1.9 MB.
func sizeWords(n int64) string {
	units := []string{"bytes", "KB", "MB", "GB", "TB"}
	if n == 1 {
		return "1 byte"
	}
	v, i := float64(n), 0
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i == 0 || v >= 10 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// A countingHash hashes and counts what passes, and tells a bar.
type countingHash struct {
	hash.Hash
	n   int64
	bar *bar
}

func (h *countingHash) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	h.bar.add(len(p))
	return h.Hash.Write(p)
}
