package index

import "sync"

// maxBroken bounds the keys that are remembered; beyond it, what is broken is
// read and reported again at every sync.
const maxBroken = 1 << 16

// broken has the keys that hold nothing for this index, as a sync found. Objects
// never change, so to look once is enough.
type broken struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (b *broken) has(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys[key]
}

func (b *broken) add(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys == nil {
		b.keys = make(map[string]bool)
	}
	if len(b.keys) < maxBroken {
		b.keys[key] = true
	}
}
