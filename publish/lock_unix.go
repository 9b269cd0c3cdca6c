//go:build !windows

package publish

import (
	"errors"
	"os"
	"syscall"
)

// openNonBlock keeps the opening of a named pipe from waiting for a writer.
const openNonBlock = syscall.O_NONBLOCK

// lock takes the one lock on a file, or says at once that another process has it.
func lock(f *os.File) (busy bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
