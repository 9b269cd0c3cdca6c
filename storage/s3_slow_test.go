//go:build slow

package storage

import (
	"crypto/sha256"
	"io"
	"runtime"
	"testing"
	"time"
)

// An object of 12 GB goes to the store with less than 100 MiB of memory.
func TestS3Memory(t *testing.T) {
	const size = 12_000_000_000
	f := &fakeS3{conditions: conditionsHeld}
	s, _ := startFake(t, f.ServeHTTP, s3DefaultTimes)
	s.conditions.Store(conditionsHeld)

	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(&counter{}, size)); err != nil {
		t.Fatal(err)
	}
	opts := CreateOptions{Size: size, SHA256: [32]byte(h.Sum(nil))}
	var most uint64
	done := make(chan error)
	go func() { done <- s.Create(t.Context(), s3TestKey, io.LimitReader(&counter{}, size), opts) }()
	for ended := false; !ended; {
		select {
		case err := <-done:
			if ended = true; err != nil {
				t.Fatal(err)
			}
		case <-time.After(50 * time.Millisecond):
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapSys-m.HeapReleased+m.StackSys)
	}
	if f.received != size {
		t.Errorf("%d bytes came, want %d", f.received, int64(size))
	}
	t.Logf("%d MiB at most", most>>20)
	if most > 100<<20 {
		t.Errorf("%d MiB of memory, want less than 100", most>>20)
	}
}

// A counter is an endless body that is cheap to make.
type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	const block = 4096
	clear(p)
	for i := (block - c.n%block) % block; i < len(p); i += block {
		p[i] = byte((c.n + i) / block)
	}
	c.n += len(p)
	return len(p), nil
}
