package remote

// A run is a part of the object that somebody reads in order.
type run struct {
	end     int64 // of what was read
	read    int64 // how much that was
	fetched int64 // up to where it was fetched ahead
}

// ahead returns up to where to fetch for a read from off to end: beyond it, if it
// goes on where an earlier one ended. As much is fetched ahead as was read so before,
// so that who stops has fetched twice as much at most; one read alone, however long,
// is no sign that more will be wanted, nor is the same again. The caller holds mu.
func (f *File) ahead(off, end int64) int64 {
	i := 0
	for i < len(f.runs)-1 && !f.runs[i].goesOn(off) {
		i++
	}
	r := f.runs[i]
	copy(f.runs[1:i+1], f.runs[:i])
	if !r.goesOn(off) {
		r = run{end: off}
	}
	window := min(r.read, piece())
	if end <= r.end {
		window = 0
	}
	r.read += max(0, end-max(off, r.end))
	r.end = max(r.end, end)
	// When half of it is used up the next is fetched, so that it is there in time.
	if window >= minAhead && r.fetched < min(r.end+window/2, f.size) {
		r.fetched = min(r.end+window, f.size)
		end = r.fetched
	}
	f.runs[0] = r
	return end
}

// goesOn reports whether a read from off on goes on with the run. Several readers
// of one part do not come in order.
func (r *run) goesOn(off int64) bool {
	return r.read > 0 && off <= r.end+minAhead && off >= r.end-maxPiece
}
