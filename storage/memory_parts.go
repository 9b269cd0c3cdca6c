package storage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"vitrine"
)

// PutPart is [Writer.PutPart].
func (m *Memory) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	opts, err := partOptions(key, part)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(newBodyReader(ctx, body, opts))
	if err != nil {
		return fmt.Errorf("part %d of object %s: %w", part.Number, key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.parts[key] == nil {
		m.parts[key] = make(map[int]memoryObject)
	}
	m.parts[key][part.Number] = memoryObject{b, time.Now().UTC()}
	return nil
}

// Complete is [Writer.Complete].
func (m *Memory) Complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	if err := checkComplete(ctx, key, parts, opts); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.objects[key]; ok && int64(len(o.body)) == opts.Size && sha256.Sum256(o.body) == opts.SHA256 {
		delete(m.parts, key)
		return nil
	}
	var body []byte
	for _, p := range parts {
		b := m.parts[key][p.Number].body
		if vitrine.NewPart(p.Number, b) != p {
			return fmt.Errorf("complete object %s: part %d: %w", key, p.Number, ErrIntegrity)
		}
		body = append(body, b...)
	}
	if err := m.put(key, body); err != nil {
		return fmt.Errorf("complete object %s: %w", key, err)
	}
	delete(m.parts, key)
	return nil
}

// Uploads is [Bucket.Uploads].
func (m *Memory) Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		m.mu.RLock()
		var uploads []Upload
		for key, parts := range m.parts {
			u := Upload{Key: key}
			for _, p := range parts {
				u.ModTime = slices.MaxFunc([]time.Time{u.ModTime, p.modTime}, time.Time.Compare)
			}
			if strings.HasPrefix(key, prefix) {
				uploads = append(uploads, u)
			}
		}
		m.mu.RUnlock()
		for _, u := range uploads {
			if ctx.Err() != nil || !yield(u, nil) {
				break
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Upload{}, err)
		}
	}
}

// Parts is [Bucket.Parts].
func (m *Memory) Parts(ctx context.Context, key string) ([]vitrine.Part, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var parts []vitrine.Part
	for _, number := range slices.Sorted(maps.Keys(m.parts[key])) {
		parts = append(parts, vitrine.NewPart(number, m.parts[key][number].body))
	}
	return parts, ctx.Err()
}

// Abort is [Bucket.Abort].
func (m *Memory) Abort(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.parts, key)
	return ctx.Err()
}
