//go:build browser

package browser

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	log "vitrine/lines"
	"vitrine/view"
)

// A pattern that is none is said to be so, and a search ends when nobody wants it.
func TestViewerSearchTroubles(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "")
	b.do(chromedp.Click("#regexp + span", chromedp.ByQuery))
	b.press("/", "a", "(", kb.Enter)
	b.until(found + `.includes("missing closing )")`)
	b.mu.Lock()
	b.problems = nil // Chromium reports the status 400
	b.mu.Unlock()
	b.do(chromedp.Evaluate(`document.querySelector("#q").select()`, nil))
	b.press("^", ".", "*", "P", "L", "A", "Y", kb.Enter)
	b.until(found + ` === "2 of 2"`)
	b.do(chromedp.Click("#case + span", chromedp.ByQuery))
	b.press("/", "p", "l", "a", "y", kb.Enter)
	b.until(found + ` === "not found"`)
	b.quiet("search")
}

// On a phone most tools are behind one button, and nothing goes beyond the screen.
func TestViewerPhoneTools(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), phone, false, "")
	b.until(`document.querySelectorAll("#notes > li:not([hidden])").length === 1 && document.querySelector("#rest").textContent === "2 more, 2 hosts"`)
	if n := eval[float64](b, `document.querySelector(".view").clientHeight`); n < 400 {
		t.Errorf("the log has %v px of %d", n, phone.height)
	}
	b.do(chromedp.Click("#more", chromedp.ByQuery))
	b.until(`["#outline", "#fold", "#wrap", "#side", "#show-keys"].every((id) => { const r = document.querySelector(id).getBoundingClientRect(); return r.width > 0 && r.left >= 0 && r.right <= innerWidth; })`)
	b.shoot("view-phone-tools")
	for _, found := range b.axe() {
		t.Errorf("the tools: axe-core: %s", found)
	}
	b.do(chromedp.Click("#wrap", chromedp.ByQuery))
	b.until(`document.querySelector(".pane:not(.wrap)") && !document.querySelector("#wrap").checkVisibility()`)
	b.do(chromedp.Click("#rest", chromedp.ByQuery))
	b.until(`document.querySelectorAll("#notes > li:not([hidden])").length === 3`)
	b.quiet("on a phone")
}

// The toolbar keeps its shape when a pattern is wrong, notices go away, and an
// outline of nothing is not there.
func TestViewerCalm(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector("#outline-state").checkVisibility()`)
	height := eval[float64](b, `document.querySelector(".tools").offsetHeight`)
	b.do(chromedp.Click("#regexp + span", chromedp.ByQuery))
	b.press("/")
	b.press(strings.Split("(a long pattern that never ends", "")...)
	b.press(kb.Enter)
	b.until(found + ` === "missing closing )" && document.querySelector("#found").title.includes("never ends")`)
	b.shoot("view-bad-pattern")
	if n := eval[float64](b, `document.querySelector(".tools").offsetHeight`); n != height {
		t.Errorf("the toolbar grew from %v to %v px", height, n)
	}
	b.mu.Lock()
	b.problems = nil // Chromium reports the status 400
	b.mu.Unlock()
	b.press(kb.Escape, "Z")
	b.until(said + ` === "401 folded"`)
	b.press("j")
	b.until(said + ` === ""`)
	b.press("]")
	b.until(`document.querySelector(".size").textContent.includes("600 lines") && !document.querySelector(".outline").checkVisibility()`)
	b.press("o")
	b.until(said + ` === "no plays, tasks or groups in this log"`)
	b.press("[")
	b.until(`document.querySelector(".outline").checkVisibility()`)
	b.quiet("calm")
}

// A filter that looks through a long log says how far it is, and can be stopped.
func TestViewerStopsFilter(t *testing.T) {
	text := systemLog(100) + "ERROR: first\n" + systemLog(300_000)
	src := &gated{bytes.NewReader([]byte(text)), 0, make(chan struct{})}
	v := newViewer(t, view.Build{Artifacts: []view.Artifact{{Path: "system.log", Size: 300e6, // so it is not looked through at once
		Open: func(context.Context) (*log.Log, error) { return log.New(src), nil }}}})
	close(src.open)
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector(".size").textContent.includes("300,101 lines")`)
	b.do(chromedp.Evaluate(`window.states = []; new MutationObserver(() => { states.push(document.querySelector(".state").textContent); document.querySelector(".state button")?.click(); }).observe(document.querySelector(".state"), {childList: true}); undefined`, nil))
	b.press("3")
	b.until(`/^Stopped at \d+ %: what is beyond it is not shown.$/.test(document.querySelector(".state").textContent)`)
	b.until(`/^looking through the log: \d+ %Stop$/.test(states.find((s) => s.startsWith("looking")))`)
	b.press("1")
	b.until(inSight + `.includes(300101)`)
	b.quiet("a filter stopped")
}
