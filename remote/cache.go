package remote

import "errors"

// A Cache keeps parts of objects in a folder, up to a number of bytes: what was
// read last stays. Several processes may use one folder.
type Cache struct{}

// OpenCache opens a cache, and makes its folder if it is not there.
func OpenCache(dir string, max int64) (*Cache, error) { return nil, errors.ErrUnsupported }
