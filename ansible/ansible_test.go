package ansible

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

// A real output of Ansible's json callback.
func TestRealOutput(t *testing.T) {
	f, err := os.Open("../testdata/logs/codesearch-output.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o, err := Read(f)
	if err != nil || o.Incomplete {
		t.Fatalf("incomplete %v, error %v", o, err)
	}
	if want := []Host{{Name: "codesearch01.example.org", OK: 14}}; !reflect.DeepEqual(o.Recap, want) {
		t.Errorf("recap %+v, want %+v", o.Recap, want)
	}
	plays := o.Playbooks[0].Plays
	if len(o.Playbooks) != 1 || len(plays) != 2 || len(plays[0].Tasks) != 2 || len(plays[1].Tasks) != 13 {
		t.Fatalf("%+v", o.Playbooks)
	}
	first := plays[0].Tasks[0]
	if plays[1].Name != "Deploy codesearch" || first.Name != "Create the directories" || first.Took != 1183888*time.Microsecond ||
		first.Failed() || !reflect.DeepEqual(first.Hosts, []Result{{"codesearch01.example.org", OK, ""}}) {
		t.Errorf("%+v", first)
	}
}

// zuulOutput is of Zuul's shape: a list of playbooks.
const zuulOutput = `[
{"branch":"master","index":"0","phase":"pre","playbook":"opendev.org/x/playbooks/pre.yaml","plays":[
  {"play":{"name":"all"},"tasks":[
    {"hosts":{"web02":{"unreachable":true,"msg":"Failed to connect"},"web01":{"changed":true}},"task":{"name":"Install","duration":{"start":"x","end":7}}},
    {"hosts":{"web01":{"skipped":true},"web03":{"failed":false}},"task":{"name":"Maybe"}}]}],
 "stats":{"web01":{"ok":1,"changed":1,"failures":0,"skipped":1,"unreachable":0},"web02":{"unreachable":1}},"trusted":false},
{"phase":"run","playbook":"run.yaml","plays":[
  {"play":{"name":"deploy"},"tasks":[
    {"hosts":{"web01":{"failed":true,"msg":"One or more items failed","results":[{"failed":false,"msg":"fine"},{"failed":true,"_ansible_item_label":"b","msg":"no space"},7]}},"task":{"name":"Copy"}},
    {"hosts":{"web01":{"failed":true,"msg":"non-zero return code","rc":2,"stderr":"boom\n","stdout":"x"}},"task":{"name":"Run"}}]}],
 "stats":{"web01":{"ok":2,"failures":1,"rescued":1,"ignored":1,"skipped":"many","changed":-4}}}]`

func TestZuulOutput(t *testing.T) {
	o, err := Read(iotest.OneByteReader(strings.NewReader(zuulOutput)))
	if err != nil || o.Incomplete {
		t.Fatalf("%+v, error %v", o, err)
	}
	want := &Output{
		Playbooks: []Playbook{
			{Path: "opendev.org/x/playbooks/pre.yaml", Phase: "pre", Plays: []Play{{Name: "all", Tasks: []Task{
				{Name: "Install", Hosts: []Result{{"web01", Changed, ""}, {"web02", Unreachable, "Failed to connect"}}},
				{Name: "Maybe", Hosts: []Result{{"web01", Skipped, ""}, {"web03", OK, ""}}},
			}}}},
			{Path: "run.yaml", Phase: "run", Plays: []Play{{Name: "deploy", Tasks: []Task{
				{Name: "Copy", Hosts: []Result{{"web01", Failed, "One or more items failed\nb: no space"}}},
				{Name: "Run", Hosts: []Result{{"web01", Failed, "non-zero return code\nboom"}}},
			}}}},
		},
		Recap: []Host{
			{Name: "web01", OK: 3, Changed: 1, Failed: 1, Skipped: 1, Rescued: 1, Ignored: 1},
			{Name: "web02", Unreachable: 1},
		},
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got  %+v\nwant %+v", o, want)
	}
	// Whatever breaks off counts as far as it came, and says so.
	cut := zuulOutput[:strings.Index(zuulOutput, `"stats"`)]
	if o, err = Read(strings.NewReader(cut)); err != nil || !o.Incomplete || !reflect.DeepEqual(o.Recap, []Host{
		{Name: "web01", OK: 1, Changed: 1, Skipped: 1}, {Name: "web02", Unreachable: 1}, {Name: "web03", OK: 1},
	}) {
		t.Errorf("broken off: %+v, error %v", o, err)
	}
}

func TestNotAnsible(t *testing.T) {
	for _, text := range []string{
		"", "7", "null", "[]x", `"plays"`, "[1,2]", `[{"a":1},{"plays":[]}]`, `{"plays":7}`, `{"plays":{"play":[]}}`, "{}", "[]",
		`{"a":` + strings.Repeat("[", 100_000),
	} {
		if o, err := Read(strings.NewReader(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%.40q: %+v, error %v", text, o, err)
		}
	}
	gone := errors.New("gone")
	if _, err := Read(iotest.ErrReader(gone)); !errors.Is(err, gone) || errors.Is(err, ErrFormat) {
		t.Errorf("error %v, want the source's", err)
	}
	if o, err := Read(strings.NewReader(`{"plays":[]}`)); err != nil || o.Incomplete {
		t.Errorf("no plays: %+v, %v", o, err)
	}
}

// What a host sends may be large, many or of another kind than it should be.
func TestHostileOutput(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"plays":[{"play":{"name":["a"]},"tasks":[`)
	for i := range MaxTasks + 50 {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"hosts":{"h%d":{"failed":true,"msg":%q,"results":{"failed":true}},"x":7,"y":[],"z":null},"task":{"name":%q}}`,
			i, strings.Repeat("é", 3000/(1+i/50)), strings.Repeat("W", 400))
	}
	b.WriteString(`]},{"play":7,"tasks":[]}],"stats":{`)
	for i := range MaxHosts + 50 {
		fmt.Fprintf(&b, `"h%d":{"ok":99999999999999999999},`, i)
	}
	b.WriteString(`"last":[]}}`)
	o, err := Read(strings.NewReader(b.String()))
	if err != nil || !o.Incomplete {
		t.Fatalf("error %v", err)
	}
	bytes := 0
	tasks := o.Playbooks[0].Plays[0].Tasks
	for _, task := range tasks {
		for _, h := range task.Hosts {
			bytes += len(h.Message)
			if !utf8.ValidString(h.Message) || len(h.Message) > MaxMessage {
				t.Fatalf("message of %d bytes: %q", len(h.Message), h.Message)
			}
		}
	}
	if len(tasks) > MaxTasks || bytes > maxMessages || len(o.Recap) != MaxHosts || len(tasks[0].Name) != maxName || o.Playbooks[0].Plays[0].Name != `["a"]` {
		t.Errorf("%d tasks, %d bytes of messages, %d hosts, a name of %d bytes", len(tasks), bytes, len(o.Recap), len(tasks[0].Name))
	}
	// What lies beyond the bound of bytes is not read.
	endless := strings.NewReader(`{"plays":[{"tasks":[{"task":{"name":"a"},"hosts":{}}]},{"play":{"name":"` + strings.Repeat("x", MaxBytes))
	if o, err := Read(endless); err != nil || !o.Incomplete || o.Playbooks[0].Plays[0].Tasks[0].Name != "a" {
		t.Errorf("%+v, error %v", o, err)
	}
}

// What is kept of a file is not a part of what was read: that would keep all of it.
func TestKeepsLittle(t *testing.T) {
	huge := strings.Repeat("h", MaxBytes/4)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, text := range []string{
		`{"plays":[],"stats":{"` + huge + `":{"ok":1}}}`,
		`{"plays":[{"play":{"name":"` + huge + `"},"tasks":[{"task":{"name":"` + huge + `"},"hosts":{"` + huge + `":{}}}]}]}`,
		`{"playbook":"` + huge + `","plays":[]}`,
		`{"plays":[{"tasks":[{"task":{"name":"a"},"hosts":{"a":{"failed":true,"msg":"` + huge + `"}}}]}]}`,
	} {
		before := heap()
		o, err := Read(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if after := heap(); after > before+64<<10 {
			t.Errorf("%.40s: %d bytes are kept", text, after-before)
		}
		runtime.KeepAlive(o)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(zuulOutput)
	f.Add(`{"plays":[{"tasks":[{"hosts":{"a":{"failed":true,"results":[7,{"failed":true}]}},"task":{}}]}]}`)
	f.Add(`[{"plays":[],"stats":{"a":{"ok":1}}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Read(strings.NewReader(text))
		if (o == nil) == (err == nil) {
			t.Fatalf("%v and %v", o, err)
		}
		if o == nil {
			return
		}
		for _, p := range o.Playbooks {
			for _, play := range p.Plays {
				for _, task := range play.Tasks {
					for _, h := range task.Hosts {
						if !utf8.ValidString(h.Message+h.Host+task.Name+play.Name) || len(h.Message) > MaxMessage {
							t.Fatalf("%+v", h)
						}
					}
				}
			}
		}
	})
}
