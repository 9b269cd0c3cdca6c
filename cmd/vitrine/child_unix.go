//go:build !windows

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup gives the child a process group of its own, so that what it started
// can be ended with it. Where there is a terminal it stays in the foreground's
// group: another one could not ask for a password.
func ownGroup(child *exec.Cmd) (own bool) {
	if tty, err := os.Open(terminalDevice); err == nil {
		tty.Close()
		return false
	}
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return true
}

// ownSession takes the child away from the terminal, and its signals from the child.
func ownSession(child *exec.Cmd) { child.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// signalChild sends a signal to the child, and to all it started if it has a
// group of its own.
func signalChild(child *exec.Cmd, own bool, s os.Signal) {
	if number, ok := s.(syscall.Signal); ok && own {
		syscall.Kill(-child.Process.Pid, number)
		return
	}
	child.Process.Signal(s)
}

// endedBy returns the signal that ended a process, if one did.
func endedBy(state *os.ProcessState) (number int, ok bool) {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return 0, false
	}
	return int(status.Signal()), true
}
