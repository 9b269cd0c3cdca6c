//go:build browser

package browser

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	log "vitrine/lines"
	"vitrine/view"
)

const (
	selected = `[...document.querySelectorAll(".selected .n")].map((e) => e.textContent).join()`
	first    = `Math.min(...` + inSight + `)`
	found    = `document.querySelector("#found").textContent`
	said     = `document.querySelector("#said").textContent`
)

// All of it by keyboard: search, errors, tasks, folds, filters, lines, selection.
func TestViewerByKeyboard(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector("#outline-state").textContent.startsWith("402 in all")`)

	b.press("g", "1", "0", "0", "0", kb.Enter)
	b.until(selected + ` === "1000" && location.hash === "#service-codesearch.yaml.log%23L1000" && ` + inSight + `.includes(1000)`)
	b.press("e")
	b.until(selected + ` === "1600"`)
	b.press("E")
	b.until(selected + ` === "800" && ` + shownText(800) + `.includes("step 160") && document.querySelector("#heard").textContent.startsWith("line 800: ")`)
	b.press("t")
	b.until(selected + ` === "803"`)
	b.press("n") // nothing is searched for
	b.until(selected + ` === "1600"`)
	b.press("e") // and after the last one the first
	b.until(selected + ` === "800" && ` + said + ` === "from the top again"`)
	b.press("E")
	b.until(selected + ` === "1600" && ` + said + ` === "from the end again"`)

	b.press(kb.Home)
	b.until(first + ` === 1`)
	for range 3 {
		b.press("j")
	}
	b.until(first + ` === 4`)
	b.press("k")
	b.until(first + ` === 3`)
	b.press(" ")
	b.until(first + ` > 10`)
	b.press("b")
	b.until(first + ` === 3`)
	b.press(kb.End)
	b.until(inSight + `.includes(2006)`)

	b.press("/")
	b.press(strings.Split("Requested Service", "")...)
	b.press(kb.Enter)
	b.until(found + ` === "1 of 2" && ` + selected + ` === "800"`) // from the end it goes on at the beginning
	b.until(`document.querySelector('[data-line="800"] mark.current').textContent === "requested service"`)
	b.press(kb.Escape) // out of the field; the search is forgotten
	b.until(found + ` === "" && document.activeElement.className === "view"`)
	b.press("/", "s", "t", "e", "p", kb.Enter)
	b.until(found + `.endsWith(" of 459")`)
	at := eval[string](b, selected)
	for _, keys := range [][2]string{{"n", "N"}, {kb.Enter, "N"}} {
		b.press(keys[0])
		b.until(selected + ` !== "` + at + `"`)
		b.press(keys[1])
		b.until(selected + ` === "` + at + `"`)
	}
	b.press(kb.Escape)

	b.press("g")
	b.press("1", "0", kb.Enter)
	b.until(selected + ` === "10"`)
	b.do(input.DispatchKeyEvent(input.KeyDown).WithKey("ArrowDown").WithCode("ArrowDown").WithWindowsVirtualKeyCode(40).WithModifiers(input.ModifierShift),
		input.DispatchKeyEvent(input.KeyDown).WithKey("ArrowDown").WithCode("ArrowDown").WithWindowsVirtualKeyCode(40).WithModifiers(input.ModifierShift))
	b.until(selected + ` === "10,11,12" && location.hash === "#service-codesearch.yaml.log%23L10-L12"`)
	if got, want := eval[string](b, `document.querySelector("#command").textContent`), "vitrine cat 3f0c9a51d2e8 service-codesearch.yaml.log#L10-L12"; got != want {
		t.Errorf("the command is %q, want %q", got, want)
	}
	b.press(kb.Escape)
	b.until(selected + ` === "" && location.hash === "#service-codesearch.yaml.log"`)

	b.press("?")
	b.until(`document.querySelector("#help").open && document.querySelector("#keys").textContent.includes("next and previous error")`)
	b.shoot("view-keys")
	for _, found := range b.axe() {
		t.Errorf("the help: axe-core: %s", found)
	}
	b.press(kb.Escape)
	b.until(`!document.querySelector("#help").open`)
	b.quiet("by keyboard")
}

func TestViewerFoldsAndFilters(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "#L800")
	b.until(`document.querySelector("#outline-state").textContent.startsWith("402 in all")`)
	b.until(selected + ` === "800"`)

	b.press("z") // folds what it lies in
	b.until(`!(` + inSight + `.includes(800)) && ` + shownText(798) + `.includes("4 lines folded")`)
	b.do(chromedp.Click(`[data-line="798"] .fold`, chromedp.ByQuery))
	b.until(inSight + `.includes(800)`)

	b.press("Z")
	b.until(said + ` === "401 folded" && (` + inSight + `.length > 10 && ` + inSight + `.every((n) => n < 3 || n > 2002 || n % 5 === 3))`)
	b.shoot("view-folded")
	b.press("f")
	b.do(chromedp.Click(`#notes li:nth-child(2) button`, chromedp.ByQuery)) // what failed is unfolded where it is
	b.until(selected + ` === "1600" && ` + inSight + `.includes(1600) && ` + inSight + `.includes(1603) && !(` + inSight + `.includes(1605))`)
	b.press("Z")
	b.until(inSight + `.includes(1605)`)

	b.press("3")
	b.until(inSight + `.join() === "798,799,800,801,802,1598,1599,1600,1601,1602"`)
	b.until(`[...document.querySelectorAll(".gap")].map((e) => e.textContent).join() === "797 lines not shown,795 lines not shown"`)
	b.shoot("view-errors")
	b.do(chromedp.Click(`[data-line="1598"] .gap`, chromedp.ByQuery))
	b.until(inSight + `.includes(1597) && document.querySelectorAll(".gap").length === 0`)
	b.press("2")
	b.until(`document.querySelector("[name=level]:checked").value === "warning"`)
	b.press("g", "1", "2", kb.Enter) // a line that is filtered away is shown, and all with it
	b.until(selected + ` === "12" && document.querySelector("[name=level]:checked").value === "all"`)

	b.do(chromedp.Click("#failed-only", chromedp.ByQuery))
	b.until(`document.querySelectorAll(".entry").length === 3`)
	b.do(chromedp.Click(".entry:nth-child(2)", chromedp.ByQuery))
	b.until(selected + ` === "798"`)
	b.quiet("folds and filters")
}

// Whoever filters lines away and comes back is where they were.
func TestViewerKeepsPlace(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector("#outline-state").textContent.startsWith("402 in all") && ` + inSight + `.includes(2006)`)
	top := func(selector string) string {
		return fmt.Sprintf(`Math.round(document.querySelector('%s').getBoundingClientRect().top)`, selector)
	}
	back := func(name, where string) {
		t.Helper()
		was := eval[string](b, `String(`+where+`)`)
		for _, key := range []string{"3", "2"} {
			b.press(key)
			b.until(`document.querySelector(".gap")`)
		}
		b.press("1")
		b.until(`!document.querySelector(".gap")`)
		b.until(`String(` + where + `) === "` + was + `"`)
		if t.Failed() {
			t.Log(name)
		}
	}
	back("the end", inSight+`.join()`)
	b.press("g", "1", "0", "0", "0", kb.Enter)
	b.until(selected + ` === "1000"`)
	at := eval[int](b, first)
	b.press("j", "j", "j")
	b.until(fmt.Sprintf(`%s === %d`, first, at+3))
	back("a selected line", top(".selected"))
	b.press(kb.Home, "j", "j", "j", "j")
	b.until(first + ` === 5`)
	back("the top line", first)
	b.press(kb.Home, "f", kb.End)
	b.until(`document.querySelector("#notes").checkVisibility() && ` + inSight + `.includes(2006)`)
	b.press("f") // with more room there is more to see, and less with less
	b.until(`!document.querySelector("#notes").checkVisibility() && ` + inSight + `.includes(2006)`)
	b.press("f")
	b.until(`document.querySelector("#notes").checkVisibility() && ` + inSight + `.includes(2006)`)
	b.quiet("keeps the place")
}

// Lines of an address are selected when it is opened, in any log; clicks on numbers
// select others.
func TestViewerLinks(t *testing.T) {
	v := newViewer(t, deploy())
	browser := chromium(t)
	b := v.tab(t, browser, laptop, true, "#L120-L140")
	b.until(selected + ` === Array.from({length: 21}, (_, i) => 120 + i).join()`)
	b.shoot("view-selected")
	b.do(chromedp.Click(`[data-line="122"] .n`, chromedp.ByQuery))
	b.until(`location.hash === "#service-codesearch.yaml.log%23L122" && document.querySelector('[data-line="122"] .n').hash === location.hash && ` + selected + ` === "122"`)
	b.do(chromedp.Evaluate(`document.querySelector('[data-line="125"] .n').dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true, shiftKey: true}))`, nil))
	b.until(`location.hash === "#service-codesearch.yaml.log%23L122-L125" && ` + selected + ` === "122,123,124,125"`)
	b.do(chromedp.Evaluate(`navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }`, nil))
	b.do(chromedp.Click("#copy-link", chromedp.ByQuery)) // for others
	b.until(`globalThis.copied === "https://logs.example.org/t/opendev/build/3f0c9a51d2e84f0b9d1c5a7e2b60aa91#service-codesearch.yaml.log%23L122-L125"`)
	b.press("]")
	b.until(`document.querySelector(".size").textContent.includes("600 lines") && ` + shownText(600) + `.includes("event 600")`)
	b.until(`location.hash === "#logs%2Fsystem%20log.txt"`)
	b.do(chromedp.Reload()) // the log that was chosen stays
	b.until(`document.querySelector(".size")?.textContent.includes("600 lines") && ` + shownText(600) + `?.includes("event 600")`)
	b.do(chromedp.Click(`[data-line="599"] .n`, chromedp.ByQuery))
	b.until(selected + ` === "599"`)
	hash := eval[string](b, `location.hash`)
	if got, want := eval[string](b, `document.querySelector("#command").textContent`), "vitrine cat 3f0c9a51d2e8 'logs/system log.txt#L599'"; got != want {
		t.Errorf("the command is %q, want %q", got, want)
	}
	b = v.tab(t, browser, laptop, false, hash)
	b.until(selected + ` === "599" && ` + shownText(599) + `.includes("event 599")`)
	b.quiet("links")
}

// A hostile log stays text, and what can't be seen is shown.
func TestViewerHostile(t *testing.T) {
	payloads := strings.Join([]string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1) data-hostile>`, `<svg onload=alert(1) data-hostile>`, `javascript:alert(1)`, `<iframe srcdoc="<script>alert(1)</script>" data-hostile>`,
		`{{constructor.constructor('alert(1)')()}}`, `<a href="javascript:alert(1)" data-hostile>x</a>`, `</style><style>body{display:none}</style>`, `<base href="https://evil.example/">`,
	}, "\n")
	text := payloads + "\n" +
		"\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x1b[2J\x1b[H\n" +
		"nul \x00 del \x7f c1 \xc2\x9b2J bad \xff\xfe bidi \u202egnp.exe\u202c wi\u200bd\u00adth \U0001f469\u200d\U0001f4bb a\u200db \U000e0041 end\n" +
		"\x1b[31mred \x1b[1;38;5;226;48;5;17mof 256\x1b[0m \x1b[38;2;255;250;205mtrue\x1b[0m \x1b[7minverse\x1b[27m \x1b[4munder\x1b[0m\n" +
		"TASK [<img src=x onerror=alert(2) data-hostile>] ***\n" +
		"fatal: [<b data-hostile>]: FAILED! => <script>alert(3)</script>\n" +
		"10%\r 50%\r100% done\n" +
		strings.Repeat("x", 3_000_000) + "end\n" +
		"last\r\n"
	v := newViewer(t, view.Build{Job: `<img src=x onerror=alert(4) data-hostile>`, Result: "FAILURE", UUID: strings.Repeat("a", 32), Page: "javascript:alert(5)",
		Artifacts: []view.Artifact{artifactOf(`<img src=x onerror=alert(6) data-hostile>.log`, text)}})
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector("#outline-state").textContent.includes("in all")`)
	n := int64(strings.Count(payloads, "\n")) + 2 // of the first line after the payloads
	b.press(kb.Home)
	b.until(first + ` === 1`)
	b.until(shownText(n) + `.includes("^[]0;title^G")`)
	for line, want := range map[int64]string{
		1:     strings.Split(payloads, "\n")[0],
		n:     "^[]0;title^G^[]52;c;ZXZpbA==^G^[]8;;https://evil.example^Glink^[]8;;^G ^[[2J^[[H",
		n + 1: `nul ^@ del ^? c1 \x9b2J bad ` + "\ufffd\ufffd bidi U+202Egnp.exeU+202C wiU+200Bd\\xadth \U0001f469\u200d\U0001f4bb aU+200Db U+E0041 end",
		n + 2: "red of 256 true inverse under",
		n + 5: "100% done2 earlier states",
		n + 7: "last",
	} {
		if got := eval[string](b, shownText(line)); strings.TrimSpace(got) != want {
			t.Errorf("line %d is shown as %q, want %q", line, got, want)
		}
	}

	// Whatever colours a log asks for, they can be read.
	low := eval[[]string](b, `(() => {
		const l = (c) => { const [r, g, b] = c.match(/[\d.]+/g).map((v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!c.endsWith(", 0)") && c !== "transparent") return c; } };
		return [...document.querySelectorAll(".text span")].filter((e) => { const [a, b] = [l(getComputedStyle(e).color), l(ground(e))].sort((x, y) => x - y); return (b + 0.05) / (a + 0.05) < 4.5; }).map((e) => e.outerHTML.slice(0, 100));
	})()`)
	if len(low) > 0 {
		t.Errorf("too little contrast: %s", lines(low))
	}
	b.shoot("view-hostile")

	b.do(chromedp.Click(fmt.Sprintf(`[data-line="%d"] [data-act=states]`, n+5), chromedp.ByQuery))
	b.until(shownText(n+5) + `.startsWith("10%\n 50%\n100% done")`)
	b.until(fmt.Sprintf(`document.querySelector('[data-line="%d"] [data-act=more]').textContent === "show more: the line has 3.0 MB"`, n+6))
	b.do(chromedp.Evaluate(fmt.Sprintf(`document.querySelector('[data-line="%d"] [data-act=more]').click()`, n+6), nil))
	b.until(fmt.Sprintf(`document.querySelector('[data-line="%d"] .text').textContent.length > 36000`, n+6))

	if found := eval[[]string](b, `[...document.querySelectorAll("[data-hostile], [onerror], [onload], iframe, base, img, #lead a")].map((e) => e.outerHTML.slice(0, 200))`); len(found) > 0 {
		t.Errorf("in the page: %s", lines(found))
	}
	b.quiet("hostile")
}

func TestViewerEmpty(t *testing.T) {
	v := newViewer(t, view.Build{Artifacts: []view.Artifact{artifactOf("empty.log", "")}})
	b := v.tab(t, chromium(t), phone, true, "")
	b.until(`document.querySelector(".state").textContent === "This log is empty."`)
	b.press("e", "z", "Z")
	b.until(said + ` === "nothing to fold"`)
	b.press(kb.End, kb.Home, " ")
	for _, found := range b.axe() {
		t.Errorf("axe-core: %s", found)
	}
	b.shoot("view-empty")
	b.quiet("empty")
}

// A hundred thousand tasks are folded as a few are.
func TestViewerManyTasks(t *testing.T) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "TASK [step %d] ***\nok: [host]\n\n", i+1)
	}
	v := newViewer(t, view.Build{Artifacts: []view.Artifact{artifactOf("many.log", text.String())}})
	b := v.tab(t, chromium(t), laptop, false, "")
	b.until(`document.querySelector("#outline-state").textContent.startsWith("100,000 in all")`)
	b.press("Z")
	b.until(said + ` === "100,000 folded" && ` + inSight + `.length > 10 && ` + inSight + `.every((n) => n % 3 === 1)`)
	b.press(kb.End)
	b.until(inSight + `.includes(299998)`)
	b.press("g", "1", "5", "0", "0", "0", "0", kb.Enter)
	b.until(selected + ` === "150000" && ` + inSight + `.includes(149999) && !` + inSight + `.includes(150002)`)
	b.until(`document.querySelector(".entry[aria-current]").textContent === "step 50000"`)
	if n := eval[int](b, `document.querySelectorAll("*").length`); n > 3000 {
		t.Errorf("the page has %d elements", n)
	}
	b.quiet("many tasks")
}

// When vitrine ends, the page says so.
func TestViewerEnds(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), phone, false, "")
	if eval[bool](b, `document.querySelector("#ended").checkVisibility()`) {
		t.Error("the page says that vitrine has ended while it goes on")
	}
	v.stop()
	b.until(`document.querySelector("#ended").checkVisibility()`)
	b.press(kb.Home) // no empty lines where none can come any more
	b.until(`document.querySelector('[data-line="1"]') && [...document.querySelectorAll(".absent")].every((e) => getComputedStyle(e).visibility === "hidden")`)
	b.shoot("view-ended")
}

// Two logs beside each other are at the same time.
func TestViewerSideBySide(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "")
	b.press("s")
	b.until(`document.querySelectorAll(".pane").length === 2 && document.querySelectorAll(".pane")[1].querySelector(".size").textContent.includes("600 lines")`)
	b.press("g", "1", "0", "0", "1", kb.Enter) // 250 s after the beginning
	b.until(selected + ` === "1001"`)
	// The line of that time in the other is marked, at the same height.
	level := `(() => { const one = document.querySelector(".selected"), other = document.querySelector(".pane:nth-child(2) .partner");
		return one && other && Math.abs(one.getBoundingClientRect().top - other.getBoundingClientRect().top) < 2 && other.dataset.line; })()`
	b.until(level + ` == "251"`)
	b.do(chromedp.Click(`.pane:first-child [data-line="1005"] .n`, chromedp.ByQuery)) // it goes with what is selected
	b.until(level + ` == "252"`)
	b.press("3") // and with what is filtered
	b.until(`document.querySelector(".pane .gap") && (() => { const n = Number(document.querySelector(".pane:nth-child(2) .partner")?.dataset.line); return n !== 252; })()`)
	b.press("1")
	b.until(level + ` == "252"`)
	b.shoot("view-beside")
	for _, found := range b.axe() {
		t.Errorf("axe-core: %s", found)
	}
	b.press("s")
	b.until(`document.querySelectorAll(".pane").length === 1`)
	b.quiet("side by side")
}

// Lines that are selected can be kept as a file, as they are.
func TestViewerDownload(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), laptop, false, "#L3-L4")
	b.until(selected + ` === "3,4"`)
	dir := t.TempDir()
	b.do(cdpbrowser.SetDownloadBehavior(cdpbrowser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir))
	b.press("d")
	want := strings.Join(strings.SplitAfter(ansibleLog(400, 160), "\n")[2:4], "")
	deadline := time.Now().Add(15 * time.Second)
	for {
		got, _ := os.ReadFile(filepath.Join(dir, "service-codesearch.yaml.log"))
		if string(got) == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the file holds %q, want %q", got, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A gated log can be read from an offset on, and before that once it is opened.
type gated struct {
	*bytes.Reader
	from int64
	open chan struct{}
}

func (g *gated) ReadAt(p []byte, off int64) (int, error) {
	if off < g.from {
		<-g.open
	}
	return g.Reader.ReadAt(p, off)
}

// The last lines are there before anybody knows how many there are, and stay where
// they are when their numbers come.
func TestViewerCountsLater(t *testing.T) {
	text := systemLog(200_000)
	src := &gated{bytes.NewReader([]byte(text)), int64(len(text)) - 1<<20, make(chan struct{})}
	v := newViewer(t, view.Build{Artifacts: []view.Artifact{{Path: "system.log", Size: src.Size(),
		Open: func(context.Context) (*log.Log, error) { return log.New(src), nil }}}})
	t.Cleanup(sync.OnceFunc(func() {
		select {
		case <-src.open:
		default:
			close(src.open)
		}
	}))
	b := v.tab(t, chromium(t), laptop, false, "#L5-L6")
	b.until(`document.querySelector(".size").textContent.endsWith("counting its lines…")`)
	b.until(shownText(400) + `.includes("event 200000 of") && document.querySelector('[data-line="400"] .n').textContent === "·"`)
	b.press("k", "k", "k")
	b.until(inSight + `.includes(396) && !(` + inSight + `.includes(399))`)
	close(src.open)
	b.until(`document.querySelector(".size").textContent.endsWith("200,000 lines")`)
	b.until(selected + ` === "5,6" && ` + shownText(5) + `.includes("event 5 of")`) // what the address asked for
	b.quiet("counted later")
}

// Wrapped lines have any height, and moving is exact all the same.
func TestViewerWraps(t *testing.T) {
	v := newViewer(t, deploy())
	b := v.tab(t, chromium(t), phone, false, "#L1000")
	b.until(selected + ` === "1000"`)
	b.until(`document.querySelector('[data-line="1001"]').offsetHeight > 60`)
	b.shoot("view-wrapped")
	b.press(kb.Home)
	b.until(first + ` === 1`)
	for want := 2; want <= 12; want++ {
		b.press("j")
		b.until(fmt.Sprintf(`%s === %d`, first, want))
	}
	b.press("k", "k")
	b.until(first + ` === 10`)
	// What is read by windows has no line left out: each begins before the last one's end.
	for range 5 {
		last := eval[int](b, `Math.max(...`+inSight+`)`)
		b.press(" ")
		b.until(fmt.Sprintf(`%s <= %d && Math.max(...%s) > %d`, first, last, inSight, last))
	}
	// By finger too.
	top := eval[int](b, first)
	b.do(chromedp.Evaluate(`(() => { const view = document.querySelector(".view"), at = (type, y) => view.dispatchEvent(new PointerEvent(type, {pointerType: "touch", clientY: y, bubbles: true}));
		at("pointerdown", 600); at("pointermove", 100); at("pointerup", 100); })()`, nil))
	b.until(fmt.Sprintf(`%s > %d`, first, top))
	b.press(kb.End)
	b.until(inSight + `.includes(2006)`)
	if n := eval[int64](b, "document.scrollingElement.scrollWidth"); n > phone.width {
		t.Errorf("%d px wide, the screen has %d", n, phone.width)
	}
	b.quiet("wraps")
}
