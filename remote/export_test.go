package remote

import (
	"os"
	"testing"
)

var OnDisk = onDisk

// WithoutHoles has files take as much room as they are long, in this test.
func WithoutHoles(t *testing.T) {
	sizeOnDisk = os.FileInfo.Size
	t.Cleanup(func() { sizeOnDisk = onDisk })
}

// FailDisk has all later accesses to what the cache has of an object fail.
func (f *File) FailDisk() { f.cache.file.Close() }
