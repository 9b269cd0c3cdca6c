package vitrine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/test/allocs"
)

func exampleMark() *vitrine.Mark {
	return &vitrine.Mark{
		Version: vitrine.RecordVersion, UUID: strings.Repeat("0f", 16), Time: time.Date(2026, 11, 22, 2, 11, 9, 0, time.UTC),
		Partial: []vitrine.PartialArtifact{{Path: "console.log.zst.age", Size: 65736}},
	}
}

func TestMark(t *testing.T) {
	text, err := exampleMark().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := vitrine.ParseMark(text)
	if err != nil || m.UUID != exampleMark().UUID || len(m.Partial) != 1 || m.Partial[0] != exampleMark().Partial[0] {
		t.Errorf("%+v, %v", m, err)
	}
	twice := exampleMark()
	twice.Partial = append(twice.Partial, twice.Partial[0])
	if _, err := twice.Marshal(); !errors.Is(err, vitrine.ErrMark) {
		t.Errorf("a path twice: %v, want ErrMark", err)
	}
	for _, bad := range []string{
		"", "null", "{}", "[]", string(text[:len(text)-1]), string(text) + " ",
		strings.Replace(string(text), `"version"`, `"Version"`, 1),
		strings.Replace(string(text), `"version": 1`, `"version": 2`, 1),
		strings.Replace(string(text), "console.log", "../console.log", 1),
		strings.Replace(string(text), "65736", "0", 1),
		strings.Replace(string(text), "0f", "0F", 1),
		strings.Replace(string(text), "2026", "1926", 1),
		strings.Replace(string(text), "09Z", "09+01:00", 1),
		strings.Replace(string(text), `"uuid"`, `"more": 1, "uuid"`, 1),
		strings.Repeat(" ", vitrine.MaxMarkSize+1),
	} {
		if _, err := vitrine.ParseMark([]byte(bad)); !errors.Is(err, vitrine.ErrMark) {
			t.Errorf("ParseMark(%.80q): %v, want ErrMark", bad, err)
		}
	}
}

func FuzzParseMark(f *testing.F) {
	text, err := exampleMark().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m *vitrine.Mark
		var err error
		allocs.Check(t, 200*int64(len(b)), func() { m, err = vitrine.ParseMark(b) })
		if err != nil {
			return
		}
		if again, err := m.Marshal(); err != nil || string(again) != string(b) {
			t.Errorf("%q is written as %q, %v", b, again, err)
		}
	})
}

func TestCheckParts(t *testing.T) {
	big := func(n int) vitrine.Part { return vitrine.Part{Number: n, Size: vitrine.MinPartSize} }
	small := func(n int) vitrine.Part { return vitrine.Part{Number: n, Size: 3} }
	many := make([]vitrine.Part, vitrine.MaxParts+1)
	for i := range many {
		many[i] = big(i + 1)
	}
	for _, test := range []struct {
		what  string
		parts []vitrine.Part
		size  int64
		good  bool
	}{
		{"one", []vitrine.Part{small(1)}, 3, true},
		{"two", []vitrine.Part{big(1), small(2)}, vitrine.MinPartSize + 3, true},
		{"none", nil, 0, false},
		{"another size", []vitrine.Part{small(1)}, 4, false},
		{"a gap", []vitrine.Part{big(1), small(3)}, vitrine.MinPartSize + 3, false},
		{"a small one first", []vitrine.Part{small(1), small(2)}, 6, false},
		{"an empty one", []vitrine.Part{{Number: 1}}, 0, false},
		{"sizes that overflow", []vitrine.Part{{Number: 1, Size: 1 << 62}, {Number: 2, Size: 1 << 62}}, 1 << 40, false},
		{"as many as there may be", many[:vitrine.MaxParts], vitrine.MaxParts * vitrine.MinPartSize, true},
		{"too many", many, (vitrine.MaxParts + 1) * vitrine.MinPartSize, false},
	} {
		if err := vitrine.CheckParts(test.parts, test.size); (err == nil) != test.good {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// Whatever the size, the parts are no more than a store takes.
func TestPartSize(t *testing.T) {
	for _, size := range []int64{0, 1, vitrine.MinPartSize, 12 << 30, 100<<30 + 1, vitrine.MaxArtifactSize} {
		part := vitrine.PartSize(size)
		if part < vitrine.MinPartSize || (size+part-1)/part > vitrine.MaxParts {
			t.Errorf("PartSize(%d) = %d", size, part)
		}
	}
	var sum int64
	for n := 1; n <= vitrine.MaxParts; n++ {
		size := vitrine.GrowingPartSize(n)
		if size < vitrine.MinPartSize || size > 1<<30 {
			t.Fatalf("GrowingPartSize(%d) = %d", n, size)
		}
		sum += size
	}
	if sum < 100<<30 {
		t.Errorf("a growing object has room for %d bytes", sum)
	}
}
