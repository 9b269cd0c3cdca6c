package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"vitrine/crypto"
)

// Who gives a prompt up has a terminal afterwards that shows what is typed, and has
// said so once.
func TestPromptIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	pass, err := age.NewScryptRecipient("sesame")
	if err != nil {
		t.Fatal(err)
	}
	pass.SetWorkFactor(2)
	var key, sealed bytes.Buffer
	k, err := age.Encrypt(&key, pass)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(k, id)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := crypto.Seal(&sealed, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	keyFile, sealedFile := filepath.Join(dir, "key.age"), filepath.Join(dir, "a.log.zst.age")
	for name, text := range map[string][]byte{keyFile: key.Bytes(), sealedFile: sealed.Bytes()} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	terminal, tty := openTerminal(t)
	cmd := exec.Command(os.Args[0], "open", "-i", keyFile, "-o", "-", sealedFile)
	cmd.Env = append(os.Environ(), runAsVitrine+"=1", "GORACE="+raceExitsAtOnce)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for told := ""; !strings.Contains(told, "passphrase"); {
		var piece [256]byte
		n, err := terminal.Read(piece[:])
		if err != nil {
			t.Fatalf("%q, %v", told, err)
		}
		told += string(piece[:n])
	}
	for echoes(t, tty) { // until it reads
		time.Sleep(time.Millisecond)
	}
	if _, err := terminal.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("it ends with %v, want %d", err, exitInterrupted)
	}
	if !echoes(t, tty) {
		t.Error("what is typed is not shown any more")
	}
}

// openTerminal returns both sides of a terminal: that of its user, and that of
// programs.
func openTerminal(t *testing.T) (terminal, tty *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return terminal, tty
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// How far something is does not write over a prompt.
func TestNoBarOverAPrompt(t *testing.T) {
	terminal, tty := openTerminal(t)
	stderr := os.Stderr
	os.Stderr = tty
	defer func() { os.Stderr = stderr }()
	t.Setenv("TERM", "xterm")
	b := newBar("get", 1, 10)
	unprompt.Store(new(func()))
	b.add(5)
	fmt.Fprint(tty, "passphrase: ")
	unprompt.Store(nil)
	b.add(5)
	var shown [256]byte
	if n, err := terminal.Read(shown[:]); err != nil || !strings.HasPrefix(string(shown[:n]), "passphrase: ") {
		t.Errorf("the terminal shows %q, %v", shown[:n], err)
	}
}
