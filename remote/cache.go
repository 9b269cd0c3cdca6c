package remote

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A Cache keeps parts of objects in a folder, up to a number of bytes: what was
// read last stays. Several processes may use one folder.
//
// A file of it is one object, as far as it was fetched. What a crash or a bad disk
// leaves in it is noticed by checksums, and fetched again. They do not protect
// from somebody who can write to the folder.
type Cache struct {
	root *os.Root
	max  int64

	mu   sync.Mutex
	used map[string]int // how many Files read each object now
	left int64          // bytes that may be written before looking at the folder again
	full bool           // there is no room but that of objects that are being read
}

// OpenCache opens the cache in a folder, in a folder objects of its own, and makes
// both if they are not there. What it keeps takes no more than max bytes, and an
// eighth of that for each further process that fills it at the same time; what is
// in the folder beyond that is removed at once.
func OpenCache(dir string, max int64) (*Cache, error) {
	if max <= 0 {
		return nil, fmt.Errorf("a cache of %d bytes: want more than none", max)
	}
	// A folder of our own in it: who may read that we can say.
	dir = filepath.Join(dir, "objects")
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return nil, err
	}
	if info, err := os.Lstat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() { // through a link it would be another's mode that is set
		return nil, fmt.Errorf("%s is no folder of ours, but a link or a file: remove it", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	c := &Cache{root: root, max: max, used: make(map[string]int)}
	c.trim(max)
	return c, nil
}

// open returns what is kept of the object that a File is of, or nil if it can't be
// kept: then it is read as without a cache. What is whole and has not the hash in
// its name is an error.
func (c *Cache) open(ctx context.Context, o Options, size int64) (*entry, error) {
	if c == nil || size > maxObject {
		return nil, nil
	}
	want, err := hex.DecodeString(o.Name)
	if err != nil || len(want) != sha256.Size {
		return nil, nil
	}
	// Anybody can claim that an object has some hash. So it has to come from the
	// same place too.
	sum := sha256.Sum256([]byte(o.Name + " " + o.From))
	e := &entry{cache: c, name: hex.EncodeToString(sum[:]), hash: [sha256.Size]byte(want), size: size}
	// Before its file is there, so that nobody makes room by removing that.
	c.mu.Lock()
	c.used[e.name]++
	c.full = false
	c.mu.Unlock()
	whole, err := e.open()
	if err != nil {
		c.closed(e.name)
		slog.Debug("not cached", "error", err)
		return nil, nil
	}
	// It was read last now.
	now := time.Now()
	c.root.Chtimes(e.name, now, now)
	if e.missing == 0 && !whole {
		if err := e.verify(ctx); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, nil
}

func (c *Cache) closed(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used[name]--; c.used[name] == 0 {
		delete(c.used, name)
	}
	c.full = false
}

// reserve reports whether n bytes more may be written.
func (c *Cache) reserve(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left < n && !c.full {
		c.left = c.makeRoom()
		c.full = c.left < n
	}
	if c.full {
		return false
	}
	c.left -= n
	return true
}

// stop has nothing more written, as that failed, until another object is read.
func (c *Cache) stop(err error) {
	slog.Debug("no more is cached", "error", err)
	c.mu.Lock()
	c.full = true
	c.mu.Unlock()
}

// makeRoom trims the cache, and returns how much may be written before the next
// call. To look at all files each time would cost too much; so there is room for
// what others write meanwhile.
func (c *Cache) makeRoom() int64 {
	total := c.trim(c.max / 4 * 3)
	return max(0, min(c.max/8, c.max-total))
}

// trim removes what was not read for the longest time until there are no more than
// most bytes, but for what is being read, and returns how many there are.
func (c *Cache) trim(most int64) (total int64) {
	dir, err := c.root.Open(".")
	if err != nil {
		return c.max
	}
	defer dir.Close()
	infos, err := dir.Readdir(-1)
	if err != nil {
		return c.max
	}
	for _, info := range infos {
		total += sizeOnDisk(info)
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range infos {
		if total <= most {
			break
		}
		if c.used[info.Name()] == 0 && info.Mode().IsRegular() && c.root.Remove(info.Name()) == nil {
			total -= sizeOnDisk(info)
		}
	}
	return total
}

// sizeOnDisk is onDisk, but in tests of disks where a file has no holes.
var sizeOnDisk = onDisk

// errDamaged says that a file of the cache is none that we wrote.
var errDamaged = errors.New("damaged")
