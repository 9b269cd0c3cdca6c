package index

import (
	"slices"
	"sync"
)

// keptBytes bounds the JSON of the big records that are kept parsed. Parsed they
// take about as much again.
const keptBytes = 8 << 20

// A version tells apart what may be stored of one build: no two records of one
// uuid, start and source have the same end (see add).
type version struct {
	uuid                 string
	start, ended, source int64 // as in the table of builds
}

// big keeps the big records that were asked for last. Parsing one takes tens of
// milliseconds, and everybody may ask for each of its thousands of artifacts.
// What is kept goes by its version, so that it needs no word from who writes.
type big struct {
	parsing sync.Mutex // held to parse one, so that many requests take the memory of one

	mu    sync.Mutex
	kept  []kept // the last to be asked for comes last
	bytes int
}

type kept struct {
	version version
	parsed  parsed
}

func (b *big) get(v version) (parsed, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.kept, func(k kept) bool { return k.version == v })
	if i < 0 {
		return parsed{}, false
	}
	k := b.kept[i]
	b.kept = append(slices.Delete(b.kept, i, i+1), k)
	return k.parsed, true
}

func (b *big) put(v version, p parsed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, kept{v, p})
	b.bytes += len(p.entry.Record)
	for b.bytes > keptBytes {
		b.bytes -= len(b.kept[0].parsed.entry.Record)
		b.kept = slices.Delete(b.kept, 0, 1)
	}
}
