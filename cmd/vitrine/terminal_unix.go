//go:build !windows

package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const terminalDevice = "/dev/tty"

// readPassword reads a line that is not shown. That of x/term takes the end of what
// is typed (Ctrl-D) for nothing, and for ever reads on from a terminal that is gone.
func readPassword(tty *os.File) (line []byte, err error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, &hidden); err != nil {
		return nil, err
	}
	defer unix.IoctlSetTermios(fd, setTermios, before)
	for piece := make([]byte, 1); ; {
		_, err := tty.Read(piece)
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil && piece[0] == '\n':
			return line, nil
		case err != nil:
			return nil, err
		}
		line = append(line, piece[0])
	}
}
