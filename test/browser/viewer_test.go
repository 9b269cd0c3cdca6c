//go:build browser

package browser

import (
	"testing"
)

// What a reader sees first, on every screen: how the build ended, what failed, and
// the last lines of its log.
func TestViewerFirstScreen(t *testing.T) {
	v := newViewer(t, deploy())
	browser := chromium(t)
	for _, s := range sizes {
		for _, dark := range []bool{false, true} {
			shot := "view-" + s.name + map[bool]string{false: "-light", true: "-dark"}[dark]
			t.Run(shot, func(t *testing.T) {
				b := v.tab(t, browser, s, dark, "")
				b.until(`document.querySelector("#title").textContent.match(/^Failed after 3 min 22 s, .+\. 2 failures, 1 warning\.$/) && document.querySelector("#lead").textContent.includes("change 894201, patchset 3, of opendev/system-config")`)
				b.until(inSight + `.includes(2006)`)
				if s != phone {
					b.until(`document.querySelector("#outline-state").textContent.startsWith("402 in all, 2 with errors")`)
				}
				b.shoot(shot)
				if n := eval[int64](b, "document.scrollingElement.scrollWidth"); n > s.width {
					t.Errorf("%d px wide, the screen has %d", n, s.width)
				}
				for _, found := range b.axe() {
					t.Errorf("axe-core: %s", found)
				}
				b.quiet(shot)
			})
		}
	}
}
