package main

import (
	"os"

	"golang.org/x/term"
)

const terminalDevice = "CONIN$"

func readPassword(tty *os.File) ([]byte, error) { return term.ReadPassword(int(tty.Fd())) }
