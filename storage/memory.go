package storage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Memory is a bucket that lives as long as the process: for tests.
type Memory struct {
	mu      sync.RWMutex
	objects map[string]memoryObject
	parts   map[string]map[int]memoryObject
}

type memoryObject struct {
	body    []byte // never changed
	modTime time.Time
}

// NewMemory makes an empty bucket.
func NewMemory() *Memory {
	return &Memory{objects: make(map[string]memoryObject), parts: make(map[string]map[int]memoryObject)}
}

// Open is [Reader.Open].
func (m *Memory) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return m.OpenRange(ctx, key, 0, -1)
}

// OpenRange is [Reader.OpenRange].
func (m *Memory) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	o, err := m.get(ctx, key)
	if err != nil {
		return nil, err
	}
	size := int64(len(o.body))
	if err := checkRange(key, off, size); err != nil {
		return nil, err
	}
	if n < 0 || n > size-off {
		n = size - off
	}
	return stream{ctx, bytes.NewReader(o.body[off : off+n]), io.NopCloser(nil)}, nil
}

// Stat is [Reader.Stat].
func (m *Memory) Stat(ctx context.Context, key string) (Object, error) {
	o, err := m.get(ctx, key)
	if err != nil {
		return Object{}, err
	}
	return Object{Key: key, Size: int64(len(o.body)), ModTime: o.modTime}, nil
}

func (m *Memory) get(ctx context.Context, key string) (memoryObject, error) {
	if err := ctx.Err(); err != nil {
		return memoryObject{}, err
	}
	if err := checkKey(key); err != nil {
		return memoryObject{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	o, ok := m.objects[key]
	if !ok {
		return memoryObject{}, fmt.Errorf("object %s: %w", key, fs.ErrNotExist)
	}
	return o, nil
}

// List is [Reader.List].
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		m.mu.RLock()
		keys := slices.Sorted(maps.Keys(m.objects))
		m.mu.RUnlock()
		for _, key := range keys {
			if err := ctx.Err(); err != nil {
				yield(Object{}, err)
				return
			}
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			o, err := m.Stat(ctx, key)
			if err != nil {
				continue // deleted meanwhile
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Object{}, err)
		}
	}
}

// Create is [Writer.Create].
func (m *Memory) Create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkSize(opts); err != nil {
		return fmt.Errorf("create object %s: %w", key, err)
	}
	b, err := io.ReadAll(newBodyReader(ctx, body, opts))
	if err != nil {
		return fmt.Errorf("create object %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.put(key, b); err != nil {
		return fmt.Errorf("create object %s: %w", key, err)
	}
	return nil
}

// put gives an object its name. m.mu is held.
func (m *Memory) put(key string, body []byte) error {
	if o, ok := m.objects[key]; ok && !bytes.Equal(o.body, body) {
		return fmt.Errorf("other bytes are there: %w", fs.ErrExist)
	} else if !ok {
		m.objects[key] = memoryObject{body, time.Now().UTC()}
	}
	return nil
}

// Delete is [Bucket.Delete].
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}
