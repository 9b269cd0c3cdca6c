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
	"os/signal"
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
	// stopWithin is how long a command may take to end after a signal: a CI that
	// cancels a job kills vitrine some ten seconds later, and its log with it.
	stopWithin = 8 * time.Second
	// drainWithin is how long output may come from what a command left running.
	drainWithin = 3 * time.Second
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run --job NAME [flags] -- COMMAND [ARG…]",
		Short: "Run a command, seal its output as it comes, and publish it",
		Long: `run runs a command and publishes what it prints as console.log, sealed as it
comes, with the result SUCCESS or FAILURE by how it ended. It exits as the
command did. If something about keys is wrong the command is not run; if the
server can't be reached it is, and its log is kept: publish --resume sends it.

What the command prints is sent while it runs. Should the machine go away in the
middle, the server shows the build as interrupted, and cat --partial prints what
there is of the log.

A CI's console is public: unless standard output is a terminal, or --echo is
given, the command's output is not shown.`,
		Example: `  vitrine run --job deploy-web -- ansible-playbook deploy.yaml
  vitrine run --job deploy-web --artifact screenshots -- make deploy`,
		Args: cobra.MinimumNArgs(1),
		RunE: runAndPublish,
	}
	jobFlags(cmd)
	cmd.Flags().Bool("echo", term.IsTerminal(int(os.Stdout.Fd())), "show the command's output")
	cmd.Flags().Duration("send-every", 0, "send what is new this often; takes up to 64 KB of the log's size each time; default: 30s")
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
	// From here on a signal ends the command, or then the sending: what the
	// command printed is kept in any case.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	defer signal.Stop(signals)
	ctx := context.WithoutCancel(cmd.Context())
	p.options.SendEvery, _ = cmd.Flags().GetDuration("send-every")
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
	outcome, code := runChild(args, out, signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		<-signals
		cancel()
	}()
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

// runChild runs the command with its output into out, passing signals on, and
// says how it ended, and with which code a shell would.
func runChild(args []string, out *console, signals <-chan os.Signal) (publish.Outcome, int) {
	child := exec.Command(args[0], args[1:]...)
	child.Env = childEnvironment()
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, out, out // one writer: the order is kept
	child.WaitDelay = drainWithin
	own := ownGroup(child)
	if err := child.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "vitrine: %v\n", err)
		outcome := publish.Outcome{Result: vitrine.Failure, End: time.Now(), ErrorDetail: err.Error()}
		if errors.Is(err, fs.ErrPermission) {
			return outcome, 126
		}
		return outcome, 127
	}
	stopSaying := out.sayProgress()
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	signalled := awaitChild(child, own, ended, signals)
	stopSaying()

	outcome := publish.Outcome{Result: vitrine.Failure, End: time.Now()}
	state := child.ProcessState
	switch {
	case state.Success():
		outcome.Result = vitrine.Success
		return outcome, 0
	case signalled:
		outcome.Result = vitrine.Aborted
	}
	outcome.ErrorDetail = state.String()
	if number, ok := endedBy(state); ok {
		return outcome, 128 + number
	}
	return outcome, state.ExitCode()
}

// awaitChild waits for the child to end. The first signal is passed on; another
// one, or the end of the child's time, kills it, and its end what it started.
// On a terminal an interrupt is between the child and whoever pressed the key:
// it has reached the child already, and how often it may is for that to say.
func awaitChild(child *exec.Cmd, own bool, ended <-chan error, signals <-chan os.Signal) (signalled bool) {
	var late <-chan time.Time
	for {
		select {
		case <-ended:
			if signalled && own {
				signalChild(child, own, os.Kill)
			}
			return signalled
		case s := <-signals:
			switch {
			case s == os.Interrupt && !own:
			case late == nil:
				signalChild(child, own, s)
				late = time.After(stopWithin)
			default:
				signalChild(child, own, os.Kill)
			}
			signalled = true
		case <-late:
			signalChild(child, own, os.Kill)
		}
	}
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
