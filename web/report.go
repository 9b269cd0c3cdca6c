package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"vitrine/ansible"
)

// What a page shows of Ansible's output. Failures come before the rest where
// there is no room for all.
const (
	maxRecap    = 30
	maxShowTask = 120
	maxResults  = 300 // of hosts, of all tasks
	maxMessages = 6 << 10
)

// A report is Ansible's output as a page shows it.
type report struct {
	shownFile
	Failed   bool
	Summary  string
	Hosts    []ansible.Host // those in trouble first
	HostsCut int
	Plays    []playView
	TasksCut int
}

// A playView is a play with those of its tasks that are shown.
type playView struct {
	Name, Playbook, Phase string
	Failed                bool // a task of it did
	Tasks                 []taskView
}

// A taskView is a task with the hosts that are shown.
type taskView struct {
	Name    string
	Kind    string // as of an outcome, for its mark and colour
	Word    string // how its hosts ended, in sum
	Took    string
	Failed  bool
	Hosts   []hostView
	HostCut int
}

type hostView struct {
	Host, Kind, Word string
	Lines            []string // of the message
	More             bool     // it is longer
}

func reportOf(f shownFile) report {
	r := report{shownFile: f}
	r.recap()
	var tasks, failed int
	for _, b := range f.Ansible.Playbooks {
		for _, p := range b.Plays {
			for _, t := range p.Tasks {
				tasks++
				if t.Failed() {
					failed++
				}
			}
		}
	}
	room := reportRoom{failed: min(failed, maxShowTask), results: maxResults, messages: maxMessages}
	room.others = maxShowTask - room.failed
	shown := 0
	for _, b := range f.Ansible.Playbooks {
		for _, p := range b.Plays {
			v := playView{Name: p.Name, Playbook: b.Path, Phase: b.Phase}
			for _, t := range p.Tasks {
				if room.take(t) {
					v.Tasks = append(v.Tasks, room.view(t))
					v.Failed = v.Failed || t.Failed()
					shown++
				}
			}
			if len(v.Tasks) > 0 {
				r.Plays = append(r.Plays, v)
			}
		}
	}
	r.TasksCut = tasks - shown
	r.Summary = fmt.Sprintf("%s on %s", plural(tasks, "task", "tasks"), plural(len(f.Ansible.Recap), "host", "hosts"))
	return r
}

// recap puts the hosts in trouble first and leaves out what there is no room for.
func (r *report) recap() {
	trouble := func(h ansible.Host) int { return min(1, h.Failed+h.Unreachable) }
	r.Hosts = slices.Clone(r.Ansible.Recap)
	slices.SortStableFunc(r.Hosts, func(a, b ansible.Host) int { return cmp.Compare(trouble(b), trouble(a)) })
	r.Failed = len(r.Hosts) > 0 && trouble(r.Hosts[0]) > 0
	r.HostsCut = max(0, len(r.Hosts)-maxRecap)
	r.Hosts = r.Hosts[:len(r.Hosts)-r.HostsCut]
}

// reportRoom is how much more of a report is shown.
type reportRoom struct{ failed, others, results, messages int }

func (r *reportRoom) take(t ansible.Task) bool {
	n := &r.others
	if t.Failed() {
		n = &r.failed
	}
	*n--
	return *n >= 0
}

var statusKinds = map[ansible.Status]string{
	ansible.OK: "ok", ansible.Changed: "changed", ansible.Skipped: "none", ansible.Failed: "bad", ansible.Unreachable: "bad",
}

// statuses are in the order of how much they say of a task.
var statuses = []ansible.Status{ansible.Unreachable, ansible.Failed, ansible.Changed, ansible.OK, ansible.Skipped}

func (r *reportRoom) view(t ansible.Task) taskView {
	v := taskView{Name: t.Name, Failed: t.Failed(), Kind: "none", Word: "skipped: nothing to do"}
	if t.Took >= time.Second {
		v.Took = duration(t.Took)
	}
	n := make(map[ansible.Status]int)
	for _, h := range t.Hosts {
		n[h.Status]++
	}
	var words []string
	for _, s := range statuses {
		if n[s] == 0 {
			continue
		}
		if words == nil {
			v.Kind = statusKinds[s]
		}
		word := string(s)
		if len(t.Hosts) > 1 {
			word = fmt.Sprintf("%d %s", n[s], s)
		}
		words = append(words, word)
	}
	if words != nil {
		v.Word = strings.Join(words, ", ")
	}
	hosts := slices.Clone(t.Hosts)
	slices.SortStableFunc(hosts, func(a, b ansible.Result) int {
		return cmp.Compare(slices.Index(statuses, a.Status), slices.Index(statuses, b.Status))
	})
	for _, h := range hosts[:min(len(hosts), max(r.results, 0))] {
		w := hostView{Host: h.Host, Kind: statusKinds[h.Status], Word: string(h.Status)}
		w.Lines, w.More = plainLines(h.Message, &r.messages)
		v.Hosts = append(v.Hosts, w)
	}
	r.results -= len(v.Hosts)
	v.HostCut = len(hosts) - len(v.Hosts)
	return v
}
