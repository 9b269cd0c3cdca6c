package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vitrine/terminal"
)

// outputFlags gives a command that prints text of logs its --raw and --pager.
func outputFlags(cmd *cobra.Command) {
	rawFlag(cmd)
	cmd.Flags().Bool("pager", false, "show it in a pager: $PAGER, or else less")
}

func rawFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("raw", false, "pass escape sequences of a log on to the terminal as they are: they can do more than colour text")
}

// An output takes text of logs to whoever reads it: as it is to a file or a pipe,
// and to a terminal or a pager as package terminal has it.
type output struct {
	*bufio.Writer
	shown *terminal.Writer // nil if text goes out as it is
	pager *pager           // nil if there is none
}

// openOutput opens standard output, or a pager if the command is to have one. If
// the reader leaves the pager, cancel is called.
func openOutput(cmd *cobra.Command, paged bool, cancel context.CancelFunc) *output {
	if !paged {
		return outputTo(cmd, os.Stdout)
	}
	p := &pager{cancel: cancel}
	out := newOutput(cmd, p, true)
	out.pager = p
	return out
}

// outputTo writes to a file, which may be a terminal.
func outputTo(cmd *cobra.Command, f *os.File) *output {
	return newOutput(cmd, f, term.IsTerminal(int(f.Fd())))
}

func newOutput(cmd *cobra.Command, w io.Writer, shown bool) *output {
	out := new(output)
	if raw, _ := cmd.Flags().GetBool("raw"); shown && !raw {
		out.shown = terminal.NewWriter(w)
		w = out.shown
	}
	out.Writer = bufio.NewWriterSize(w, 64<<10)
	return out
}

// Where text is printed beside numbers, what follows a carriage return begins with
// these, so that it can't pass for a line and its number.
const (
	besideNumber = "      | "    // of cat -n
	besideReason = "         | " // of why
)

// mark sets what is written before what follows a carriage return on a terminal.
func (o *output) mark(prefix string) {
	if o.shown != nil {
		o.shown.Continue(prefix)
	}
}

// end writes what is left, waits until the reader has left the pager, and returns
// the error of what was done: err, or that of the output. That the reader left
// before the end is none.
func (o *output) end(err error) error {
	err = cmp.Or(err, o.Flush())
	if o.shown != nil {
		err = cmp.Or(err, o.shown.Flush())
	}
	if o.pager != nil {
		return o.pager.end(err)
	}
	return err
}

// printText prints text of strangers on standard output.
func printText(cmd *cobra.Command, print func(io.Writer)) error {
	out := openOutput(cmd, false, nil)
	out.mark(besideReason)
	print(out)
	return out.end(nil)
}

// A pager is a program that shows text. It takes no more than it shows, so what
// is written to it need not be there before. It starts with the first text: until
// then the terminal is for prompts and errors.
type pager struct {
	cancel  context.CancelFunc // called when it ends
	command string
	pipe    *os.File      // nil until it has started
	broken  bool          // it takes no more
	done    chan struct{} // closed when it has ended
	err     error         // how, then; or why it could not start
}

// start starts $PAGER, or less.
func (p *pager) start() error {
	p.command, p.done = cmp.Or(strings.TrimSpace(os.Getenv("PAGER")), "less -R"), make(chan struct{})
	words := strings.Fields(p.command)
	if strings.ContainsAny(p.command, "|&;<>()$`\\\"'*?[]#~={}\n") {
		words = []string{"sh", "-c", p.command}
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if _, ok := os.LookupEnv("LESS"); !ok {
		cmd.Env = append(os.Environ(), "LESS=FR") // colours, and no wait for what fits on a screen
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdin = r
	err = cmd.Start()
	r.Close()
	if err != nil {
		w.Close()
		return fmt.Errorf("pager %q: %w", p.command, err)
	}
	p.pipe = w
	// An interrupt is for the pager, which has the terminal: less takes it for the
	// end of a search. It was started before, so it does not ignore it too.
	signal.Ignore(os.Interrupt)
	go func() {
		p.err = cmd.Wait()
		close(p.done)
		p.cancel()
	}()
	return nil
}

func (p *pager) Write(b []byte) (int, error) {
	if p.pipe == nil {
		if err := p.start(); err != nil {
			p.err = err
			return 0, err
		}
	}
	n, err := p.pipe.Write(b)
	p.broken = p.broken || err != nil
	return n, err
}

// end waits until the pager has ended, and returns err, if the reader had not left
// before.
func (p *pager) end(err error) error {
	if p.pipe == nil {
		return cmp.Or(p.err, err)
	}
	select {
	case <-p.done:
		err = nil
	default:
		if p.broken {
			err = nil
		}
	}
	p.pipe.Close()
	<-p.done
	var exit *exec.ExitError
	if p.err == nil || errors.As(p.err, &exit) && exit.ExitCode() < 0 { // by a signal: so it was told to
		return err
	}
	return cmp.Or(err, fmt.Errorf("pager %q: %w", p.command, p.err))
}

// numbered returns a writer that puts the number of each line before it, as cat -n
// does. The first line of what is written is number first.
func numbered(w io.Writer, first int64) io.Writer { return &numberer{w: w, next: first} }

type numberer struct {
	w      io.Writer
	next   int64
	inLine bool
}

func (l *numberer) Write(p []byte) (n int, err error) {
	for line := range strings.Lines(string(p)) {
		if !l.inLine {
			if _, err := fmt.Fprintf(l.w, "%6d\t", l.next); err != nil {
				return n, err
			}
			l.next++
		}
		m, err := io.WriteString(l.w, line)
		n += m
		if err != nil {
			return n, err
		}
		l.inLine = !strings.HasSuffix(line, "\n")
	}
	return n, nil
}
