package remote_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"vitrine/remote"
	"vitrine/test/allocs"
)

func openCache(t testing.TB, dir string, max int64) *remote.Cache {
	t.Helper()
	c, err := remote.OpenCache(dir, max)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// in are the options to read a source by way of a cache.
func (s *source) in(c *remote.Cache) remote.Options {
	sum := sha256.Sum256(s.object)
	return remote.Options{Cache: c, Name: hex.EncodeToString(sum[:]), From: "here"}
}

// cached returns the only file in a cache's folder.
func cached(t testing.TB, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "objects", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	return found[0]
}

// What was fetched once is not asked for again, by another process either; and
// what was not is fetched beside it.
func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by us")
	s := newSource(mib + 5)
	f := s.open(t, s.in(openCache(t, dir, 10*mib)))
	s.read(t, f, 0, 100*kib)
	s.read(t, f, 500*kib, 524*kib+5)
	s.requests()
	f.Close()

	f = s.open(t, s.in(openCache(t, dir, 10*mib)))
	s.read(t, f, 10*kib, 80*kib)
	s.read(t, f, 550*kib, 10)
	if got := s.requests(); got != "" {
		t.Errorf("requests of what is there: %s", got)
	}
	s.read(t, f, 0, mib+5)
	if got := s.requests(); got != "112+384" {
		t.Errorf("requests of the rest: %s", got)
	}
	f.Close()

	f = s.open(t, s.in(openCache(t, dir, 10*mib)))
	s.read(t, f, 0, mib+5)
	if requests, fetched := f.Fetched(); requests+int(fetched) != 0 {
		t.Errorf("all is there: %d requests, %d bytes", requests, fetched)
	}
	for path, want := range map[string]os.FileMode{filepath.Join(dir, "objects"): 0o700, cached(t, dir): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// An object has its place by its hash and where it lies: one elsewhere that only
// claims to have the hash is another.
func TestCacheNames(t *testing.T) {
	c := openCache(t, t.TempDir(), 10*mib)
	s := newSource(mib)
	s.read(t, s.open(t, s.in(c)), 0, 100)
	for name, change := range map[string]func(o *remote.Options){
		"elsewhere":    func(o *remote.Options) { o.From = "there" },
		"another hash": func(o *remote.Options) { o.Name = hex.EncodeToString(make([]byte, 32)) },
		"no hash":      func(o *remote.Options) { o.Name = "" },
		"a short one":  func(o *remote.Options) { o.Name = "00" },
		"none":         func(o *remote.Options) { o.Name = "../../x" },
	} {
		o := s.in(c)
		change(&o)
		s.requests()
		s.read(t, s.open(t, o), 0, 100)
		if got := s.requests(); got != "0+16" {
			t.Errorf("%s: requests %s", name, got)
		}
	}
}

func TestOpenCacheRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dir string
		max int64
	}{{file, 1}, {t.TempDir(), 0}, {t.TempDir(), -1}} {
		if _, err := remote.OpenCache(test.dir, test.max); err == nil {
			t.Errorf("OpenCache(%q, %d): no error", test.dir, test.max)
		}
	}
}

// Whatever becomes of the folder, no wrong byte comes out of it.
func TestDamagedCache(t *testing.T) {
	alter := func(off int64, b ...byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err == nil {
				_, err = file.WriteAt(b, off)
			}
			if err := errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(with func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), with(path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for name, damage := range map[string]func(*testing.T, string){
		"nothing":             func(*testing.T, string) {},
		"a byte":              alter(4096+20000, 1, 2, 3),
		"a block":             alter(4096+3*16*kib, make([]byte, 16*kib)...), // as after a crash
		"its mark":            alter(32+3*8, 9, 9, 9, 9),
		"no mark":             alter(32+3*8, make([]byte, 8)...),
		"another's mark":      alter(32+3*8, 0, 0, 0, 0, 1),
		"the magic":           alter(0, 'x'),
		"the size":            alter(16, 1, 1),
		"the state":           alter(24, 77),
		"not yet whole":       alter(24, 0),
		"cut off":             func(t *testing.T, path string) { os.Truncate(path, 50000) },
		"nearly nothing left": func(t *testing.T, path string) { os.Truncate(path, 3) },
		"nothing left":        func(t *testing.T, path string) { os.Truncate(path, 0) },
		"longer":              func(t *testing.T, path string) { os.Truncate(path, 10*mib) },
		"gone":                replace(func(path string) error { return nil }),
		"a folder":            replace(func(path string) error { return os.Mkdir(path, 0o700) }),
		"a full folder":       replace(func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) }),
		"a link":              replace(func(path string) error { return os.Symlink(elsewhere, path) }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newSource(500 * kib)
			f := s.open(t, s.in(openCache(t, dir, 10*mib)))
			s.read(t, f, 0, 500*kib)
			f.Close()
			damage(t, cached(t, dir))
			for range 2 {
				s.requests()
				f = s.open(t, s.in(openCache(t, dir, 10*mib)))
				s.read(t, f, 0, 500*kib)
				s.read(t, f, 3*16*kib, 16*kib)
				f.Close()
			}
			if got := s.requests(); got != "" && name != "a link" && name != "a folder" && name != "a full folder" {
				t.Errorf("it was not mended: requests %s", got)
			}
		})
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written through a link: %v", err)
	}
}

// An object that is whole and has not its hash is an error, and does not stay.
func TestWrongObject(t *testing.T) {
	dir := t.TempDir()
	s := newSource(mib)
	o := s.in(openCache(t, dir, 10*mib))
	s.object[700*kib] ^= 1
	f := s.open(t, o)
	s.read(t, f, 0, 900*kib) // nobody can know yet
	p := make([]byte, mib)
	if _, err := f.ReadAt(p, 0); !errors.Is(err, remote.ErrWrong) {
		t.Errorf("error %v", err)
	}
	if _, err := f.ReadAt(p[:10], 0); !errors.Is(err, remote.ErrWrong) {
		t.Errorf("later: error %v", err)
	}
	f.Close()
	if left, err := filepath.Glob(filepath.Join(dir, "objects", "*")); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	s.object[700*kib] ^= 1
	s.read(t, s.open(t, o), 0, mib)
}

// What turned out to be another object does not stay in the cache.
func TestForget(t *testing.T) {
	for _, forget := range []bool{false, true} {
		dir := t.TempDir()
		s := newSource(mib)
		f := s.open(t, s.in(openCache(t, dir, 10*mib)))
		s.read(t, f, 0, 10)
		if forget {
			f.Forget()
			s.read(t, f, 500*kib, 10)
		}
		f.Close()
		left, err := filepath.Glob(filepath.Join(dir, "objects", "*"))
		if (len(left) == 0) != forget || err != nil {
			t.Errorf("forget %v: left: %v, %v", forget, left, err)
		}
	}
}

// A wrong object is noticed too when no process alone has fetched all of it: the next one notices.
func TestWrongHalves(t *testing.T) {
	for _, wrong := range []byte{0, 1} {
		s := newSource(mib)
		o := s.in(openCache(t, t.TempDir(), 10*mib))
		s.object[0] ^= wrong
		a, b := s.open(t, o), s.open(t, o)
		s.read(t, b, 500*kib, 10)
		s.read(t, a, 0, 10)
		s.read(t, b, 16*kib, mib-16*kib)
		a.Close()
		b.Close()
		f := s.open(t, o)
		_, err := f.ReadAt(make([]byte, 10), 500*kib)
		if errors.Is(err, remote.ErrWrong) != (wrong == 1) {
			t.Errorf("wrong %d: error %v", wrong, err)
		}
		f.Close()
		s.read(t, s.open(t, o), 0, 10) // it is fetched anew
	}
}

// The cache stays below its bound, and what was read last stays in it.
func TestCacheBound(t *testing.T) {
	dir := t.TempDir()
	const max = 4 * mib
	var sources []*source
	for i := range 20 {
		s := newSource(300 * kib)
		s.object[0] = byte(i)
		sources = append(sources, s)
	}
	past := time.Now().Add(-time.Hour)
	for i, s := range sources {
		c := openCache(t, dir, max)
		f := s.open(t, s.in(c))
		s.read(t, f, 0, 300*kib)
		f.Close()
		f = sources[0].open(t, sources[0].in(c)) // the first is read again and again
		sources[0].read(t, f, 0, 300*kib)
		f.Close()
		if total := sizeOf(t, dir); total > max {
			t.Fatalf("after %d objects: %d bytes", i+1, total)
		}
		// So that the order does not depend on how fine the times of files are.
		files, err := filepath.Glob(filepath.Join(dir, "objects", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.ModTime().After(past.Add(time.Hour - time.Minute)) {
				if err := os.Chtimes(path, past, past.Add(time.Duration(i)*time.Second)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	kept := 0
	for i, s := range sources {
		s.requests()
		c := openCache(t, dir, max)
		f := s.open(t, s.in(c))
		f.ReadAt(make([]byte, 10), 0)
		f.Close()
		if s.requests() == "" {
			kept++
		} else if i == 0 || i > 15 {
			t.Errorf("object %d is not kept", i)
		}
	}
	if kept == len(sources) {
		t.Error("all are kept")
	}
}

// A cache that is opened with a lower bound than before keeps to it at once.
func TestCacheIsTrimmedWhenOpened(t *testing.T) {
	dir := t.TempDir()
	s := newSource(mib)
	f := s.open(t, s.in(openCache(t, dir, 4*mib)))
	s.read(t, f, 0, mib)
	f.Close()
	openCache(t, dir, 4*mib)
	if total := sizeOf(t, dir); total < mib {
		t.Errorf("%d bytes are left below the bound", total)
	}
	openCache(t, dir, 100*kib)
	if total := sizeOf(t, dir); total > 100*kib {
		t.Errorf("%d bytes are left", total)
	}
}

// sizeOf is what the cache's files take on the disk.
func sizeOf(t *testing.T, dir string) (total int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "objects", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += remote.OnDisk(info)
	}
	return total
}

// An object larger than the cache is read all the same, and is kept in part.
func TestLargerThanCache(t *testing.T) {
	dir := t.TempDir()
	s := newSource(5 * mib)
	o := s.in(openCache(t, dir, 2*mib))
	for range 2 {
		f := s.open(t, o)
		s.read(t, f, 0, 5*mib)
		f.Close()
		if total := sizeOf(t, dir); total > 2*mib || total < mib {
			t.Errorf("%d bytes are kept", total)
		}
	}
	if s.requests() == "0+5120 0+5120" {
		t.Error("nothing of it was kept")
	}
}

// Where a file has no holes, what is kept of an object takes as much room as all of it.
func TestCacheWithoutHoles(t *testing.T) {
	remote.WithoutHoles(t)
	dir := t.TempDir()
	const max = 8 * mib
	c := openCache(t, dir, max)
	for i := range 20 {
		for _, size := range []int{900 * kib, 3 * mib} { // a large one is not kept
			s := newSource(size)
			s.object[0] = byte(i)
			f := s.open(t, s.in(c))
			s.read(t, f, 0, 100*kib)
			f.Close()
		}
		files, err := os.ReadDir(filepath.Join(dir, "objects"))
		if err != nil {
			t.Fatal(err)
		}
		var total int64
		for _, file := range files {
			info, err := file.Info()
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
		}
		if total > max || total < 900*kib {
			t.Fatalf("after %d objects: %d bytes in %d files", 2*i+2, total, len(files))
		}
	}
}

// Who ends reading does not wait until all that is kept was held against the hash;
// who opens it next does that.
func TestVerifyEnds(t *testing.T) {
	c := openCache(t, t.TempDir(), 10*mib)
	s := newSource(mib)
	o := s.in(c)
	s.object[5] ^= 1
	ctx, cancel := context.WithCancel(t.Context())
	s.before = func(off, n int64) (io.ReadCloser, error) {
		cancel() // what was asked for comes all the same
		return nil, nil
	}
	f := remote.Open(ctx, s, mib, o)
	f.ReadAt(make([]byte, mib), 0)
	f.Close()
	s.before = nil
	s.requests()
	_, err := s.open(t, o).ReadAt(make([]byte, 10), 0)
	if got := s.requests(); !errors.Is(err, remote.ErrWrong) || got != "" {
		t.Errorf("error %v, requests %q", err, got)
	}
}

// Several processes read and fill one cache, which is too small for all, at once.
func TestCacheOfSeveral(t *testing.T) {
	dir := t.TempDir()
	sources := []*source{newSource(mib), newSource(2*mib + 1), newSource(100)}
	var readers sync.WaitGroup
	for process := range uint64(4) {
		c := openCache(t, dir, 2*mib)
		for reader := range uint64(2) {
			readers.Go(func() {
				random := rand.New(rand.NewPCG(process, reader))
				for range 15 {
					s := sources[random.IntN(len(sources))]
					f := s.open(t, s.in(c))
					for range 5 {
						s.read(t, f, random.IntN(len(s.object)), 1+random.IntN(200*kib))
					}
					f.Close()
				}
			})
		}
	}
	readers.Wait()
}

// A file of the cache may hold anything: it is cut, or has another beginning, or a
// byte somewhere is another.
func FuzzCacheFile(f *testing.F) {
	const size = 40 * kib
	s := newSource(size)
	dir := f.TempDir()
	file := s.open(f, s.in(openCache(f, dir, mib)))
	s.read(f, file, 0, 20*kib)
	file.Close()
	path := cached(f, dir)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	head := good[:56] // header and table
	f.Add(head, uint32(len(good)), uint32(0), byte(0))
	f.Add(head, uint32(100), uint32(5000), byte(1))
	f.Add(bytes.Repeat(head[48:], 7), uint32(len(good)), uint32(5000), byte(1))
	f.Add([]byte("vitrine cache 1\n                        "), uint32(len(good)), uint32(0), byte(0))
	name := filepath.Base(path)
	f.Fuzz(func(t *testing.T, head []byte, cut, at uint32, flip byte) {
		text := bytes.Clone(good)
		copy(text, head)
		text[int(at)%len(text)] ^= flip
		text = text[:min(int(cut), len(text))]
		dir := t.TempDir()
		c := openCache(t, dir, mib)
		if err := os.WriteFile(filepath.Join(dir, "objects", name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := newSource(size)
		options := s.in(c)
		allocs.Check(t, 16*size, func() { // a few times the object, whatever the file says
			f := s.open(t, options)
			s.read(t, f, 10*kib, 20*kib)
			s.read(t, f, 0, size)
			f.Close()
		})
	})
}

// A disk that is full, or fails, is as no cache.
func TestFailingDisk(t *testing.T) {
	s := newSource(mib)
	c := openCache(t, t.TempDir(), 10*mib)
	f := s.open(t, s.in(c))
	s.read(t, f, 0, 10)
	f.FailDisk()
	s.read(t, f, 0, mib)
	f.Close()
	f = s.open(t, s.in(c)) // another object may lie better
	s.read(t, f, 0, mib)
	f.Close()
	s.requests()
	s.read(t, s.open(t, s.in(c)), 0, mib)
	if got := s.requests(); got != "" {
		t.Errorf("requests %s", got)
	}
}

// A link where our folder should be is not followed: the mode of what it leads to
// is not ours to set.
func TestCacheIsNoLink(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Chmod(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "objects")); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.OpenCache(dir, mib); err == nil {
		t.Error("a link was taken for the cache")
	}
	if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("where the link leads: %v, %v", info.Mode(), err)
	}
}
