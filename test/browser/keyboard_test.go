//go:build browser

package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// maxTabs bounds how far a test goes through a page by the Tab key.
const maxTabs = 150

// By the Tab key one comes to everything that can be used, in the order of the
// page, always seeing where one is, and out again at its end.
func TestKeyboard(t *testing.T) {
	w := newWorld(t)
	browser := chromium(t)
	for name, path := range w.pages() {
		t.Run(name, func(t *testing.T) {
			b := newTab(t, browser, w)
			b.look(laptop, false)
			b.open(w.url + path)
			want := eval[int](b, `(window.wanted = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, iframe, [tabindex='0']")]
				.filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({visibilityProperty: true}) && !e.closest("details:not([open]) > :not(summary)"))).length`)
			seen := 0
			for range min(want, maxTabs) {
				b.do(chromedp.KeyEvent(kb.Tab))
				where := eval[struct {
					At    int
					Shown bool
					HTML  string
				}](b, `(() => {
					const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
					const ring = (s) => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== "none";
					return {At: window.wanted.indexOf(e), HTML: e.outerHTML.slice(0, 150),
						Shown: e.tagName === "IFRAME" || r.width > 0 && r.height > 0 && (ring(s) || ring(getComputedStyle(e.parentElement)))};
				})()`)
				if where.At < 0 {
					break // the end of the page
				}
				if !where.Shown {
					t.Errorf("nothing shows that this has the focus: %s", where.HTML)
				}
				seen++
			}
			if seen < min(want, maxTabs)*95/100 || want == 0 {
				t.Errorf("the Tab key came to %d of %d", seen, want)
			}
			b.quiet(name)
		})
	}
}
