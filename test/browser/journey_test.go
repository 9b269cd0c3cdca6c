//go:build browser

package browser

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"vitrine"
)

// click clicks the first element of a selector and waits for what follows from it.
func (b *tab) click(selector, then string) {
	b.t.Helper()
	b.do(chromedp.Click(selector, chromedp.ByQuery))
	b.until(then)
}

// Somebody looks for a failed deploy: filters, drops a filter, pages, jumps to a
// day, goes to the build, its job, its service and back; once with JavaScript and
// once without.
func TestFindABuild(t *testing.T) {
	w := newWorld(t)
	chromium := chromium(t)
	for _, script := range []bool{true, false} {
		name := map[bool]string{true: "with JavaScript", false: "without"}[script]
		t.Run(name, func(t *testing.T) {
			b := newTab(t, chromium, w)
			b.look(laptop, false)
			b.do(emulation.SetScriptExecutionDisabled(!script))
			b.open(w.url + "/")
			b.click(`nav[aria-label="Pages"] a:nth-of-type(2)`, `location.pathname.endsWith("/builds")`)

			b.do(chromedp.Click(`//summary[text()="job"]`), chromedp.SendKeys("#f-job_name", "infra-prod-service-re*"+kb.Enter, chromedp.ByQuery))
			b.until(`location.search.includes("job_name=infra-prod-service-re")`)
			b.do(chromedp.Click(`//summary[text()="result"]`), chromedp.Click(`.results [value=FAILURE]`, chromedp.ByQuery))
			b.click("details[open] button", `location.search.includes("result=FAILURE")`)
			if got := eval[int](b, `document.querySelectorAll(".chip.on").length`); got != 2 {
				t.Errorf("%d chips, want 2", got)
			}
			if got := eval[bool](b, `[...document.querySelectorAll("tbody .c-job")].every((e) => /Failed/.test(e.innerText) && /infra-prod-service-re/.test(e.innerText))`); !got {
				t.Error("other builds than those asked for")
			}
			b.click(`.chip.on[aria-label*="result"]`, `!location.search.includes("result")`)
			b.click(`.chip.on`, `location.search === ""`)

			first := eval[string](b, `document.querySelector("tbody a.name").href`)
			b.click(`a[rel="next"]`, `location.search.includes("before=")`)
			b.click(`a[rel="prev"]`, `document.querySelector("tbody a.name").href === "`+first+`"`)
			day := w.now.AddDate(0, 0, -10).Format(time.DateOnly)
			b.open(w.url + "/t/" + tenant + "/builds?at=" + day)
			if got := eval[string](b, `document.querySelector("tbody time").dateTime.slice(0, 10)`); got > day {
				t.Errorf("the jump to %s leads to %s", day, got)
			}

			b.open(w.url + "/t/" + tenant + "/build/" + w.good.UUID)
			b.click(".crumb a:nth-of-type(2)", `location.pathname.endsWith("/job/infra-prod-service-codesearch")`)
			b.click(".crumb a", `location.pathname.endsWith("/service/codesearch")`)
			b.open(w.url + "/t/" + tenant + "/search?q=" + w.good.UUID[:9])
			if got := eval[string](b, "location.pathname"); !strings.HasSuffix(got, w.good.UUID) {
				t.Errorf("the search leads to %s", got)
			}
			b.quiet(name)
		})
	}
}

// A list that is open says that there are newer builds, moves nothing, and shows
// the end of one that ran.
func TestLive(t *testing.T) {
	w := newWorld(t)
	b := newTab(t, chromium(t), w)
	b.look(laptop, false)
	b.open(w.url + "/t/" + tenant + "/builds")
	b.until(`!document.getElementById("live").hidden`)
	rows := `[...document.querySelectorAll("tbody a.name")].map((a) => a.pathname)`
	before := eval[[]string](b, rows)

	fresh := w.withReaders(w.record(99, "zuul", 5*time.Second, 2*time.Second))
	w.publish(fresh)
	ended := *w.running
	ended.Result, ended.EndTime = vitrine.Success, w.now
	w.publish(&ended)
	w.must(w.server.Refresh(t.Context()))

	b.until(`document.getElementById("news").textContent.includes("1 new build")`)
	b.until(`/Succeeded/.test(document.getElementById("b-` + w.running.UUID + `").innerText)`)
	if after := eval[[]string](b, rows); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("the list moved: %v\nwas %v", after, before)
	}
	b.click("#news a", `document.querySelector("tbody a.name").pathname.endsWith("`+fresh.UUID+`")`)
	b.quiet("the list")
}

// The page of a build that runs counts on, and becomes that of its end by itself,
// with the focus where it was and the end said aloud.
func TestBuildEnds(t *testing.T) {
	w := newWorld(t)
	b := newTab(t, chromium(t), w)
	b.look(laptop, false)
	b.open(w.url + "/t/" + tenant + "/build/" + w.running.UUID)
	b.until(`!document.querySelector("[data-live]").hidden && document.querySelector("[data-still]").hidden`)
	b.do(chromedp.Evaluate(`window.first = document.querySelector("[data-since]").textContent; 0`, nil))
	b.until(`/^1 min \d\d s$/.test(document.querySelector("[data-since]").textContent) && document.querySelector("[data-since]").textContent !== window.first`)
	b.do(chromedp.Focus(".crumb a:nth-of-type(2)", chromedp.ByQuery))

	ended := *w.running
	ended.Result, ended.EndTime = vitrine.Success, w.now
	w.file(&ended, "report.html", "text/html", []byte("<!doctype html><title>R</title><p>All is well."))
	w.publish(&ended)
	w.must(w.server.Refresh(t.Context()))
	b.until(`/^Succeeded in 1 min/.test(document.querySelector("h1").innerText) && document.title.startsWith("Succeeded")`)
	if got := eval[bool](b, `document.activeElement.matches(".crumb a:nth-of-type(2)") && /Succeeded/.test(document.querySelector("body > [role=status]").textContent)
		&& !document.querySelector("[data-events], [data-since]") && document.querySelectorAll(".cmd").length === document.querySelectorAll(".cmd button").length`); !got {
		t.Error("the focus, the word aloud or the copy buttons are lost")
	}
	b.do(chromedp.Evaluate(`document.querySelector("iframe").scrollIntoView(); 0`, nil))
	time.Sleep(300 * time.Millisecond) // for the frame, which the policy must let in
	b.quiet("the build")
}

// The images of a build are looked at by keyboard, and beside those of the build
// before.
func TestGallery(t *testing.T) {
	w := newWorld(t)
	b := newTab(t, chromium(t), w)
	b.look(laptop, false)
	b.open(w.url + "/t/" + tenant + "/build/" + w.good.UUID + "/gallery")
	if got := eval[int](b, `document.querySelectorAll(".gallery .pair img").length`); got != 4 {
		t.Errorf("%d images, want two of this build beside two of the one before", got)
	}
	b.do(chromedp.Focus(".gallery a.open", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelector(".full:target")`)
	b.shoot("gallery-large-laptop-light")
	first := eval[string](b, "location.hash")
	covers := func() {
		t.Helper()
		if got := eval[string](b, `(() => { const r = document.querySelector(".full:target").getBoundingClientRect(); return [r.x, r.y, r.width - innerWidth, r.height - innerHeight].join(" "); })()`); got != "0 0 0 0" {
			t.Errorf("the large view is off by %s", got)
		}
	}
	covers()
	sides := `[...document.querySelectorAll(".full:target figure")].filter((e) => e.checkVisibility()).map((e) => e.className).join(" ")`
	for _, press := range []struct{ key, want string }{{"b", "before"}, {" ", "now"}, {" ", "before"}, {"a", "now"}, {"s", "before now"}} {
		b.do(chromedp.KeyEvent(press.key))
		if got := eval[string](b, sides); got != press.want {
			t.Errorf("key %q shows %q, want %q", press.key, got, press.want)
		}
	}
	b.do(chromedp.KeyEvent("1"))
	if got := eval[bool](b, `[...document.querySelectorAll(".full:target img")].every((e) => e.width === e.naturalWidth)`); !got {
		t.Error("1:1 is not")
	}
	b.do(chromedp.KeyEvent("1"), chromedp.KeyEvent(kb.ArrowRight))
	b.until(`location.hash !== "` + first + `" && document.querySelector(".full:target")`)
	covers()
	b.do(chromedp.KeyEvent(kb.ArrowLeft))
	b.until(`location.hash === "` + first + `"`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until(`!document.querySelector(".full:target") && document.activeElement.matches(".open")`)
	b.quiet("the gallery")
}

// What a publisher declares public is never a page of ours (T-WEB-4): opened by
// its address it is downloaded, and in a frame of the build's page it runs nothing.
func TestHostileFiles(t *testing.T) {
	w := newWorld(t)
	b := newTab(t, chromium(t), w)
	b.look(laptop, false)
	dir := t.TempDir()
	b.do(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir).WithEventsEnabled(true))
	begun := make(chan string, 10)
	chromedp.ListenTarget(b.ctx, func(event any) {
		if e, ok := event.(*browser.EventDownloadWillBegin); ok {
			begun <- e.SuggestedFilename
		}
	})
	build := "/api/v1/tenant/" + tenant + "/builds/" + w.hostile.UUID + "/artifacts/"
	logs := "/logs/" + tenant + "/" + w.hostile.UUID + "/"
	for _, path := range []string{build + "evil.html", build + "evil.svg", logs + "evil.html", logs + "evil.svg"} {
		b.open(w.url + "/t/" + tenant + "/keyring")
		chromedp.Run(b.ctx, chromedp.Navigate(w.url+path)) // which a download breaks off
		select {
		case name := <-begun:
			if !strings.HasPrefix(name, "evil.") {
				t.Errorf("%s is downloaded as %q", path, name)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s is not downloaded", path)
		}
	}
	b.quiet("downloads")

	b.open(w.url + "/t/" + tenant + "/build/" + w.hostile.UUID)
	b.do(chromedp.Evaluate(`for (const d of document.querySelectorAll("details")) d.open = true; for (const f of document.querySelectorAll("iframe")) f.scrollIntoView(); 0`, nil))
	time.Sleep(time.Second) // for what must not happen
	if got := eval[string](b, "document.title"); strings.Contains(got, "owned") {
		t.Errorf("the title is %q", got)
	}
	for _, p := range b.problems {
		// The policy says what it stopped; that it had to is not the page's doing.
		if !strings.Contains(p, "Blocked script execution") && !strings.Contains(p, "violates the following Content Security Policy") && !strings.Contains(p, "sandbox") {
			t.Errorf("the build's page: %s", p)
		}
	}
	resp, err := http.Get(w.url + "/t/" + tenant + "/build/" + w.hostile.UUID + "/preview/evil.html")
	w.must(err)
	resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.Request.URL.Path == "/t/"+tenant+"/build/"+w.hostile.UUID+"/preview/evil.html" && strings.Contains(got, "html") && resp.StatusCode == 200 {
		t.Errorf("the preview outside of a frame is served as %s", got)
	}
}
