package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
)

// ErrWrong says that an object is whole and has not the hash that it must have.
var ErrWrong = errors.New("the object has not the hash that its record says")

// A file of the cache is a header, a table and the blocks of the object at their
// places, as far as they are there; the rest is a hole. Numbers are little-endian.
//
//	header  magic, 16 bytes; size of the object, 8; 1 if its hash was found right, 8
//	table   for each block 8 bytes: its CRC-32C and then 1, or 0 if it is not there
//	blocks  from the next multiple of 4096 on
//
// A block is written before its place in the table. If a crash leaves only the
// latter on the disk, the checksum is wrong.
const (
	cacheMagic = "vitrine cache 1\n"
	headerSize = 32
	markSize   = 8
	maxObject  = 64 << 30 // bytes of an object; its table is read into memory
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An entry is what the cache has of one object.
type entry struct {
	cache *Cache
	name  string
	hash  [sha256.Size]byte // of the whole object
	size  int64             // of the object
	file  *os.File

	mu      sync.Mutex
	missing int64  // blocks that are not there, as far as we know
	there   []bool // those that are
	wrong   error
}

func (e *entry) blocks() int64 { return (e.size + blockSize - 1) / blockSize }

// place is where a block lies in the file.
func (e *entry) place(n int64) int64 {
	return (headerSize+e.blocks()*markSize+4095)/4096*4096 + n*blockSize
}

func (e *entry) header(whole bool) []byte {
	h := append(make([]byte, 0, headerSize), cacheMagic...)
	h = binary.LittleEndian.AppendUint64(h, uint64(e.size))
	if whole {
		return binary.LittleEndian.AppendUint64(h, 1)
	}
	return binary.LittleEndian.AppendUint64(h, 0)
}

// open opens the entry's file, and makes a new one if it is not there or damaged.
// It reports whether the object was whole, and right.
func (e *entry) open() (whole bool, err error) {
	whole, err = e.openFile()
	if errors.Is(err, errDamaged) {
		e.cache.root.Remove(e.name)
		whole, err = e.openFile()
	}
	return whole, err
}

func (e *entry) openFile() (whole bool, err error) {
	e.file, err = e.cache.root.OpenFile(e.name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			e.file.Close()
		}
	}()
	info, err := e.file.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s: %w: it is no file", e.name, errDamaged)
	}
	if info.Size() == 0 { // another process may be as far; it writes the same
		if err := e.makeFile(); err != nil {
			e.cache.root.Remove(e.name)
			return false, err
		}
		if _, err := e.file.WriteAt(e.header(false), 0); err != nil {
			return false, err
		}
	} else if info.Size() != e.place(0)+e.size {
		return false, fmt.Errorf("%s: %w: it has %d bytes", e.name, errDamaged, info.Size())
	}
	head := make([]byte, headerSize+e.blocks()*markSize)
	if _, err := e.file.ReadAt(head, 0); err != nil {
		return false, err
	}
	whole = bytes.Equal(head[:headerSize], e.header(true))
	if !whole && !bytes.Equal(head[:headerSize], e.header(false)) {
		return false, fmt.Errorf("%s: %w: its header is another", e.name, errDamaged)
	}
	e.there, e.missing = make([]bool, e.blocks()), 0
	for i := range e.there {
		e.there[i] = binary.LittleEndian.Uint64(head[headerSize+i*markSize:]) != 0
		if !e.there[i] {
			e.missing++
		}
	}
	return whole, nil
}

// makeFile makes the entry's file as long as it has to be, if there is room for
// what that takes where a file has no holes.
func (e *entry) makeFile() error {
	if err := e.file.Truncate(e.place(0) + e.size); err != nil {
		return err
	}
	info, err := e.file.Stat()
	if err != nil {
		return err
	}
	if n := sizeOnDisk(info); n > 0 && !e.cache.reserve(n) {
		return fmt.Errorf("%s: no room for %d bytes", e.name, n)
	}
	return nil
}

// mark is what the table says of a block that is there. It depends on the block's
// number, so that one at another's place is noticed.
func mark(n int64, data []byte) [markSize]byte {
	var m [markSize]byte
	binary.LittleEndian.PutUint64(m[:], uint64(n))
	sum := crc32.Update(crc32.Checksum(m[:], castagnoli), castagnoli, data)
	binary.LittleEndian.PutUint64(m[:], uint64(sum)|1<<32)
	return m
}

// read returns a block, or nil if it is not there. What others have written in
// the meantime is.
func (e *entry) read(n int64) []byte {
	data := e.load(n)
	if data == nil {
		e.mu.Lock()
		e.lost(n)
		e.mu.Unlock()
	}
	return data
}

// load returns a block, or nil if it is not there, or damaged.
func (e *entry) load(n int64) []byte {
	var m [markSize]byte
	if _, err := e.file.ReadAt(m[:], headerSize+n*markSize); err != nil || m == [markSize]byte{} {
		return nil
	}
	data := make([]byte, min(blockSize, e.size-n*blockSize))
	if _, err := e.file.ReadAt(data, e.place(n)); err != nil || m != mark(n, data) {
		return nil
	}
	return data
}

// lost says that a block is not there, whatever was known. The caller holds mu.
func (e *entry) lost(n int64) {
	if e.there[n] {
		e.there[n] = false
		e.missing++
	}
}

// write keeps a block. Its error is that the object is whole now and wrong.
func (e *entry) write(ctx context.Context, n int64, data []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.there[n] || e.wrong != nil || !e.cache.reserve(blockSize) {
		return e.wrong
	}
	m := mark(n, data)
	_, err := e.file.WriteAt(data, e.place(n))
	if err == nil {
		_, err = e.file.WriteAt(m[:], headerSize+n*markSize)
	}
	if err != nil {
		e.cache.stop(err)
		return nil
	}
	e.there[n] = true
	if e.missing--; e.missing == 0 {
		return e.verify(ctx)
	}
	return nil
}

// verify holds the whole object against its hash, and removes it if it is wrong.
// A block that is not what was written is missing again. If ctx ends before, who
// opens it next verifies it.
func (e *entry) verify(ctx context.Context) error {
	sum := sha256.New()
	for n := range e.blocks() {
		if ctx.Err() != nil {
			return nil
		}
		data := e.load(n)
		if data == nil {
			e.lost(n)
			return nil
		}
		sum.Write(data)
	}
	if got := [sha256.Size]byte(sum.Sum(nil)); got != e.hash {
		e.cache.root.Remove(e.name)
		e.wrong = fmt.Errorf("%w: %x, and it has %x", ErrWrong, e.hash, got)
		return e.wrong
	}
	e.file.WriteAt(e.header(true), 0) // if that fails it is done again
	return nil
}

func (e *entry) close() {
	e.file.Close()
	e.cache.closed(e.name)
}
