// Package ansible reads what ansible-playbook says of a run as JSON: the output
// of its json callback, or Zuul's job-output.json, which is a list of such.
//
// It keeps what a person wants to see of it, hosts, tasks, what failed and why,
// within bounds, whatever the file holds. It must never hold more of a file
// than one value at a time, and never trust it: a host may print anything.
package ansible

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Bounds of what is read and kept of one file.
const (
	MaxBytes    = 16 << 20 // bytes of JSON that are read
	MaxTasks    = 2000     // tasks of all plays
	MaxResults  = 8000     // results of all hosts
	MaxHosts    = 500      // hosts in the recap
	MaxMessage  = 4 << 10  // bytes of the message of one failure
	maxMessages = 64 << 10 // bytes of all messages
	maxName     = 255      // bytes of a name
	maxGroups   = 500      // playbooks and plays
)

// ErrFormat says that a file is not Ansible's output.
var ErrFormat = errors.New("not the JSON output of Ansible")

// An Output is what is known of the runs of one job.
type Output struct {
	Playbooks []Playbook
	// Recap is the sum over all playbooks, by host.
	Recap []Host
	// Incomplete says that the file goes on beyond what was read or kept.
	Incomplete bool
}

// A Playbook is one run of ansible-playbook.
type Playbook struct {
	Path  string // as Zuul has it; empty from Ansible itself
	Phase string // Zuul's: setup, pre, run, post, cleanup; or empty
	Plays []Play
}

// A Play is a play of a playbook, with its tasks in the order they ran.
type Play struct {
	Name  string
	Tasks []Task
}

// A Task is what one task did on its hosts, which are sorted by name.
type Task struct {
	Name  string
	Took  time.Duration // zero if it is not known
	Hosts []Result
}

// Failed reports whether the task failed on a host, or did not reach it.
func (t Task) Failed() bool {
	return slices.ContainsFunc(t.Hosts, func(r Result) bool { return r.Status == Failed || r.Status == Unreachable })
}

// A Status is how a task ended on a host.
type Status string

// What a task may be on a host.
const (
	OK          Status = "ok"
	Changed     Status = "changed"
	Skipped     Status = "skipped"
	Failed      Status = "failed" // also where that was ignored, or rescued: the file does not tell
	Unreachable Status = "unreachable"
)

// A Result is a task on one host.
type Result struct {
	Host    string
	Status  Status
	Message string // why it failed; empty if it did not
}

// A Host counts the results of a host, as Ansible's recap does.
type Host struct {
	Name                                                        string
	OK, Changed, Unreachable, Failed, Skipped, Rescued, Ignored int
}

// Read reads an output of at most [MaxBytes] bytes; of a longer or damaged one,
// what comes before. An error is that of src, or wraps [ErrFormat].
func Read(src io.Reader) (*Output, error) {
	in := &bounded{src: src, left: MaxBytes}
	r := &reader{dec: json.NewDecoder(in), out: new(Output), recap: make(map[string]*Host)}
	err := r.file()
	switch {
	case in.err != nil:
		return nil, fmt.Errorf("read Ansible's output: %w", in.err)
	case !r.found:
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case err != nil:
		r.out.Incomplete = true
	}
	for _, name := range slices.Sorted(maps.Keys(r.recap)) {
		r.out.Recap = append(r.out.Recap, *r.recap[name])
	}
	return r.out, nil
}

// bounded ends after so many bytes, and remembers an error of the source, which
// the decoder would take for one of the text.
type bounded struct {
	src  io.Reader
	left int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.src.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF { // that one is of a file that breaks off
		b.err = err
	}
	return n, err
}
