//go:build browser

package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A size is that of a screen that pages are looked at on.
type size struct {
	name          string
	width, height int64
	mobile        bool
}

var (
	phone  = size{"phone", 390, 844, true}
	laptop = size{"laptop", 1280, 860, false}
	wall   = size{"wall", 1920, 1080, false}
	sizes  = []size{phone, laptop, wall}
)

// chromium starts a browser for a test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.Flag("hide-scrollbars", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// A tab is a page in the browser that notes what it should not do.
type tab struct {
	t    *testing.T
	ctx  context.Context
	host string

	mu       sync.Mutex
	problems []string
}

func newTab(t *testing.T, browser context.Context, w *world) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	u, _ := url.Parse(w.url)
	b := &tab{t: t, ctx: ctx, host: u.Host}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if u, err := url.Parse(e.Request.URL); err != nil || u.Host != b.host && u.Scheme != "data" && u.Scheme != "about" {
				b.problem("a request to %s", e.Request.URL)
			}
		case *page.EventJavascriptDialogOpening:
			b.problem("a dialog: %s", e.Message)
			go chromedp.Run(ctx, page.HandleJavaScriptDialog(false))
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError || e.Entry.Source == log.SourceSecurity {
				b.problem("in the console: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			b.problem("an exception: %v", e.ExceptionDetails)
		}
	})
	// The first run makes the tab, which lives as long as that run's context.
	if err := chromedp.Run(ctx, log.Enable(), network.Enable()); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return b
}

func (b *tab) problem(format string, a ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, fmt.Sprintf(format, a...))
}

// quiet fails the test if the page did anything it should not, and forgets it.
func (b *tab) quiet(what string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("%s: %s", what, p)
	}
	b.problems = nil
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
}

// look sets the size and the colours of the screen.
func (b *tab) look(s size, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(page.BringToFront(), // a tab behind another draws nothing
		emulation.SetDeviceMetricsOverride(s.width, s.height, 1, s.mobile),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
}

// open goes to a page, which must be there.
func (b *tab) open(address string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, chromedp.Navigate(address))
	if err != nil {
		b.t.Fatalf("open %s: %v", address, err)
	}
	if response != nil && response.Status != 200 {
		b.t.Fatalf("open %s: status %d", address, response.Status)
	}
}

// eval is the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	var v T
	b.do(chromedp.Evaluate(expression, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return v
}

// until waits for an expression to become true.
func (b *tab) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !eval[bool](b, "(() => { try { return Boolean("+expression+"); } catch { return false; } })()") {
		if time.Now().After(deadline) {
			b.t.Fatalf("never came true: %s", expression)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// shoot keeps a picture of the whole page, for people to look at.
func (b *tab) shoot(name string) {
	b.t.Helper()
	var png []byte
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		var err error
		png, err = page.CaptureScreenshot().WithCaptureBeyondViewport(false).Do(ctx)
		return err
	}))
	dir := screenshots()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func screenshots() string {
	if dir := os.Getenv("VITRINE_SCREENSHOTS"); dir != "" {
		return dir
	}
	return "screenshots"
}

// axe is what axe-core finds wrong with the page, one line each.
func (b *tab) axe() []string {
	b.t.Helper()
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		b.t.Fatalf("axe-core is not installed (npm ci in this folder does it): %v", err)
	}
	b.do(chromedp.Evaluate(string(source)+";0", nil))
	return eval[[]string](b, `axe.run(document, {iframes: false, resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) =>
		r.violations.flatMap((v) => v.nodes.slice(0, 3).map((n) => v.id + ": " + v.help + ": " + n.html.slice(0, 120) + " " + (n.failureSummary || "").replace(/\s+/g, " ").slice(29, 200))))`)
}

// lines joins what a test shows of a list.
func lines(list []string) string { return strings.Join(list, "\n\t") }
