package publish

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// openNonBlock is nothing here: named pipes are not files of a folder.
const openNonBlock = 0

// lock takes the one lock on a file, or says at once that another process has it.
func lock(f *os.File) (busy bool, err error) {
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}

// syncDir has no equal on Windows, where a rename is durable by itself.
func syncDir(string) error { return nil }
