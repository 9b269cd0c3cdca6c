//go:build browser

package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	log "vitrine/lines"
	"vitrine/outline"
	"vitrine/summary"
	"vitrine/view"
)

const (
	state  = `document.querySelector(".state").checkVisibility() && document.querySelector(".state").textContent`
	listed = `document.querySelector("#outline-state").textContent`
	red    = `[...document.querySelectorAll(".entry.failed .name")].map((e) => e.textContent).join()`
)

func oneLog(text string) view.Build {
	return view.Build{Artifacts: []view.Artifact{artifactOf("a.log", text)}}
}

// An error after more tasks than the page can list is found all the same.
func TestViewerErrorAfterManyTasks(t *testing.T) {
	const tasks = 260_000
	v := newViewer(t, oneLog(strings.Repeat("TASK [x] ***\n", tasks)+"fatal: [a]: FAILED! => {}\nend\n"))
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(listed + `.includes("; there are more")`)
	b.press(kb.Home, "e")
	b.until(selected + fmt.Sprintf(` === "%d"`, tasks+1))
	b.press("3")
	b.until(inSight + fmt.Sprintf(`.includes(%d)`, tasks+1))
	b.press("1", kb.End, "t")
	b.until(said + `.includes("known up to line 200,000")`)
	b.quiet("after many tasks")
}

// A log that breaks is never said to be without errors.
func TestViewerBrokenLog(t *testing.T) {
	text := strings.Repeat("a line of some length\n", 200_000)
	src := &broken{bytes.NewReader([]byte(text)), 2 << 20, 3 << 20}
	v := newViewer(t, view.Build{Artifacts: []view.Artifact{{Path: "a.log", Size: src.Size(), Open: func(context.Context) (*log.Log, error) { return log.New(src), nil }}}})
	b := v.tab(t, chromium(t), laptop, false, "")
	b.press("3")
	b.until(state + `.includes("the disk is broken")`)
}

// A broken log can't be read from one byte to another, but for one pass: that
// which counts its lines.
type broken struct {
	*bytes.Reader
	from, to int64
}

func (b *broken) ReadAt(p []byte, off int64) (int, error) {
	if off < b.to && off+int64(len(p)) > b.from {
		return 0, errors.New("the disk is broken")
	}
	return b.Reader.ReadAt(p, off)
}

// No byte of a long line is left out where it goes on, or shown twice.
func TestViewerLongLine(t *testing.T) {
	line := strings.Repeat("\xff", 2000)
	for i := range 5000 {
		line += fmt.Sprintf("%d,", i)
	}
	v := newViewer(t, oneLog(line+"\n"))
	b := v.tab(t, chromium(t), laptop, false, "")
	b.do(chromedp.Click(`[data-act=more]`, chromedp.ByQuery))
	b.until(`!document.querySelector("[data-act=more]")`)
	if got, want := eval[string](b, `document.querySelector(".row .text").textContent`), strings.ReplaceAll(line, "\xff", "\ufffd"); got != want {
		t.Errorf("%d characters, want %d", len(got), len(want))
	}
	b.quiet("a long line")
}

// What was found is in sight, wherever in its line it is.
func TestViewerFoundInSight(t *testing.T) {
	var bar strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&bar, "at %d\r", i)
	}
	v := newViewer(t, oneLog(strings.Repeat("=", 3000)+"right\n"+strings.Repeat("=", 3_000_000)+"far away<b>"+strings.Repeat("=", 9000)+"\n10%\r50% overwritten\r100%\n"+bar.String()+"done\n"))
	b := v.tab(t, chromium(t), laptop, false, "")
	seen := func(text string) string {
		return fmt.Sprintf(`(() => { const mark = document.querySelector("mark.current"), box = document.querySelector(".view").getBoundingClientRect(); if (!mark) return false;
			const at = mark.getBoundingClientRect(); return mark.textContent === %q && at.left >= box.left && at.right <= box.right && at.top >= box.top && at.bottom <= box.bottom; })()`, text)
	}
	find := func(text string) {
		t.Helper()
		b.press("/")
		b.press(append(strings.Split(text, ""), kb.Enter)...)
		b.until(found + ` === "1 of 1" && ` + seen(text))
	}
	find("right")
	find("overwritten")
	find("far away")
	b.until(shownText(2) + `.includes("3.0 MB into the line") && ` + shownText(2) + `.includes("=far away<b>=")`)
	b.shoot("view-found-far")
	find("at 77")
	b.press(kb.Escape, "w")
	find("right")
	find("far away")
	b.quiet("found")
}

// A progress bar shows what stayed, and opened all of it in its order.
func TestViewerProgressBar(t *testing.T) {
	var bar strings.Builder
	for i := range 101 {
		fmt.Fprintf(&bar, "%s %d%%\r", strings.Repeat("#", i/2), i)
	}
	v := newViewer(t, oneLog(bar.String()+"\n"+strings.Repeat(bar.String(), 100)+"done\n"))
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(shownText(1) + `.endsWith(" 100%100 earlier states") && ` + shownText(2) + `.startsWith("done10,100 earlier states")`)
	b.do(chromedp.Click(`[data-line="1"] [data-act=states]`, chromedp.ByQuery))
	b.until(`[...document.querySelectorAll('[data-line="1"] .text > div')].map((e) => e.textContent.match(/\d+%/)?.[0]).filter(Boolean).join() === Array.from({length: 101}, (_, i) => i + "%").join()`)
	b.do(chromedp.Click(`[data-line="1"] [data-act=last]`, chromedp.ByQuery))
	b.until(shownText(1) + `.endsWith(" 100%100 earlier states")`)
	b.press("j")
	b.do(chromedp.Evaluate(`document.querySelector('[data-line="2"] [data-act=states]').click()`, nil))
	b.until(`document.querySelectorAll('[data-line="2"] .text > div').length > 900 && document.querySelector('[data-line="2"] .text > div:last-child').textContent.startsWith("done")`)
	b.quiet("a progress bar")
}

// An address of lines that are not there says so, and selects no others.
func TestViewerWrongLinks(t *testing.T) {
	v := newViewer(t, deploy())
	browser := chromium(t)
	for hash, want := range map[string]string{
		"#nosuch.log#L5": "this build has no log nosuch.log",
		"#L999999":       "there is no line 999,999: the log has 2,006 lines",
		"#L9-L5":         "the address names no lines",
		"#x":             "this build has no log x",
	} {
		b := v.tab(t, browser, laptop, false, hash)
		b.until(said + `.startsWith(` + fmt.Sprintf("%q", want) + `)`)
		if got := eval[string](b, selected); got != "" {
			t.Errorf("%s: %s is selected", hash, got)
		}
		b.quiet(hash)
	}
	b := v.tab(t, browser, laptop, false, "#"+url.PathEscape("logs/system log.txt")+"%23L5-7")
	b.until(selected + ` === "5,6,7" && ` + shownText(5) + `.includes("event 5 of")`)
}

// Headings end at the next one, or where the group ends that they are in.
func TestViewerHeadings(t *testing.T) {
	v := newViewer(t, oneLog("::group::Outer\n--- Building\nx\n--- Testing\ny\n::endgroup::\n--- First\na\n--- Second\nERROR: boom\n--- Third\nfatal: [a]: FAILED! => {}\n...ignoring\n"))
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(listed + `.startsWith("6 in all, 1 with errors") && ` + red + ` === "Second"`)
	b.until(`[...document.querySelectorAll(".entry")].map((e) => parseInt(e.style.paddingLeft)).join() === "12,24,24,12,12,12"`)
	b.press("3") // what was ignored is no error
	b.until(inSight + `.join() === "8,9,10,11,12"`)
	b.until(`!document.querySelector('[data-line="12"] .k-failed')`)
	b.press("1", kb.Home, "e")
	b.until(selected + ` === "10"`)
	b.press("e")
	b.until(said + ` === "this is the only error"`)
	b.quiet("headings")
}

// However many tabs look at it, and however long it is read through for them: each
// shows its lines.
func TestViewerManyTabs(t *testing.T) {
	text := systemLog(200_000)
	src := &gated{bytes.NewReader([]byte(text)), int64(len(text)) - 1<<20, make(chan struct{})}
	v := newViewer(t, view.Build{Artifacts: []view.Artifact{{Path: "a.log", Size: src.Size(), Open: func(context.Context) (*log.Log, error) { return log.New(src), nil }}}})
	t.Cleanup(func() { close(src.open) })
	browser := chromium(t)
	var tabs []*tab
	for range 8 {
		b := v.tab(t, browser, laptop, false, "")
		b.until(shownText(400) + `.includes("event 200000 of")`)
		tabs = append(tabs, b)
	}
	v.stop()
	for _, b := range tabs {
		b.until(`!document.querySelector("#ended").hidden`)
	}
}

// As long as lines have no numbers yet, what is asked for by number waits: it would
// be of other lines.
func TestViewerAsksByNumber(t *testing.T) {
	line := strings.Repeat("0123456789", 1000)
	text := systemLog(200_000) + line + "\n"
	src := &gated{bytes.NewReader([]byte(text)), int64(len(text)) - 1<<20, make(chan struct{})}
	v := newViewer(t, view.Build{Artifacts: []view.Artifact{{Path: "a.log", Size: src.Size(), Open: func(context.Context) (*log.Log, error) { return log.New(src), nil }}}})
	opened := sync.OnceFunc(func() { close(src.open) })
	t.Cleanup(opened)
	b := v.tab(t, chromium(t), laptop, false, "")
	const more = `[data-line="%d"] [data-act=more]`
	b.do(chromedp.Click(fmt.Sprintf(more, 400), chromedp.ByQuery))
	b.until(said + ` === "counting the lines first"`)
	b.do(chromedp.Evaluate(`navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }`, nil))
	b.do(chromedp.Click(`[data-line="400"] a.n`, chromedp.ByQuery))
	b.press("c")
	opened()
	b.until(`globalThis.copied !== undefined`)
	if got := eval[string](b, `copied`); got != line+"\n" {
		t.Errorf("copied %.100q", got)
	}
	b.do(chromedp.Click(fmt.Sprintf(more, 200_001), chromedp.ByQuery))
	b.until(fmt.Sprintf(`!document.querySelector('%s')`, fmt.Sprintf(more, 200_001)))
	b.until(shownText(200_001) + fmt.Sprintf(` === "%s"`, line))
	b.quiet("by number")
}

// What had no room in the summary is counted, also where there are few notes.
func TestViewerOmitted(t *testing.T) {
	build := deploy()
	build.Summary.Omitted, build.Summary.Logs[0].Omitted = 2, 5
	b := newViewer(t, build).tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector("#notes").textContent.endsWith("and 5 moreand what 2 more logs told")`)
	b.until(`document.querySelector("#title").textContent.endsWith(". At least 2 failures, 1 warning.")`)
}

// Of a build that succeeded nothing is said to have failed, and what was ignored is
// no warning.
func TestViewerSucceeded(t *testing.T) {
	build := deploy()
	build.Result = "SUCCESS"
	l := &build.Summary.Logs[0]
	l.Warnings, l.Errors, l.Failures = append(l.Warnings, l.Failures...), []summary.Note{{Line: 9, Kind: outline.Error, Message: "ERROR: none that matters"}}, nil
	b := newViewer(t, build).tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector("#title").textContent.endsWith(". 1 error, 1 warning.") && document.querySelector("#what-title").textContent === "Errors and warnings"`)
	b.until(`[...document.querySelectorAll("#notes .kind")].map((e) => e.textContent).join() === "error,ignored,ignored,warning"`)
	b.quiet("succeeded")
}
