//go:build browser

package browser

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"vitrine/crypto"
)

const (
	bigSize = 1 << 30
	tabMost = 200 << 20 // bytes of heap in the tab
	rowMost = 400
)

// sealBig seals a log of at least size bytes to an identity, and returns its
// number of lines. Every millionth line has a needle.
func sealBig(t *testing.T, path string, to age.Recipient, size int) (n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := crypto.Seal(f, to)
	if err != nil {
		t.Fatal(err)
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	var line []byte
	for written := 0; written < size; written += len(line) {
		n++
		line = fmt.Appendf(line[:0], "%s | builder | compile -o /tmp/build/b%06d/pkg.a -trimpath /tmp/build -p internal/p%05d -lang go1.26 -complete", began.Add(time.Duration(n)*time.Millisecond).Format("2006-01-02 15:04:05.000"), n, n%9973)
		if n%1_000_000 == 0 {
			line = append(line, " needle"...)
		}
		line = append(line, '\n')
		buf.Write(line)
	}
	if err := buf.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// command runs vitrine view on a file, and returns the address of its page.
func command(t *testing.T, args ...string) *viewer {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "vitrine")
	if out, err := exec.Command("go", "build", "-o", binary, "vitrine/cmd/vitrine").CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, append([]string{"view", "--no-browser"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	told := bufio.NewScanner(stderr)
	for told.Scan() {
		if at := strings.Index(told.Text(), "http://127.0.0.1:"); at >= 0 {
			address := told.Text()[at:]
			go io.Copy(io.Discard, stderr)
			return &viewer{url: address}
		}
	}
	t.Fatal("vitrine view said no address")
	return nil
}

// A sealed log of 1 GB is looked at as a short one is, in a tab that stays small.
func TestViewerBigLog(t *testing.T) {
	dir := t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key, log := filepath.Join(dir, "identity.txt"), filepath.Join(dir, "build.log.zst.age")
	if err := os.WriteFile(key, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	last := sealBig(t, log, id.Recipient(), bigSize)
	v := command(t, "-i", key, "--file", log)
	t.Logf("sealed, and the command built, in %v", time.Since(begin).Round(time.Second))
	begin = time.Now()
	b := v.tab(t, chromium(t), laptop, false, "")
	t.Logf("%d lines; first screen after %v", last, time.Since(begin).Round(time.Millisecond))
	b.until(fmt.Sprintf(`document.querySelector(".size").textContent.endsWith("%s lines")`, thousands(last)))

	ends := func(line int) string {
		return fmt.Sprintf(`%s.includes("/b%06d/pkg.a")`, shownText(int64(line)), line)
	}
	b.until(ends(last) + ` && ` + inSight + fmt.Sprintf(`.includes(%d)`, last))
	for _, line := range []int{1, last / 2, last - 1, 3_999_999} {
		b.goTo(line)
		b.until(ends(line) + ` && ` + selected + fmt.Sprintf(` === "%d" && %s.includes(%d)`, line, inSight, line))
	}
	// The bar goes to where it is dragged, the wheel on from there line by line.
	b.do(chromedp.Evaluate(`(() => { const bar = document.querySelector(".bar"), r = bar.getBoundingClientRect();
		bar.setPointerCapture = () => {};
		for (const type of ["pointerdown", "pointerup"]) bar.dispatchEvent(new PointerEvent(type, {pointerId: 1, clientY: r.top + r.height / 4, bubbles: true})); })()`, nil))
	b.until(fmt.Sprintf(`Math.abs(%s / %d - 0.24) < 0.02`, first, last))
	top := eval[int](b, first)
	b.do(chromedp.Evaluate(`document.querySelector(".view").dispatchEvent(new WheelEvent("wheel", {deltaY: 20 * 57, cancelable: true}))`, nil))
	b.until(fmt.Sprintf(`%s === %d`, first, top+57))

	// A search counts while it runs, and ends when it is told to.
	b.press("/")
	b.press(strings.Split("compile", "")...)
	// By the page itself: here one may learn of it when the search has ended.
	b.do(chromedp.Evaluate(`new MutationObserver((_, all) => { if (parseInt(`+found+`.replaceAll(",", "")) > 100_000) { all.disconnect(); document.querySelector("#stop").click(); } }).observe(document.querySelector("#found"), {childList: true}); undefined`, nil))
	b.press(kb.Enter)
	b.until(found + `.startsWith("stopped")`)
	b.small("with 100,000 lines found")
	b.press(kb.Escape)
	b.press("/")
	b.press(strings.Split("needle", "")...)
	b.press(kb.Enter)
	want := last / 1_000_000
	b.until(found + fmt.Sprintf(`.endsWith("of %d")`, want))

	// Through all of the log and back, and once around in the whole of it.
	b.press("o")
	b.do(chromedp.Click("#outline-state button", chromedp.ByQuery))
	for i := range 12 {
		b.goTo(1 + i*last/12)
		b.until(ends(1 + i*last/12))
	}
	b.until(`document.querySelector("#outline-state").textContent === "No plays, tasks or groups in this log."`)
	b.shoot("view-1gb")
	b.small("at the end")
	rows := eval[int](b, `document.querySelectorAll(".row").length`)
	if rows > rowMost || rows == 0 {
		t.Errorf("%d rows are laid out, want at most %d", rows, rowMost)
	}
	b.quiet("a log of 1 GB")
}

// small fails the test if the tab holds too much memory.
func (b *tab) small(when string) {
	b.t.Helper()
	var metrics []*performance.Metric
	b.do(performance.Enable(), chromedp.ActionFunc(func(ctx context.Context) (err error) {
		metrics, err = performance.GetMetrics().Do(ctx)
		return err
	}))
	value := make(map[string]float64)
	for _, m := range metrics {
		value[m.Name] = m.Value
	}
	b.t.Logf("%s: %.1f MB of heap in use, %.1f MB in all, %.0f nodes", when, value["JSHeapUsedSize"]/1e6, value["JSHeapTotalSize"]/1e6, value["Nodes"])
	if heap := value["JSHeapTotalSize"]; heap == 0 || heap > tabMost {
		b.t.Errorf("%s: the tab's heap has %.0f bytes, want at most %d", when, heap, tabMost)
	}
}

// goTo goes to a line as one does by keyboard.
func (b *tab) goTo(line int) {
	b.t.Helper()
	b.press(append(append([]string{"g"}, strings.Split(fmt.Sprint(line), "")...), kb.Enter)...)
}

// thousands is a number as the page says it.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}
