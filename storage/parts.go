package storage

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"vitrine"
)

const (
	maxAtOnce    = 4         // parts of one object that are sent at once
	partsMemory  = 32 << 20  // bytes that they may take in memory, unless one takes more
	bufferMemory = 128 << 20 // bytes that the parts of all objects may take
)

// A bufferPool lends memory for parts, and never more than it has at once.
type bufferPool struct {
	free *semaphore.Weighted
	most int64

	mu   sync.Mutex
	lent int      // buffers
	idle [][]byte // to be lent again, as long as some are lent
}

// partBuffers are those of the whole process. Whoever has one waits for no other,
// so each comes back.
var partBuffers = &bufferPool{free: semaphore.NewWeighted(bufferMemory), most: bufferMemory}

// get waits for a buffer of size bytes. It is to be given back by put.
func (p *bufferPool) get(ctx context.Context, size int64) ([]byte, error) {
	if err := p.free.Acquire(ctx, min(size, p.most)); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lent++
	if last := len(p.idle) - 1; last >= 0 {
		b := p.idle[last]
		p.idle = slices.Delete(p.idle, last, last+1)
		// One that is far larger would take more than was asked for.
		if n := int64(cap(b)); n >= size && n <= 2*size {
			return b[:size], nil
		}
	}
	return make([]byte, size), nil
}

func (p *bufferPool) put(b []byte) {
	p.mu.Lock()
	p.idle = append(p.idle, b)
	if p.lent--; p.lent == 0 {
		p.idle = nil
	}
	p.mu.Unlock()
	p.free.Release(min(int64(len(b)), p.most))
}

// sendParts cuts a body of size bytes into parts and calls put for each, several
// at once. It returns when all are done: the parts in their order, or the first
// error. A body that ends early, or has the wrong hash, is for its reader to say.
func sendParts(ctx context.Context, body io.Reader, size int64, put func(ctx context.Context, part vitrine.Part, b []byte) error) ([]vitrine.Part, error) {
	partSize := vitrine.PartSize(size)
	slots := make(chan struct{}, min(max(partsMemory/partSize, 1), maxAtOnce))
	parts := make([]vitrine.Part, (size+partSize-1)/partSize)
	group, ctx := errgroup.WithContext(ctx)
	for i := 0; ; i++ {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil, cmp.Or(group.Wait(), ctx.Err())
		}
		b, err := partBuffers.get(ctx, partSize)
		if err != nil {
			return nil, cmp.Or(group.Wait(), err)
		}
		n, err := io.ReadFull(body, b)
		// By identity: a body that broke off may say the same, wrapped.
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			partBuffers.put(b)
			group.Go(func() error { return err })
			return nil, group.Wait()
		}
		group.Go(func() error {
			defer func() { partBuffers.put(b); <-slots }()
			if n == 0 || i >= len(parts) { // more than size is for the body's reader to refuse
				return nil
			}
			parts[i] = vitrine.NewPart(i+1, b[:n])
			if err := put(ctx, parts[i], b[:n]); err != nil {
				return fmt.Errorf("part %d: %w", i+1, err)
			}
			return nil
		})
		if ended {
			return parts, group.Wait()
		}
	}
}

// partOptions are those of a part's body.
func partOptions(key string, part vitrine.Part) (CreateOptions, error) {
	if err := checkKey(key); err != nil {
		return CreateOptions{}, err
	}
	if err := part.Check(); err != nil {
		return CreateOptions{}, fmt.Errorf("object %s: %w", key, err)
	}
	opts := CreateOptions{Size: part.Size}
	hex.Decode(opts.SHA256[:], []byte(part.SHA256))
	return opts, nil
}

// completeAgain calls complete once more if parts are missing: who completed the
// object beside us has taken them away, and complete looks for the object first.
func completeAgain(complete func() error) error {
	err := complete()
	if errors.Is(err, ErrIntegrity) {
		err = complete()
	}
	return err
}

// checkComplete refuses what no store could complete.
func checkComplete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := cmp.Or(ctx.Err(), checkSize(opts))
	if err == nil {
		if wrong := vitrine.CheckParts(parts, opts.Size); wrong != nil {
			err = fmt.Errorf("%w: %w", ErrIntegrity, wrong)
		}
	}
	if err != nil {
		return fmt.Errorf("complete object %s: %w", key, err)
	}
	return nil
}
