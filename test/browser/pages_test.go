//go:build browser

package browser

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// pages are all pages that people see, by a name for their picture.
func (w *world) pages() map[string]string {
	t := "/t/" + tenant
	return map[string]string{
		"overview":          "/",
		"builds":            t + "/builds",
		"builds-filtered":   t + "/builds?job_name=infra-prod-*&result=not:SKIPPED&from=2026-01-01",
		"builds-empty":      t + "/builds?job_name=nothing-has-this-name",
		"build":             t + "/build/" + w.good.UUID,
		"build-failed":      t + "/build/" + w.failed.UUID,
		"build-running":     t + "/build/" + w.running.UUID,
		"build-lost":        t + "/build/" + w.lost.UUID,
		"build-interrupted": t + "/build/" + w.interrupted.UUID,
		"build-expired":     t + "/build/" + w.expired.UUID,
		"build-kept":        t + "/build/" + w.kept.UUID,
		"build-unsigned":    t + "/build/" + w.unsigned.UUID,
		"build-forged":      t + "/build/" + w.forged.UUID,
		"build-imported":    t + "/build/" + w.imported.UUID,
		"build-hostile":     t + "/build/" + w.hostile.UUID,
		"build-missing":     t + "/build/" + w.missing.UUID,
		"build-pushed":      t + "/build/" + w.pushed.UUID,
		"gallery":           t + "/build/" + w.good.UUID + "/gallery",
		"buildset":          t + "/buildset/" + w.good.Buildset,
		"job":               t + "/job/infra-prod-service-codesearch",
		"job-imported":      t + "/job/tox-py312",
		"service":           t + "/service/codesearch",
		"service-hostile":   t + "/service/hostile",
		"keyring":           t + "/keyring",
		"logs":              "/logs/" + tenant + "/" + w.good.UUID + "/",
		"logs-hostile":      "/logs/" + tenant + "/" + w.hostile.UUID + "/",
		"builds-hostile":    t + "/builds?service=hostile",
	}
}

// Every page at every size, light and dark: a picture for people, and for the
// test that nothing breaks out, sideways or elsewhere, and that axe-core finds no
// barrier.
func TestPages(t *testing.T) {
	w := newWorld(t)
	browser := chromium(t)
	for name, path := range w.pages() {
		t.Run(name, func(t *testing.T) {
			b := newTab(t, browser, w)
			told := make(map[string]bool)
			for _, s := range sizes {
				for _, dark := range []bool{false, true} {
					shot := name + "-" + s.name + "-light"
					if dark {
						shot = name + "-" + s.name + "-dark"
					}
					b.look(s, dark)
					b.open(w.url + path)
					b.shoot(shot)
					if n := eval[int64](b, "document.scrollingElement.scrollWidth"); n > s.width {
						t.Errorf("%s: %d px wide, the screen has %d", shot, n, s.width)
					}
					if found := eval[[]string](b, `[...document.querySelectorAll("[data-hostile], [onerror], [style], script:not([src])")].map((e) => e.outerHTML.slice(0, 200))`); len(found) > 0 {
						t.Errorf("%s: in the page:\n\t%s", shot, lines(found))
					}
					if s != wall {
						for _, found := range b.axe() {
							if !told[found] {
								t.Errorf("%s: axe-core: %s", shot, found)
							}
							told[found] = true
						}
					}
					b.quiet(shot)
				}
			}
		})
	}
}

// Without JavaScript every page shows the same, and forms and links work.
func TestWithoutJavaScript(t *testing.T) {
	w := newWorld(t)
	b := newTab(t, chromium(t), w)
	b.look(laptop, false)
	text := func(path string) string {
		b.open(w.url + path)
		return eval[string](b, "document.querySelector('main').innerText")
	}
	for name, path := range w.pages() {
		b.do(emulation.SetScriptExecutionDisabled(false))
		with := text(path)
		b.do(emulation.SetScriptExecutionDisabled(true))
		without := text(path)
		if len(without) < len(with)*8/10 || len(without) < 20 {
			t.Errorf("%s: %d characters without JavaScript, %d with it", name, len(without), len(with))
		}
	}
}

// The Nu validator finds no error in the HTML of any page.
func TestValidHTML(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	for name, path := range w.pages() {
		resp, err := http.Get(w.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", name, resp.Status, err)
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name+".html"), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	viewer, err := os.ReadFile("../../view/static/page.html")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "view.html"), viewer, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xss8m", "-jar", "node_modules/vnu-jar/build/dist/vnu.jar", "--format", "json", "--exit-zero-always", dir)
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("the validator: %v: %s", err, out.String())
	}
	var report struct {
		Messages []struct{ Type, URL, Message, Extract string }
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatalf("the validator said %.300s: %v", out.String(), err)
	}
	for _, m := range report.Messages {
		if m.Type != "info" {
			t.Errorf("%s: %s: %.200q", filepath.Base(m.URL), m.Message, m.Extract)
		}
	}
}
