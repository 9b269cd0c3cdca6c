package web

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"vitrine"
	"vitrine/ansible"
)

// TestPlain is T-8.1 for pages: nothing of a text that was meant for a terminal
// acts, and all that is to be read stays.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31;1mred\x1b[0m b": "ared b", "\x1b]0;title\x07x": "x", "\x1b]8;;https://e\x1b\\link\x1b]8;;\x1b\\": "link",
		"\x1bP+q544e\x1b\\x": "x", "\x1b(Bx": "x", "\x1b[2J\x1b[Hx": "x", "\u009b31mx": "x", "\u009d0;t\u009cx": "x", "x\x1b": "x",
		"x\x1b[": "x", "x\x1b]0;no end\ny": "x\ny", "\x1bcx": "x", "a\tb": "a\tb", "a\r\nb": "a\nb", "\x00\x07\x7f\u0085x": "x",
		"\u202ea\u2066b\u200f": "\ufffda\ufffdb\ufffd", "\xff": "\ufffd", "é👩": "é👩", "\x1b\x1b[1mx": "x",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("\x1b[31mred\x1b]0;t\x07\u009b1m\u202e\r\n")
	f.Add("a\r\x03\r\r\nb")
	f.Fuzz(func(t *testing.T, s string) {
		got := plain(s)
		for _, r := range got {
			if unicode.Is(unicode.Cc, r) && r != '\n' && r != '\t' && r != '\r' || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q: %q has %U", s, got, r)
			}
		}
		if !utf8.ValidString(got) || plain(got) != got {
			t.Fatalf("%q: %q", s, got)
		}
	})
}

func TestPlainLines(t *testing.T) {
	room := 10_000
	lines, more := plainLines("10%\r50%\rdone\nb\n\n", &room)
	if strings.Join(lines, "|") != "done|b" || more {
		t.Errorf("%q, more %v", lines, more)
	}
	lines, more = plainLines(strings.Repeat("a\n", maxLines+1), &room)
	if len(lines) != maxLines || !more {
		t.Errorf("%d lines, more %v", len(lines), more)
	}
	lines, more = plainLines(strings.Repeat("é", maxLine+1), &room)
	if utf8.RuneCountInString(lines[0]) != maxLine+1 || !more {
		t.Errorf("%q, more %v", lines, more)
	}
	room = 3
	if lines, more = plainLines("ab\ncd", &room); len(lines) != 1 || !more {
		t.Errorf("%q, more %v", lines, more)
	}
}

func TestPreviewOf(t *testing.T) {
	for _, c := range []struct {
		path, mediaType string
		want            PreviewKind
	}{
		{"a.png", "", ImagePreview}, {"A.JPG", "text/html", ImagePreview}, {"a.svg", "image/svg+xml", NoPreview}, {"a.avif", "image/avif", NoPreview},
		{"a.html", "text/html; charset=utf-8", FramePreview}, {"a", "TEXT/HTML", FramePreview}, {"a.xhtml", "application/xhtml+xml", NoPreview},
		{"a.log", "text/plain", TextPreview}, {"a", "", NoPreview}, {"job-output.json", "", AnsiblePreview}, {"x.json.gz", "", AnsiblePreview}, {"x.gz", "text/x", TextPreview},
	} {
		a := vitrine.Artifact{Path: c.path, MediaType: c.mediaType}
		if got := PreviewOf(a); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
		a.Sealed = true
		if got := PreviewOf(a); got != NoPreview {
			t.Errorf("%+v, sealed: got %d", c, got)
		}
	}
	var b vitrine.Build
	for i := range 100 {
		for _, name := range []string{"%d.png", "%d.html", "%d.json", "%d.txt"} {
			b.Artifacts = append(b.Artifacts, vitrine.Artifact{Path: fmt.Sprintf(name, i), MediaType: map[bool]string{true: "text/html", false: "text/plain"}[name == "%d.html"]})
		}
	}
	b.Artifacts = append(b.Artifacts, vitrine.Artifact{Path: "job-output.json"})
	b.Artifacts[0].Size, b.Artifacts[1].Size = maxThumbnail+1, MaxFrame+1
	list := Previewed(b)
	if len(list) != maxImages+maxTexts+maxFrames+maxReports || list[0].Path != "job-output.json" {
		t.Errorf("%d files are looked into, first %s", len(list), list[0].Path)
	}
	for _, a := range list {
		if a.Path == "0.png" || a.Path == "0.html" {
			t.Errorf("%s is too large", a.Path)
		}
	}
	b.Expired = testNow
	if len(Previewed(b))+len(Images(b)) != 0 {
		t.Error("what has expired is looked into")
	}
}

func TestTree(t *testing.T) {
	var b vitrine.Build
	for _, p := range []string{"a/b/c/1.log", "a/b/c/2.log.zst.age", "top.txt", "a/d.txt", strings.Repeat("x/", 90) + "deep"} {
		b.Artifacts = append(b.Artifacts, vitrine.Artifact{Path: p, Size: 10, Sealed: strings.HasSuffix(p, ".age")})
	}
	d := document{Layout: testLayout}
	root := d.Tree(b, shownFiles{})
	a := root.Folders[0]
	if root.Count() != 5 || root.Files[0].Base != "top.txt" || a.Name != "a" || a.Size != 30 || !a.Open || a.Files[0].Base != "d.txt" ||
		a.Folders[0].Name != "b/c" || a.Folders[0].Files[1].Base != "2.log" || a.Folders[0].Sealed != 1 || a.Folders[0].Public != 1 {
		t.Errorf("%+v, %+v", root, a)
	}
	if deep := root.Folders[1]; !strings.HasPrefix(deep.Name, "x/x/") || len(deep.Folders) != 0 || !strings.HasSuffix(deep.Files[0].Base, "/deep") {
		t.Errorf("%+v", deep)
	}
	b.Artifacts = nil
	for i := range vitrine.MaxArtifacts {
		b.Artifacts = append(b.Artifacts, vitrine.Artifact{Path: fmt.Sprintf("h%d/logs/%d.log", i%50, i)})
	}
	root = d.Tree(b, shownFiles{})
	listed, hidden := 0, 0
	var walk func(f *folder)
	walk = func(f *folder) {
		listed, hidden = listed+len(f.Files), hidden+f.Hidden
		for _, g := range f.Folders {
			walk(g)
		}
	}
	walk(root)
	if len(root.Folders) != 50 || listed != maxListed-50 || listed+hidden != vitrine.MaxArtifacts || root.Folders[0].Open {
		t.Errorf("%d folders, %d files listed and %d hidden", len(root.Folders), listed, hidden)
	}
}

func TestCommitLinks(t *testing.T) {
	hash := strings.Repeat("ab", 20)
	for repository, want := range map[string]string{
		"https://github.com/a/b.git": "https://github.com/a/b/commit/" + hash, "https://gitlab.com/a/b/c/": "https://gitlab.com/a/b/c/-/commit/" + hash,
		"https://github.com/a": "", "http://github.com/a/b": "", "https://github.com.evil.org/a/b": "", "https://git.example.org/a/b": "",
		"https://u:p@github.com/a/b": "", "git@github.com:a/b": "", "https://github.com/a/b?x": "", "/srv/keyring": "", "": "",
	} {
		if got := commitLink(repository, hash); got != want {
			t.Errorf("%s: got %q, want %q", repository, got, want)
		}
	}
	if got := keyringLink(vitrine.Keyring{URL: "https://git.example.org/k", Commit: hash}); got != "https://git.example.org/k" {
		t.Errorf("a keyring elsewhere: %q", got)
	}
	for _, c := range []struct {
		change       int64
		refURL, want string
	}{
		{7, "https://github.com/a/b/pull/7", "https://github.com/a/b/commit/" + hash}, {7, "https://gitlab.com/a/b/-/merge_requests/7", "https://gitlab.com/a/b/-/commit/" + hash},
		{7, "https://codeberg.org/a/b/pulls/7", "https://codeberg.org/a/b/commit/" + hash}, {7, "https://review.example.org/c/a/+/7", ""}, {7, "https://github.com/a/b", ""},
		{0, "https://git.example.org/a/commit/" + hash, "https://git.example.org/a/commit/" + hash}, {0, "javascript:x", ""},
	} {
		r := row{Build: vitrine.Build{Record: vitrine.Record{Ref: vitrine.Ref{Change: c.change, NewRev: hash, RefURL: c.refURL}}}}
		if got := r.CommitURL(); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// bigOutput is more than a page shows of Ansible's output, each thing named otherwise.
func bigOutput() *ansible.Output {
	o := new(ansible.Output)
	var p ansible.Play
	for i := range ansible.MaxTasks {
		task := ansible.Task{Name: unlike(i)[:40]}
		for h := range 4 {
			r := ansible.Result{Host: fmt.Sprintf("host%d", h), Status: ansible.OK}
			if i%5 == 4 {
				r.Status, r.Message = ansible.Failed, unlike(i*10+h)+"\n"+unlike(i)
			}
			task.Hosts = append(task.Hosts, r)
		}
		p.Tasks = append(p.Tasks, task)
	}
	for i := range ansible.MaxHosts {
		o.Recap = append(o.Recap, ansible.Host{Name: unlike(i)[:20], OK: i, Failed: i % 2})
	}
	o.Playbooks = []ansible.Playbook{{Plays: []ansible.Play{p}}}
	return o
}

// unlike is 64 characters that compress to half.
func unlike(i int) string {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	return fmt.Sprintf("%016x%016x%016x%016x", x, x*0xc2b2ae3d27d4eb4f, x^x>>29*0x165667b19e3779f9, x*x*0x27d4eb2f165667c5)
}

func TestReportBounds(t *testing.T) {
	r := reportOf(shownFile{Preview: Preview{Ansible: bigOutput()}})
	tasks, failed := 0, 0
	for _, p := range r.Plays {
		for _, task := range p.Tasks {
			tasks++
			if task.Failed {
				failed++
			}
		}
	}
	if !r.Failed || len(r.Hosts) != maxRecap || r.HostsCut != ansible.MaxHosts-maxRecap || r.Hosts[0].Failed == 0 || tasks != maxShowTask || failed != maxShowTask || r.TasksCut != ansible.MaxTasks-maxShowTask {
		t.Errorf("%d hosts, %d tasks, %d of them failed, %d left out", len(r.Hosts), tasks, failed, r.TasksCut)
	}
}

// bigBuildPage has more than a page shows, of everything.
func bigBuildPage(history []vitrine.Build) BuildPage {
	b := testBuild(1, vitrine.Failure, time.Hour, time.Minute)
	p := BuildPage{History: history}
	for i := range vitrine.MaxArtifacts {
		a := vitrine.Artifact{Path: unlike(i)[:8] + []string{".txt", ".html", ".png", ".json"}[i%4], MediaType: []string{"text/plain", "text/html", "image/png", "application/json"}[i%4], Size: int64(i)}
		b.Artifacts = append(b.Artifacts, a)
	}
	p.Build = b
	for i, a := range Previewed(b) {
		v := Preview{Path: a.Path}
		switch PreviewOf(a) {
		case TextPreview:
			for j := range 1000 {
				v.Text += unlike(i*1000+j) + "\n"
			}
		case AnsiblePreview:
			v.Ansible = bigOutput()
		}
		p.Previews = append(p.Previews, v)
	}
	return p
}

// thousand are the builds of a large event.
func thousand() []vitrine.Build {
	var list []vitrine.Build
	for i := range 1000 {
		b := testBuild(i, vitrine.Success, time.Hour-time.Duration(i)*time.Second, time.Duration(i%100)*time.Minute)
		b.UUID, b.JobName = unlike(i)[:32], "job-"+unlike(i)[:8]
		if i%100 == 99 {
			b.Result = vitrine.Failure
		}
		list = append(list, b)
	}
	return list
}

func TestTimeline(t *testing.T) {
	d := document{Layout: testLayout}
	tl := d.Timeline(thousand())
	failed := 0
	for _, l := range tl.Lanes {
		if l.Outcome.Kind == "bad" {
			failed++
		}
		if l.X < 0 || l.X+l.Width > 100 || l.End > axis {
			t.Errorf("lane from %.2f, %.2f wide", l.X, l.Width)
		}
	}
	if len(tl.Lanes) != maxLanes || tl.Cut != 750 || failed != 10 || tl.Cause.Outcome.Kind != "bad" {
		t.Errorf("%d lanes, %d of them failed, %d left out; cause %+v", len(tl.Lanes), failed, tl.Cut, tl.Cause.Outcome)
	}
	for _, c := range []struct {
		took time.Duration
		want string
	}{
		{0, "0 s"}, {4 * time.Second, "0 s 1 s 2 s 3 s"}, {202 * time.Second, "0 s 1 min 2 min 3 min"}, {13 * time.Minute, "0 s 5 min 10 min"},
		{90 * time.Minute, "0 s 15 min 30 min 45 min 1 h 1 h 15 min"}, {40 * 24 * time.Hour, "0 s 8 d 16 d 24 d 32 d"},
	} {
		var words []string
		b := testBuild(1, vitrine.Success, 0, c.took)
		for _, k := range d.Timeline([]vitrine.Build{b}).Ticks {
			words = append(words, k.Text)
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.took, got, c.want)
		}
	}
}
