package storage

import "syscall"

// errNotDir is what Windows says of a path through a file.
const errNotDir = syscall.ERROR_PATH_NOT_FOUND
