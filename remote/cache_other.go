//go:build !unix

package remote

import "os"

// onDisk is how much room a file takes at most.
func onDisk(info os.FileInfo) int64 { return info.Size() }
