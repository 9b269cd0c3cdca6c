//go:build browser

package browser

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	log "vitrine/lines"
	"vitrine/outline"
	"vitrine/summary"
	"vitrine/view"
)

// A viewer is a view of a build that is served as vitrine view serves it.
type viewer struct {
	url  string
	stop func()
}

func newViewer(t *testing.T, build view.Build) *viewer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, path, err := view.New(l.Addr().String(), build)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &viewer{"http://" + l.Addr().String() + path, s.Close}
}

// tab opens the view in a tab, at a fragment, and waits for its lines.
func (v *viewer) tab(t *testing.T, browser context.Context, s size, dark bool, fragment string) *tab {
	t.Helper()
	b := newTab(t, browser, &world{url: v.url})
	b.look(s, dark)
	b.open(v.url + fragment)
	b.do(page.BringToFront()) // what is behind is not drawn, and so lays out no lines
	b.until(`document.querySelector(".row .text")?.textContent || document.querySelector(".state").textContent.includes("empty")`)
	return b
}

// shownText is an expression: the text of a line that is laid out.
func shownText(line int64) string {
	return fmt.Sprintf(`document.querySelector('[data-line="%d"] .text')?.innerText`, line)
}

// inSight is an expression: the numbers of the lines that can be seen.
const inSight = `(() => { const box = document.querySelector(".view").getBoundingClientRect();
	return [...document.querySelectorAll(".view .item")].filter((e) => { const r = e.getBoundingClientRect(); return r.bottom > box.top + 1 && r.top < box.bottom - 1; }).map((e) => Number(e.dataset.line)); })()`

func artifactOf(name, text string) view.Artifact {
	return view.Artifact{Path: name, Size: int64(len(text)), Open: func(context.Context) (*log.Log, error) {
		return log.New(bytes.NewReader([]byte(text))), nil
	}}
}

var began = time.Date(2026, 11, 22, 2, 11, 9, 0, time.UTC)

// ansibleLog is a log of one play with that many tasks, of which every failEvery-th
// fails; it has 5 lines a task, after 2 of the play and before 4 of the recap.
func ansibleLog(tasks, failEvery int) string {
	var s strings.Builder
	at := began
	line := func(format string, a ...any) {
		fmt.Fprintf(&s, "%s | bridge | %s\n", at.Format("2006-01-02 15:04:05.000000"), fmt.Sprintf(format, a...))
		at = at.Add(250 * time.Millisecond)
	}
	line("PLAY [Deploy codesearch] *******************************************************")
	line("")
	for i := 1; i <= tasks; i++ {
		line("TASK [codesearch : step %d of the deployment] **********************************", i)
		line("\x1b[0;32mok: [codesearch01.opendev.org]\x1b[0m => (item=%d)", i)
		switch {
		case i%failEvery == 0:
			line("\x1b[0;31mfatal: [codesearch01.opendev.org]: FAILED! => {\"changed\": false, \"msg\": \"Could not find the requested service hound: step %d\"}\x1b[0m", i)
		case i%7 == 0:
			line("\x1b[0;35m[WARNING]: step %d used a deprecated option\x1b[0m", i)
		default:
			line("\x1b[0;33mchanged: [codesearch01.opendev.org]\x1b[0m")
		}
		line("  a line that is long enough to be wrapped where there is little room for it, as on a telephone, %d", i)
		line("")
	}
	line("PLAY RECAP *********************************************************************")
	line("codesearch01.opendev.org   : ok=%d changed=%d unreachable=0 failed=%d skipped=3 rescued=0 ignored=0", tasks, tasks/2, tasks/failEvery)
	line("gitea09.opendev.org        : ok=%d changed=%d unreachable=0 failed=0 skipped=3 rescued=0 ignored=0", tasks, tasks/2)
	line("end of the log")
	return s.String()
}

// systemLog is what another program wrote meanwhile.
func systemLog(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "%s systemd[1]: event %d of the machine\n", began.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i+1)
	}
	return s.String()
}

// deploy is a build that failed, with two logs.
func deploy() view.Build {
	failure := func(task int64) summary.Note {
		return summary.Note{Line: 5*(task-1) + 5, Kind: outline.Failed, Task: fmt.Sprintf("codesearch : step %d of the deployment", task), Host: "codesearch01.opendev.org",
			Message: fmt.Sprintf("Could not find the requested service hound: step %d", task)}
	}
	return view.Build{
		UUID: "3f0c9a51d2e84f0b9d1c5a7e2b60aa91", Job: "infra-prod-service-codesearch", Result: "FAILURE", Page: "https://logs.example.org/t/opendev/build/3f0c9a51d2e84f0b9d1c5a7e2b60aa91",
		Start: began, End: began.Add(202 * time.Second), Project: "opendev/system-config", Change: 894201, Patchset: "3", Pipeline: "deploy",
		Artifacts: []view.Artifact{artifactOf("service-codesearch.yaml.log", ansibleLog(400, 160)), artifactOf("logs/system log.txt", systemLog(600))},
		Summary: &summary.Summary{Version: 1, Logs: []summary.Log{{
			Path: "service-codesearch.yaml.log", Lines: 2006,
			Failures: []summary.Note{failure(160), failure(320)},
			Warnings: []summary.Note{{Line: 35, Kind: outline.Warning, Task: "codesearch : step 7 of the deployment", Message: "step 7 used a deprecated option"}},
			Recap:    []summary.Host{{Name: "codesearch01.opendev.org", OK: 400, Changed: 200, Failed: 2, Skipped: 3}, {Name: "gitea09.opendev.org", OK: 400, Changed: 200, Skipped: 3}},
		}}},
	}
}

// press presses keys, one after the other. A character comes with the key that is
// pressed, as from a keyboard, so that a page that takes the key gets no character.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	var actions []chromedp.Action
	for _, key := range keys {
		if len(key) > 1 || key < " " {
			actions = append(actions, chromedp.KeyEvent(key))
			continue
		}
		actions = append(actions, input.DispatchKeyEvent(input.KeyDown).WithKey(key).WithText(key), input.DispatchKeyEvent(input.KeyUp).WithKey(key))
	}
	b.do(actions...)
}
