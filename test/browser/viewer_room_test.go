//go:build browser

package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Once somebody moves in the log it gets the room of what failed, and its lines stay
// where they are on the screen.
func TestViewerMakesRoom(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), size{"low", 1280, 600, false}, false, "")
	b.until(`document.querySelectorAll("#notes > li:not([hidden])").length === 1 && ` + inSight + `.includes(2006)`)
	const top = `document.querySelector('[data-line="2000"]').getBoundingClientRect().top`
	at := eval[float64](b, top)
	b.do(chromedp.Evaluate(`document.querySelector(".view").dispatchEvent(new WheelEvent("wheel", {deltaY: -60, cancelable: true}))`, nil))
	b.until(fmt.Sprintf(`!document.querySelector("#notes").checkVisibility() && %s === %v`, top, at+60))
	b.shoot("view-low")
	b.press("f") // who opens it again keeps it
	b.until(`document.querySelector("#notes").checkVisibility() && document.activeElement.className.startsWith("note ")`)
	b.press("e")
	b.until(selected + ` === "800" && document.querySelector("#notes").checkVisibility()`)
	b.quiet("makes room")
}

// By keyboard the lines in sight are selected, one after the other, and who copies
// what is not in sight is told.
func TestViewerSelectsWhatIsShown(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "#L800")
	b.until(listed + `.startsWith("402 in all") && ` + selected + ` === "800"`)
	b.do(chromedp.Evaluate(`navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }`, nil))
	b.press("Z")
	b.until(said + ` === "401 folded"`)
	b.press(kb.Home)
	b.until(first + ` === 1`)
	shift := func(key string, code int64) {
		b.do(input.DispatchKeyEvent(input.KeyDown).WithKey(key).WithCode(key).WithWindowsVirtualKeyCode(code).WithModifiers(input.ModifierShift))
	}
	for range 4 {
		shift("ArrowDown", 40)
	}
	b.until(selected + ` === "1,2,3,8,13"`)
	shift("ArrowUp", 38)
	b.until(selected + ` === "1,2,3,8"`)
	b.press("c")
	b.until(said + ` === "copied 8 lines, 4 of them folded or filtered away"`)
	b.quiet("selects what is shown")
}

// Of what a filter shows, what it is for stands out, and all can be read.
func TestViewerErrorsStandOut(t *testing.T) {
	v := newViewer(t, deploy())
	for _, dark := range []bool{false, true} {
		b := v.tab(t, chromium(t), laptop, dark, "")
		b.until(listed + `.startsWith("402 in all")`)
		b.press(kb.Home, "2")
		b.until(`[33, 34, 36, 37].every((n) => document.querySelector('[data-line="' + n + '"] .context')) && !document.querySelector('[data-line="35"] .context')`)
		b.press("3")
		b.until(`[798, 799, 801, 802].every((n) => document.querySelector('[data-line="' + n + '"] .context')) && !document.querySelector('[data-line="800"] .context')`)
		b.until(`getComputedStyle(document.querySelector('[data-line="799"] .text span')).color === getComputedStyle(document.querySelector(".size")).color`)
		b.shoot(map[bool]string{false: "view-context-light", true: "view-context-dark"}[dark])
		for _, found := range b.axe() {
			t.Errorf("axe-core: %s", found)
		}
		b.press("1", kb.Home)
		b.until(first + ` === 1 && getComputedStyle(document.querySelector(".k-warning")).backgroundColor !== getComputedStyle(document.querySelector(".pane")).backgroundColor`)
		for _, found := range b.axe() {
			t.Errorf("axe-core: %s", found)
		}
		b.quiet("errors stand out")
	}
}

// By finger: lines are wrapped, their numbers can be met, and a second one can be the
// other end.
func TestViewerByFinger(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), phone, false, "")
	b.do(emulation.SetTouchEmulationEnabled(true), chromedp.Reload())
	b.until(`document.querySelector(".pane.wrap") && document.querySelector("#wrap").ariaPressed === "true" && ` + inSight + `.includes(2006)`)
	b.press("t", "E") // to where folds are
	b.until(selected + ` === "1600"`)
	b.until(`[...document.querySelectorAll(".n, .fold")].length > 10 && [...document.querySelectorAll(".n, .fold")].every((e) => e.getBoundingClientRect().height >= 24)`)
	b.do(chromedp.Click("#extend", chromedp.ByQuery))
	b.do(chromedp.Click(`[data-line="1602"] .n`, chromedp.ByQuery))
	b.until(selected + ` === "1600,1601,1602"`)
	b.shoot("view-finger")
	for _, found := range b.axe() {
		t.Errorf("axe-core: %s", found)
	}
	b.do(chromedp.Click("#extend", chromedp.ByQuery))
	b.do(chromedp.Click(`[data-line="1601"] .n`, chromedp.ByQuery))
	b.until(selected + ` === "1601"`)
	b.quiet("by finger")
}

// A window that gets narrow shows the log, not the outline over it.
func TestViewerNarrows(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector(".outline").checkVisibility() && document.querySelector(".pane:not(.wrap)").ariaLabel === "service-codesearch.yaml.log"`)
	b.look(phone, false)
	b.until(`!document.querySelector(".outline").checkVisibility() && document.querySelector(".pane.wrap")`)
	b.look(laptop, false)
	b.press("s") // beside each other there is little room too
	b.until(`document.querySelectorAll(".pane.wrap").length === 2`)
	b.press("w")
	b.until(`document.querySelectorAll(".pane.wrap").length === 0`)
	b.quiet("narrows")
}
