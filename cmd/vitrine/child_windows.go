package main

import (
	"os"
	"os/exec"
	"syscall"
)

func ownGroup(*exec.Cmd) (own bool) { return false }

func ownSession(child *exec.Cmd) {
	child.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// signalChild ends the child: Windows has no signals to ask it with.
func signalChild(child *exec.Cmd, _ bool, _ os.Signal) { child.Process.Kill() }

func endedBy(*os.ProcessState) (number int, ok bool) { return 0, false }
