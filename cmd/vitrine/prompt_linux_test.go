package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"vitrine/crypto"
)

// Who gives a prompt up, or has nothing to say, has a terminal afterwards that shows
// what is typed, and has said so once.
func TestPromptGivenUp(t *testing.T) {
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
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(signer, "", []byte("sesame"))
	if err != nil {
		t.Fatal(err)
	}
	keyFile, sealedFile, signerFile := filepath.Join(dir, "key.age"), filepath.Join(dir, "a.log.zst.age"), filepath.Join(dir, "signer")
	for name, text := range map[string][]byte{keyFile: key.Bytes(), sealedFile: sealed.Bytes(), signerFile: pem.EncodeToMemory(block)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"open", "-i", keyFile, "-o", "-", sealedFile},
		{"publish", "--key", signerFile, "--keyring", "../../testdata/keyring/good/plain/keyring", "--store", dir, "--job", "infra-prod-service-codesearch", "--result", "SUCCESS", sealedFile},
	} {
		code, told := typed(t, "\x03", args...)
		if code != exitInterrupted || strings.Count(told, "interrupted") != 1 {
			t.Errorf("%s, interrupted: %d, want %d: %q", args[0], code, exitInterrupted, told)
		}
		code, told = typed(t, "\x04", args...)
		if code != exitFailed || !strings.Contains(told, "none was given") {
			t.Errorf("%s, nothing given: %d, want %d: %q", args[0], code, exitFailed, told)
		}
	}
}

// typed runs vitrine on a terminal of its own, where keys are typed when it asks for
// a passphrase. It returns how that ended, and what the terminal has shown since.
func typed(t *testing.T, keys string, args ...string) (code int, told string) {
	t.Helper()
	terminal, tty := openTerminal(t)
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAsVitrine+"=1", "GORACE="+raceExitsAtOnce)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const end = "-end-"
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
		fmt.Fprintln(tty, end)
	}()
	read := func(until string) (told string) {
		for piece := make([]byte, 256); !strings.Contains(told, until); {
			if strings.Contains(told, end) {
				t.Fatalf("it ended: %q", told)
			}
			n, err := terminal.Read(piece)
			if err != nil {
				t.Fatalf("%q, %v", told, err)
			}
			told += string(piece[:n])
		}
		return told
	}
	read("passphrase")
	for echoes(t, tty) { // until it reads
		time.Sleep(time.Millisecond)
	}
	if _, err := terminal.WriteString(keys); err != nil {
		t.Fatal(err)
	}
	told = read(end)
	<-ended
	if !echoes(t, tty) {
		t.Error("what is typed is not shown any more")
	}
	return cmd.ProcessState.ExitCode(), told
}

// openTerminal returns both sides of a terminal: that of its user, and that of
// programs.
func openTerminal(t *testing.T) (terminal, tty *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
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

// How far something is does not write over a prompt, nor stand before it.
func TestNoBarOverAPrompt(t *testing.T) {
	terminal, tty := openTerminal(t)
	stderr := os.Stderr
	os.Stderr = tty
	defer func() { os.Stderr = stderr }()
	t.Setenv("TERM", "xterm")
	b := newBar("get", 1, 10)
	defer onLine.Store(nil)
	b.add(5)
	takeLine(func() {})
	b.add(5)
	fmt.Fprint(tty, "passphrase: ")
	unprompt.Store(nil)
	var told string
	for piece := make([]byte, 256); !strings.HasSuffix(told, "passphrase: "); {
		n, err := terminal.Read(piece)
		if err != nil {
			t.Fatalf("%q, %v", told, err)
		}
		told += string(piece[:n])
	}
	if strings.Count(told, "get") != 1 || !strings.HasSuffix(told, "\r\x1b[Kpassphrase: ") {
		t.Errorf("the terminal shows %q", told)
	}
}
