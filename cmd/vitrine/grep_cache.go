package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/remote"
)

// cacheFlags gives a command the flags of the cache of what was fetched.
func cacheFlags(cmd *cobra.Command) {
	cmd.Flags().String("cache-size", "2GB", "how much is kept in the cache, at the most: a `size` as 500MB; 0 is --no-cache")
	cmd.Flags().Bool("no-cache", false, "keep nothing that was fetched, and use nothing that was kept")
}

// openCaches opens the caches of stored objects, as sealed as they are, and of
// records, in the user's cache directory; nil if they are not wanted, or can't be
// had, which it tells.
func openCaches(cmd *cobra.Command) (*remote.Cache, *recordCache, error) {
	if none, _ := cmd.Flags().GetBool("no-cache"); none {
		return nil, nil, nil
	}
	text, _ := cmd.Flags().GetString("cache-size")
	size, err := parseSize(text)
	if err != nil {
		return nil, nil, usagef("--cache-size %v", err)
	} else if size == 0 {
		return nil, nil, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return noCache(err)
	}
	dir = filepath.Join(dir, "vitrine")
	objects, err := remote.OpenCache(dir, size)
	if err != nil {
		return noCache(err)
	}
	records, err := openRecordCache(filepath.Join(dir, "records"))
	if err != nil {
		return noCache(err)
	}
	return objects, records, nil
}

// noCache goes on without caches, which make a search faster and nothing else.
func noCache(err error) (*remote.Cache, *recordCache, error) {
	fmt.Fprintf(os.Stderr, "vitrine: nothing is cached: %v\n", err)
	return nil, nil, nil
}

// parseSize parses a number of bytes as people say it.
func parseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "KMGTBkmgtb")
	units := map[string]int64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
	unit := units[strings.ToUpper(text[len(number):])]
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || unit == 0 || int64(n) > (1<<62)/unit {
		return 0, fmt.Errorf("%q: want a size such as 500MB or 2GB", text)
	}
	return int64(n) * unit, nil
}

const (
	// maxCachedRecords bounds how many records are kept, of which each is no
	// larger than maxCachedRecord.
	maxCachedRecords = 10_000
	maxCachedRecord  = 32 << 10
)

// A recordCache keeps signed records, which are public and never change. Nothing
// that it gives was checked: it may have been kept without a keyring. A nil one keeps nothing.
type recordCache struct {
	dir  string
	room atomic.Int64 // for how many more records there is
}

func openRecordCache(dir string) (*recordCache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r := &recordCache{dir: dir}
	return r, r.prune(maxCachedRecords)
}

// prune removes the older half if there are as many as there may be, and sets how
// many more have room then.
func (r *recordCache) prune(most int) error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	r.room.Store(int64(most - len(entries)))
	if len(entries) < most {
		return nil
	}
	type old struct {
		name string
		at   int64
	}
	var all []old
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			all = append(all, old{e.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return int(min(max(a.at-b.at, -1), 1)) })
	for _, o := range all[:len(all)/2] {
		if err := os.Remove(filepath.Join(r.dir, o.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.room.Add(1)
	}
	return nil
}

// file is where the record of the build with a page at an address is kept.
func (r *recordCache) file(page string) string {
	sum := sha256.Sum256([]byte(page))
	return filepath.Join(r.dir, hex.EncodeToString(sum[:])+".json")
}

// get is the record of the build with a page at an address, as far as it is kept.
func (r *recordCache) get(page string) (signed vitrine.SignedRecord) {
	if r == nil {
		return signed
	}
	if text, err := os.ReadFile(r.file(page)); err != nil || json.Unmarshal(text, &signed) != nil {
		return vitrine.SignedRecord{}
	}
	return signed
}

// put keeps a record. That it could not be kept costs time alone.
func (r *recordCache) put(page string, signed vitrine.SignedRecord) {
	text, err := json.Marshal(signed)
	if r == nil || err != nil || len(text) > maxCachedRecord || r.room.Add(-1) < 0 {
		return
	}
	f, err := os.CreateTemp(r.dir, "new-*")
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), r.file(page))
	}
	if err != nil {
		os.Remove(f.Name())
	}
}

// drop forgets a record.
func (r *recordCache) drop(page string) {
	if r != nil {
		os.Remove(r.file(page))
	}
}
