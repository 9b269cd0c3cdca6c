package remote

var OnDisk = onDisk

// FailDisk has all later accesses to what the cache has of an object fail.
func (f *File) FailDisk() { f.cache.file.Close() }
