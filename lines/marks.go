package lines

import (
	"sort"
	"sync"
)

// Marks are at least so far from each other, and no more than so many.
const (
	markEvery = 4 << 20
	maxMarks  = 4096
)

// marks are places of a log without a table that were passed when it was read,
// with how many line feeds are before them, so that the next question is quick.
// Between two of them all was read.
type marks struct {
	mu  sync.Mutex
	all []mark // in order; the beginning is not among them
}

type mark struct{ off, feeds int64 }

// before returns the last place at or before off.
func (m *marks) before(off int64) (at, feeds int64) {
	return m.find(func(k mark) bool { return k.off <= off })
}

// beforeFeed returns the last place that is before a line feed.
func (m *marks) beforeFeed(feed int64) (at, feeds int64) {
	return m.find(func(k mark) bool { return k.feeds < feed })
}

func (m *marks) find(is func(mark) bool) (at, feeds int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := sort.Search(len(m.all), func(i int) bool { return !is(m.all[i]) })
	if i == 0 {
		return 0, 0
	}
	return m.all[i-1].off, m.all[i-1].feeds
}

// add adds a place, if there is none nearby, or if it is the end of a log of that
// size.
func (m *marks) add(off, feeds, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	every := max(markEvery, size/maxMarks)
	i := sort.Search(len(m.all), func(i int) bool { return m.all[i].off >= off })
	if i < len(m.all) && m.all[i].off == off {
		return
	}
	far := (i == 0 && off >= every || i > 0 && off-m.all[i-1].off >= every) &&
		(i == len(m.all) || m.all[i].off-off >= every)
	if far || off == size {
		m.all = append(m.all, mark{})
		copy(m.all[i+1:], m.all[i:])
		m.all[i] = mark{off, feeds}
	}
}
