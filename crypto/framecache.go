package crypto

import (
	"slices"
	"sync"
)

// What a frameCache keeps, beside the frame that was opened last: this many
// bytes of plaintext in this many frames.
const (
	maxCached       = 16 << 20
	maxCachedFrames = 64
)

// A frameCache keeps the frames that were read last, and has each opened once
// however many ask for it at a time.
type frameCache struct {
	mu     sync.Mutex
	frames []*cachedFrame // the one used last comes last
	bytes  int64
}

type cachedFrame struct {
	index int
	size  int64
	plain []byte
	err   error
	done  chan struct{} // closed when plain or err is there
}

// get returns the plaintext of a frame, which has size bytes and is opened by
// open if it is not there. It must not be changed.
func (c *frameCache) get(index int, size int64, open func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	for i, f := range c.frames {
		if f.index == index {
			copy(c.frames[i:], c.frames[i+1:])
			c.frames[len(c.frames)-1] = f
			c.mu.Unlock()
			<-f.done
			return f.plain, f.err
		}
	}
	f := &cachedFrame{index: index, size: size, done: make(chan struct{})}
	c.frames = append(c.frames, f)
	c.bytes += size
	for len(c.frames) > maxCachedFrames || len(c.frames) > 1 && c.bytes > maxCached {
		c.drop(0)
	}
	c.mu.Unlock()

	f.plain, f.err = open()
	close(f.done)
	if f.err != nil { // the next one tries again: the source may have recovered
		c.mu.Lock()
		if i := slices.Index(c.frames, f); i >= 0 {
			c.drop(i)
		}
		c.mu.Unlock()
	}
	return f.plain, f.err
}

func (c *frameCache) drop(i int) {
	c.bytes -= c.frames[i].size
	c.frames = slices.Delete(c.frames, i, i+1)
}
