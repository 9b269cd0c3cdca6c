//go:build !windows

package storage

import "syscall"

const errNotDir = syscall.ENOTDIR
