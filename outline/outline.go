// Package outline tells what the lines of a log are: plays, tasks, groups, errors,
// warnings, and when they were written. It knows Ansible's output, the group
// marks of CI systems, and what is common to most programs.
//
// It looks at a line at a time and keeps nothing of it. It must never fail, whatever
// bytes a line is, or take a time that grows faster than its length.
package outline

import "time"

// A Kind is what a line is.
type Kind string

// Kinds of lines.
const (
	Plain    Kind = ""
	Play     Kind = "play"  // PLAY [NAME] ***
	Task     Kind = "task"  // TASK [NAME] ***
	Group    Kind = "group" // ::group::NAME, --- NAME, section_start: and the like begin one
	GroupEnd Kind = "endgroup"
	Failed   Kind = "failed" // fatal: [HOST]: …, failed: [HOST] …
	Error    Kind = "error"
	Warning  Kind = "warning"
	Recap    Kind = "recap" // PLAY RECAP, and the hosts below it
)

// A Line is what is known of a line.
type Line struct {
	Kind Kind
	Name string    // of a play, task, group or host; without escape sequences, at most 255 bytes
	Time time.Time // zero if the line has none
}

// Of tells what a line is, which may have colours and a time before it.
func Of(line []byte) Line { return Line{} }

// TimeOf is the time at the beginning of a line, or zero.
func TimeOf(line []byte) time.Time { return time.Time{} }
