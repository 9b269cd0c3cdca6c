package ansible

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A reader walks the file down to the results of hosts, which are decoded one at
// a time, and notes what it meets. Keys may come in any order; Ansible sorts them.
type reader struct {
	dec   *json.Decoder
	out   *Output
	recap map[string]*Host
	found bool // a list of plays: it is Ansible's

	groups, tasks, results, messages int // kept so far
}

var errShape = errors.New("a value is of another kind than in Ansible's output")

func (r *reader) file() error {
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		return r.playbook()
	case json.Delim('['):
		for r.dec.More() {
			if err := r.open('{'); err != nil {
				return err
			}
			if err := r.playbook(); err != nil {
				return err
			}
			if !r.found {
				return errShape
			}
		}
		return r.end()
	}
	return errShape
}

// open takes the beginning of an object or a list.
func (r *reader) open(d json.Delim) error {
	t, err := r.dec.Token()
	if err == nil && t != d {
		err = errShape
	}
	return err
}

// end takes what ends an object or list.
func (r *reader) end() error {
	_, err := r.dec.Token()
	return err
}

// object calls field for each key of an object that is open, to take its value.
func (r *reader) object(field func(key string) error) error {
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return errShape
		}
		if err := field(key); err != nil {
			return err
		}
	}
	return r.end()
}

// list calls item for each object of a list that comes next, when it is open.
func (r *reader) list(item func() error) error {
	if err := r.open('['); err != nil {
		return err
	}
	r.found = true // the first list that is looked at is one of plays
	for r.dec.More() {
		if err := r.open('{'); err != nil {
			return err
		}
		if err := item(); err != nil {
			return err
		}
	}
	return r.end()
}

// value decodes a value; what does not fit its type stays as it is.
func (r *reader) value(v any) error {
	err := r.dec.Decode(v)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return nil
	}
	return err
}

func (r *reader) skip() error {
	var any ignored
	return r.dec.Decode(&any)
}

type ignored struct{}

func (*ignored) UnmarshalJSON([]byte) error { return nil }

// room reports whether one more may be kept, and counts it.
func (r *reader) room(n *int, most int) bool {
	if *n >= most {
		r.out.Incomplete = true
		return false
	}
	*n++
	return true
}

func (r *reader) playbook() error {
	at := len(r.out.Playbooks)
	kept := r.room(&r.groups, maxGroups)
	if kept {
		r.out.Playbooks = append(r.out.Playbooks, Playbook{})
	}
	set := func(f func(p *Playbook)) {
		if kept {
			f(&r.out.Playbooks[at])
		}
	}
	counted := make(map[string]*Host)
	hasStats := false
	err := r.object(func(key string) error {
		switch key {
		case "playbook", "phase":
			var s text
			err := r.value(&s)
			set(func(p *Playbook) {
				if key == "phase" {
					p.Phase = s.cut(maxName)
				} else {
					p.Path = s.cut(maxName)
				}
			})
			return err
		case "plays":
			return r.list(func() error {
				play, err := r.play(counted)
				if kept && r.room(&r.groups, maxGroups) {
					set(func(p *Playbook) { p.Plays = append(p.Plays, play) })
				}
				return err
			})
		case "stats":
			hasStats = true
			return r.stats()
		}
		return r.skip()
	})
	if !hasStats { // the file breaks off before them
		for _, h := range counted {
			r.add(*h)
		}
	}
	return err
}

func (r *reader) play(counted map[string]*Host) (Play, error) {
	var p Play
	err := r.object(func(key string) error {
		switch key {
		case "play":
			var about struct{ Name text }
			err := r.value(&about)
			p.Name = about.Name.cut(maxName)
			return err
		case "tasks":
			return r.list(func() error {
				t, whole, err := r.task(counted)
				if whole && r.room(&r.tasks, MaxTasks) {
					p.Tasks = append(p.Tasks, t)
				}
				return err
			})
		}
		return r.skip()
	})
	return p, err
}

// task reads a task; whole says that its name was read.
func (r *reader) task(counted map[string]*Host) (t Task, whole bool, err error) {
	err = r.object(func(key string) error {
		switch key {
		case "task":
			var about struct {
				Name     text
				Duration struct{ Start, End text }
			}
			err := r.value(&about)
			t.Name, whole = about.Name.cut(maxName), err == nil
			start, err1 := time.Parse(time.RFC3339Nano, string(about.Duration.Start))
			end, err2 := time.Parse(time.RFC3339Nano, string(about.Duration.End))
			if err1 == nil && err2 == nil && end.After(start) {
				t.Took = end.Sub(start)
			}
			return err
		case "hosts":
			if err := r.open('{'); err != nil {
				return err
			}
			return r.object(func(name string) error {
				var d details
				if err := r.value(&d); err != nil {
					return err
				}
				h := Result{Host: text(name).cut(maxName), Status: d.status()}
				if len(counted) < MaxHosts || counted[h.Host] != nil {
					if counted[h.Host] == nil {
						counted[h.Host] = &Host{Name: h.Host}
					}
					counted[h.Host].count(h.Status)
				}
				if h.Status == Failed || h.Status == Unreachable {
					h.Message = text(d.message()).cut(min(MaxMessage, maxMessages-r.messages))
					r.messages += len(h.Message)
				}
				if r.room(&r.results, MaxResults) {
					t.Hosts = append(t.Hosts, h)
				}
				return nil
			})
		}
		return r.skip()
	})
	slices.SortFunc(t.Hosts, func(a, b Result) int { return strings.Compare(a.Host, b.Host) })
	return t, whole, err
}

func (h *Host) count(s Status) {
	switch s {
	case OK:
		h.OK++
	case Changed:
		h.OK++ // as in Ansible's recap, where changed ones are among those that are ok
		h.Changed++
	case Skipped:
		h.Skipped++
	case Failed:
		h.Failed++
	case Unreachable:
		h.Unreachable++
	}
}

func (r *reader) stats() error {
	if err := r.open('{'); err != nil {
		return err
	}
	return r.object(func(name string) error {
		var s struct{ OK, Changed, Unreachable, Failures, Skipped, Rescued, Ignored number }
		err := r.value(&s)
		r.add(Host{text(name).cut(maxName), int(s.OK), int(s.Changed), int(s.Unreachable), int(s.Failures), int(s.Skipped), int(s.Rescued), int(s.Ignored)})
		return err
	})
}

// add adds to the recap.
func (r *reader) add(h Host) {
	o := r.recap[h.Name]
	if o == nil {
		if len(r.recap) >= MaxHosts {
			r.out.Incomplete = true
			return
		}
		o = &Host{Name: h.Name}
		r.recap[h.Name] = o
	}
	o.OK, o.Changed, o.Unreachable, o.Failed = o.OK+h.OK, o.Changed+h.Changed, o.Unreachable+h.Unreachable, o.Failed+h.Failed
	o.Skipped, o.Rescued, o.Ignored = o.Skipped+h.Skipped, o.Rescued+h.Rescued, o.Ignored+h.Ignored
}

// details are the parts of a host's result that tell how it went. A module may
// put anything there, so nothing of it is required, or required to be of a kind.
type details struct {
	Changed, Failed, Skipped, Unreachable flag

	Msg, Reason, Censored, Exception text
	Stderr, Stdout                   text
	ModuleStderr                     text  `json:"module_stderr"`
	ModuleStdout                     text  `json:"module_stdout"`
	Results                          items `json:"results"`
}

func (d *details) status() Status {
	switch {
	case bool(d.Unreachable):
		return Unreachable
	case bool(d.Failed):
		return Failed
	case bool(d.Skipped):
		return Skipped
	case bool(d.Changed):
		return Changed
	}
	return OK
}

// message is why it failed, as far as the result says: its message, those of the
// items that failed, and the last lines that were printed.
func (d *details) message() string {
	var parts []string
	add := func(t text) {
		if s := strings.TrimSpace(string(t)); s != "" && !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	add(d.Msg)
	for _, i := range d.Results {
		add(i)
	}
	add(d.Reason)
	add(d.Censored)
	for _, printed := range []text{d.Stderr, d.ModuleStderr, d.Exception, d.Stdout, d.ModuleStdout} {
		if printed != "" {
			add(printed.end(MaxMessage / 2))
			break
		}
	}
	return strings.Join(parts, "\n")
}

// items are the messages of the items of a loop that failed.
type items []text

const maxItems = 10

func (l *items) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	for dec.More() && len(*l) < maxItems {
		var i struct {
			Failed       flag
			Msg, Stderr  text
			Label        text `json:"_ansible_item_label"`
			FailedReason text `json:"reason"`
		}
		if err := dec.Decode(&i); err != nil {
			return nil // it is valid JSON, but no list of items
		}
		if i.Failed {
			*l = append(*l, text(fmt.Sprintf("%s: %s", i.Label.cut(maxName), firstOf(i.Msg, i.Stderr, i.FailedReason).cut(MaxMessage/4))))
		}
	}
	return nil
}

func firstOf(ts ...text) text {
	for _, t := range ts {
		if t != "" {
			return t
		}
	}
	return ""
}

// The types below take any value: a host is not to be able to break the page by
// a number where a text is usual.

type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	*f = string(b) == "true"
	return nil
}

type number int

func (n *number) UnmarshalJSON(b []byte) error {
	var i int32
	if json.Unmarshal(b, &i) == nil && i > 0 {
		*n = number(i)
	}
	return nil
}

// text is a string, or the JSON of what is there in its place.
type text string

// maxText bounds what is kept of a text before it is cut.
const maxText = 64 << 10

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	switch {
	case string(b) == "null":
	case json.Unmarshal(b, &s) == nil:
		// The end is kept: there a program says why it failed.
		*t = text(strings.Clone(s[max(0, len(s)-maxText):]))
	default:
		*t = text(b[:min(len(b), maxText)])
	}
	return nil
}

// cut is the text's first n bytes, in whole characters and valid. It is a copy: a
// part of a text would keep all of it in memory.
func (t text) cut(n int) string {
	s := string(t)
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:max(n, 0)]
	}
	return strings.Clone(strings.ToValidUTF8(s, "\uFFFD"))
}

// end is the text's last lines, of n bytes together at most; at least one line's end.
func (t text) end(n int) text {
	s := strings.TrimSpace(string(t))
	if len(s) <= n {
		return text(s)
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return text("…" + s)
}
