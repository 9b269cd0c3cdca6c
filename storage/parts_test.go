package storage

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"vitrine"
)

// However many objects are sent at once, their parts take no more memory than is
// allowed to all.
func TestPartsMemory(t *testing.T) {
	const uploads = 24
	body := make([]byte, 2*vitrine.MinPartSize+1)
	var mu sync.Mutex
	var taken, most int
	take := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		taken += n
		most = max(most, taken)
	}
	slow := make(chan struct{}) // the store takes nothing for a while
	time.AfterFunc(time.Second, func() { close(slow) })
	var wg sync.WaitGroup
	for range uploads {
		wg.Go(func() {
			_, err := sendParts(t.Context(), bytes.NewReader(body), int64(len(body)), func(_ context.Context, _ vitrine.Part, b []byte) error {
				take(cap(b))
				defer take(-cap(b))
				<-slow
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most > bufferMemory {
		t.Errorf("%d MiB at once, want at most %d", most>>20, bufferMemory>>20)
	}
}

// Who waits for memory is cancelled, and what a failure held comes back.
func TestPartsMemoryComesBack(t *testing.T) {
	body := make([]byte, vitrine.MinPartSize+1)
	send := func(ctx context.Context, r io.Reader) error {
		_, err := sendParts(ctx, r, int64(len(body)), func(context.Context, vitrine.Part, []byte) error { return io.ErrClosedPipe })
		return err
	}
	for _, r := range []io.Reader{bytes.NewReader(body), &zeroThenFail{n: 100}} {
		if err := send(t.Context(), r); err == nil {
			t.Error("no error")
		}
	}
	if !partBuffers.free.TryAcquire(bufferMemory) {
		t.Fatal("memory is still taken")
	}
	defer partBuffers.free.Release(bufferMemory)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := send(ctx, bytes.NewReader(body)); err == nil {
		t.Error("parts were sent without memory")
	}
}

type zeroThenFail struct{ n int }

func (z *zeroThenFail) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.ErrClosedPipe
	}
	n := min(z.n, len(p))
	z.n -= n
	return n, nil
}
