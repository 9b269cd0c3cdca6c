package index

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
)

// A sheet lists the builds that began on one day in UTC, in no order, each by
// what filters look at: its series, and its patchset's code. All sheets are kept
// in memory, six bytes a build: going through a million takes two milliseconds,
// so that whatever the filter, the days that a page's builds lie on are known
// before any build is looked up. Nobody changes a sheet; a new one takes its place.
type sheet struct {
	day     int64 // since 1970
	entries []byte
}

const (
	entrySize = 6
	// maxPlainPatchset is up to where a patchset is its own code.
	maxPlainPatchset = 1<<15 - 1
)

// window is the sheet's day.
func (s sheet) window() window { return since(s.day * daySeconds).cut(until((s.day + 1) * daySeconds)) }

// patchsetCode is a patchset in two bytes: a plain number is itself, and exact;
// others, as the hashes that some have, share codes.
func patchsetCode(patchset string) (code uint16, exact bool) {
	if patchset == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(patchset, 10, 15)
	if err == nil && n > 0 && strconv.FormatUint(n, 10) == patchset {
		return uint16(n), true
	}
	h := fnv.New32a()
	h.Write([]byte(patchset))
	return uint16(h.Sum32()) | (maxPlainPatchset + 1), false
}

// An entry is one build of a sheet.
type entry [entrySize]byte

func newEntry(series int64, patchset string) (e entry) {
	code, _ := patchsetCode(patchset)
	binary.LittleEndian.PutUint32(e[:4], uint32(series))
	binary.LittleEndian.PutUint16(e[4:], code)
	return e
}

// A listing is an entry that comes onto a sheet or, with times -1, leaves it.
type listing struct {
	entry entry
	times int
}

// list puts a build on its day's sheet, with times 1, or takes it off, with -1,
// before the writing ends.
func (w *writing) list(start int64, e entry, times int) {
	day := start / daySeconds
	w.listings[day] = append(w.listings[day], listing{e, times})
}

// writeSheets writes the sheets that a writing changed.
func (w *writing) writeSheets(ctx context.Context) error {
	for day, listings := range w.listings {
		var entries []byte
		err := w.QueryRowContext(ctx, "SELECT entries FROM sheets WHERE day = ?", day).Scan(&entries)
		if err != nil && err != sql.ErrNoRows {
			return err
		}
		for _, l := range listings {
			if l.times > 0 {
				entries = append(entries, l.entry[:]...)
				continue
			}
			i := 0
			for i < len(entries) && entry(entries[i:i+entrySize]) != l.entry {
				i += entrySize
			}
			if i >= len(entries) {
				return fmt.Errorf("index: a build is not on the sheet of its day, %d", day)
			}
			entries = slices.Delete(entries, i, i+entrySize)
		}
		_, err = w.ExecContext(ctx, `INSERT INTO sheets (day, changed, entries)
			VALUES (?, (SELECT coalesce(max(changed), 0) + 1 FROM sheets), ?)
			ON CONFLICT (day) DO UPDATE SET changed = excluded.changed, entries = excluded.entries`, day, entries)
		if err != nil {
			return err
		}
	}
	return nil
}

// sheets are those in memory, as of the last change that was seen.
type sheets struct {
	mu      sync.Mutex
	changed int64
	days    []sheet // in order; the slice is replaced, not changed
}

// at returns the sheets as tx sees them, oldest first.
func (s *sheets) at(ctx context.Context, tx *sql.Tx) ([]sheet, error) {
	var last int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(changed), 0) FROM sheets").Scan(&last); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == last {
		return s.days, nil
	}
	days, from := slices.Clone(s.days), s.changed
	isBehind := s.changed > last
	if isBehind { // another reader has seen more: all sheets are read for tx alone
		days, from = nil, -1
	}
	rows, err := tx.QueryContext(ctx, "SELECT day, entries FROM sheets WHERE changed > ?", from)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d sheet
		if err := rows.Scan(&d.day, &d.entries); err != nil {
			return nil, err
		}
		if len(d.entries)%entrySize != 0 {
			return nil, fmt.Errorf("index: the sheet of day %d is broken", d.day)
		}
		if i, ok := slices.BinarySearchFunc(days, d.day, func(s sheet, day int64) int { return cmp.Compare(s.day, day) }); ok {
			days[i] = d
		} else {
			days = slices.Insert(days, i, d)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if !isBehind {
		s.days, s.changed = days, last
	}
	return days, nil
}

// A sieve says which entries of sheets a plan wants.
type sieve struct {
	wanted []bool // by series; nil: all
	codes  []bool // by patchset's code; nil: all
}

// count is how many builds of a sheet pass; their series are added to list.
func (v sieve) count(s sheet, list *[]int64) int {
	if v.wanted == nil && v.codes == nil && list == nil {
		return len(s.entries) / entrySize
	}
	n := 0
	for i := 0; i+entrySize <= len(s.entries); i += entrySize {
		series := int64(binary.LittleEndian.Uint32(s.entries[i:]))
		if v.wanted != nil && (series >= int64(len(v.wanted)) || !v.wanted[series]) {
			continue
		}
		if v.codes != nil && !v.codes[binary.LittleEndian.Uint16(s.entries[i+4:])] {
			continue
		}
		n++
		if list != nil {
			*list = append(*list, series)
		}
	}
	return n
}

// patchsetCodes is which codes the values of a field may stand for; nil, if any.
// It is exact if it says all that the values do.
func patchsetCodes(f field) (may []bool, exact bool) {
	if f.empty() {
		return nil, true
	}
	may, exact = make([]bool, 1<<16), true
	for i := range may {
		may[i] = len(f.yes) == 0
	}
	for _, v := range f.yes {
		code, plain := patchsetCode(v)
		may[code], exact = true, exact && plain
	}
	for _, v := range f.no {
		code, plain := patchsetCode(v)
		if plain {
			may[code] = false
		}
		exact = exact && plain
	}
	return may, exact
}
