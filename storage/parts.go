package storage

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"vitrine"
)

const (
	maxAtOnce   = 4        // parts of one object that are sent at once
	partsMemory = 32 << 20 // bytes that they may take in memory, unless one takes more
)

// sendParts cuts a body of size bytes into parts and calls put for each, several
// at once. It returns when all are done: the parts in their order, or the first
// error. A body that ends early, or has the wrong hash, is for its reader to say.
func sendParts(ctx context.Context, body io.Reader, size int64, put func(ctx context.Context, part vitrine.Part, b []byte) error) ([]vitrine.Part, error) {
	partSize := vitrine.PartSize(size)
	atOnce := int(min(max(partsMemory/partSize, 1), maxAtOnce))
	slots := make(chan []byte, atOnce) // each with the buffer of a part, once it was needed
	for range atOnce {
		slots <- nil
	}
	parts := make([]vitrine.Part, (size+partSize-1)/partSize)
	group, ctx := errgroup.WithContext(ctx)
	for i := 0; ; i++ {
		var b []byte
		select {
		case b = <-slots:
		case <-ctx.Done():
			return nil, cmp.Or(group.Wait(), ctx.Err())
		}
		if b == nil {
			b = make([]byte, partSize)
		}
		n, err := io.ReadFull(body, b)
		// By identity: a body that broke off may say the same, wrapped.
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			group.Go(func() error { return err })
			return nil, group.Wait()
		}
		if n > 0 && i < len(parts) { // more than size is for the body's reader to refuse
			group.Go(func() error {
				defer func() { slots <- b }()
				parts[i] = vitrine.NewPart(i+1, b[:n])
				if err := put(ctx, parts[i], b[:n]); err != nil {
					return fmt.Errorf("part %d: %w", i+1, err)
				}
				return nil
			})
		}
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
