package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"filippo.io/age/plugin"
	"golang.org/x/term"
)

// askPassphrase asks on the terminal, whatever standard input is, until ctx ends.
func askPassphrase(ctx context.Context, prompt string) ([]byte, error) {
	return prompted(ctx, func() ([]byte, error) {
		tty, err := os.OpenFile(terminalDevice, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: there is no terminal to ask for the passphrase on", prompt)
		}
		defer tty.Close()
		fmt.Fprintf(tty, "%s: ", prompt)
		defer fmt.Fprintln(tty)
		passphrase, err := readPassword(tty)
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s: none was given", prompt)
		}
		return passphrase, err
	})
}

// pluginUI is how a plugin, for a hardware key, talks to its owner until ctx ends.
func pluginUI(ctx context.Context) *plugin.ClientUI {
	ui := plugin.NewTerminalUI(
		func(format string, a ...any) { fmt.Fprintf(os.Stderr, "vitrine: "+format+"\n", a...) },
		func(format string, a ...any) { fmt.Fprintf(os.Stderr, "vitrine: warning: "+format+"\n", a...) },
	)
	request, confirm := ui.RequestValue, ui.Confirm
	ui.RequestValue = func(name, message string, secret bool) (string, error) {
		return prompted(ctx, func() (string, error) { return request(name, message, secret) })
	}
	ui.Confirm = func(name, message, yes, no string) (bool, error) {
		return prompted(ctx, func() (bool, error) { return confirm(name, message, yes, no) })
	}
	return ui
}

var (
	prompting sync.Mutex             // held while a prompt has the terminal
	unprompt  atomic.Pointer[func()] // gives the terminal back as it was; nil if none has it
)

// prompted asks for something on the terminal, as ask does, until ctx ends. What is
// typed is mostly not shown meanwhile: whatever ends the prompt, that ends too.
func prompted[T any](ctx context.Context, ask func() (T, error)) (value T, err error) {
	prompting.Lock()
	defer prompting.Unlock()
	tty, err := os.OpenFile(terminalDevice, os.O_RDWR, 0)
	if err != nil {
		return ask() // which says what is wrong, or has another
	}
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		tty.Close()
		return ask()
	}
	restore := func() { term.Restore(int(tty.Fd()), before) }
	takeLine(restore)

	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() { // nothing ends the reading of a terminal but the end of the process
		value, err := ask()
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		unprompt.Store(nil)
		tty.Close()
		return a.value, a.err
	case <-ctx.Done(): // leaveTerminal will do so too: ask may have yet to hide what is typed
		restore()
		return value, ctx.Err()
	}
}

// takeLine gives a prompt the line of the terminal: no bar draws from here on, and
// what one drew goes away.
func takeLine(restore func()) {
	unprompt.Store(&restore)
	onLine.Load().aside(func() {})
}

// leaveTerminal gives the terminal back if a prompt has it that nobody waits for.
func leaveTerminal() {
	if restore := unprompt.Load(); restore != nil {
		(*restore)()
	}
}
