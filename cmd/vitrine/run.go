package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vitrine"
	"vitrine/publish"
)

// consoleLog is the path of the artifact that holds a command's output.
const consoleLog = "console.log"

const (
	// sayEvery is the time between the lines that say a quiet command runs.
	sayEvery = time.Minute
	// stopWithin is how long a command may take to end after a signal, and its
	// output to end after it.
	stopWithin = 30 * time.Second
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run --job NAME [flags] -- COMMAND [ARG…]",
		Short: "Run a command, seal its output as it comes, and publish it",
		Long: `run runs a command and publishes what it prints as console.log, sealed as it
comes, with the result SUCCESS or FAILURE by how it ended. It exits as the
command did. If something about keys is wrong the command is not run; if the
server can't be reached it is, and its log is kept: publish --resume sends it.

A CI's console is public: unless standard output is a terminal, or --echo is
given, the command's output is not shown.`,
		Example: `  vitrine run --job deploy-web -- ansible-playbook deploy.yaml
  vitrine run --job deploy-web --artifact screenshots -- make deploy`,
		Args: cobra.MinimumNArgs(1),
		RunE: runAndPublish,
	}
	jobFlags(cmd)
	cmd.Flags().Bool("echo", term.IsTerminal(int(os.Stdout.Fd())), "show the command's output")
	cmd.Flags().StringArray("artifact", nil, "`path` of a file or directory to publish beside the output; repeatable")
	// What follows the command's name is the command's.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func runAndPublish(cmd *cobra.Command, args []string) error {
	p, err := newPublishing(cmd)
	if err != nil {
		return err
	}
	defer p.close()
	p.bar.end() // the terminal is the command's
	// An interrupt ends the command, and what it printed is published then.
	ctx := context.WithoutCancel(cmd.Context())
	b, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	log, err := b.Create(consoleLog)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("build %s has run already: publish --resume sends it", b.UUID())
	} else if err != nil {
		return err
	}
	out := &console{log: log}
	if echo, _ := cmd.Flags().GetBool("echo"); echo {
		out.echo = os.Stdout
	}
	outcome, code := runChild(cmd.Context(), args, out)
	if err := out.close(); err != nil {
		fmt.Fprintf(os.Stderr, "vitrine: the output could not be sealed: %v\n", err)
		outcome.ErrorDetail = strings.TrimSpace(outcome.ErrorDetail + " the output could not be sealed whole")
	}
	if err := addBeside(ctx, cmd, p, b); err != nil {
		fmt.Fprintf(os.Stderr, "vitrine: published without the files beside the output: %v\n", err)
	}
	if err := b.Finish(ctx, outcome); err != nil {
		fmt.Fprintf(os.Stderr, "vitrine: %v\n", err)
	} else if p.address != nil {
		fmt.Fprintf(os.Stderr, "vitrine: published %s\n", p.address(b.UUID()))
	}
	return &exitError{code}
}

// addBeside publishes the files that --artifact names.
func addBeside(ctx context.Context, cmd *cobra.Command, p *publishing, b *publish.Build) error {
	paths, _ := cmd.Flags().GetStringArray("artifact")
	if len(paths) == 0 {
		return nil
	}
	files, err := p.plan(paths)
	if err != nil {
		return err
	}
	return b.Add(ctx, files)
}

// runChild runs the command with its output into out, and says how it ended, and
// with which code a shell would.
func runChild(ctx context.Context, args []string, out *console) (publish.Outcome, int) {
	child := exec.CommandContext(ctx, args[0], args[1:]...)
	child.Env = childEnvironment()
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, out, out // one writer: the order is kept
	child.WaitDelay = stopWithin
	if runtime.GOOS != "windows" {
		child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	}
	stopSaying := out.sayProgress()
	err := child.Run()
	stopSaying()

	outcome := publish.Outcome{Result: vitrine.Failure, End: time.Now()}
	state := child.ProcessState
	switch {
	case state == nil && errors.Is(err, fs.ErrPermission):
		outcome.ErrorDetail = err.Error()
		fmt.Fprintf(os.Stderr, "vitrine: %v\n", err)
		return outcome, 126
	case state == nil:
		outcome.ErrorDetail = err.Error()
		fmt.Fprintf(os.Stderr, "vitrine: %v\n", err)
		return outcome, 127
	case ctx.Err() != nil:
		outcome.Result = vitrine.Aborted
	case state.Success():
		outcome.Result = vitrine.Success
		return outcome, 0
	}
	outcome.ErrorDetail = state.String()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return outcome, 128 + int(status.Signal())
	}
	return outcome, state.ExitCode()
}

// childEnvironment is vitrine's own environment without what opens or signs.
func childEnvironment() []string {
	var keep []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VITRINE_KEY=") && !strings.HasPrefix(v, "VITRINE_KEY_PASSPHRASE=") && !strings.HasPrefix(v, "VITRINE_IDENTITY=") {
			keep = append(keep, v)
		}
	}
	return keep
}

// A console takes a command's output. Whatever goes wrong with sealing, it never
// stops the command.
type console struct {
	log  io.WriteCloser
	echo io.Writer // nil: nothing is shown

	mu    sync.Mutex
	err   error
	bytes int64
	lines int64
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += int64(len(b))
	c.lines += int64(bytes.Count(b, []byte("\n")))
	if c.err == nil {
		_, c.err = c.log.Write(b)
	}
	if c.echo != nil {
		c.echo.Write(b)
	}
	return len(b), nil
}

func (c *console) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.err, c.log.Close())
}

// sayProgress prints a line now and then if the output is not shown, until the
// function that it returns is called.
func (c *console) sayProgress() (stop func()) {
	if c.echo != nil {
		return func() {}
	}
	start, done := time.Now(), make(chan struct{})
	go func() {
		tick := time.NewTicker(sayEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				c.mu.Lock()
				fmt.Fprintf(os.Stderr, "vitrine: running for %s: %d lines sealed\n", time.Since(start).Round(time.Second), c.lines)
				c.mu.Unlock()
			}
		}
	}()
	return func() { close(done) }
}
