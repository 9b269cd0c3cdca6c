//go:build unix

package remote

import (
	"os"
	"syscall"
)

// onDisk is how much room a file takes, which is less than its size if it has
// holes.
func onDisk(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512
	}
	return info.Size()
}
