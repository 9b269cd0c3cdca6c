package view_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vitrine/lines"
	"vitrine/summary"
	"vitrine/view"
)

// memory is a log that lies in memory.
func memory(path, text string) view.Artifact {
	return view.Artifact{Path: path, Size: int64(len(text)),
		Open: func(context.Context) (*lines.Log, error) { return lines.New(strings.NewReader(text)), nil }}
}

// A viewer is somebody who looks at a build by a real server.
type viewer struct {
	t    testing.TB
	host string
	path string // of the page
	srv  *view.Server
}

// start serves a build until the test ends.
func start(t testing.TB, b view.Build) *viewer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, path, err := view.New(l.Addr().String(), b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		end()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &viewer{t, l.Addr().String(), path, s}
}

func startLogs(t testing.TB, texts ...string) *viewer {
	t.Helper()
	var b view.Build
	for _, text := range texts {
		b.Artifacts = append(b.Artifacts, memory("console.log", text))
	}
	return start(t, b)
}

// get asks for what is below the page's path.
func (v *viewer) get(ctx context.Context, below string) *http.Response {
	v.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.host+v.path+below, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// text is an answer, which must have the status.
func (v *viewer) text(status int, below string) string {
	v.t.Helper()
	resp := v.get(v.t.Context(), below)
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		v.t.Fatalf("GET %s: %s, %v, %.300s; want %d", below, resp.Status, err, text, status)
	}
	return string(text)
}

// json reads an answer of JSON.
func (v *viewer) json(below string, into any) {
	v.t.Helper()
	if text := v.text(http.StatusOK, below); json.Unmarshal([]byte(text), into) != nil {
		v.t.Fatalf("GET %s: no JSON: %.300s", below, text)
	}
}

// events reads an answer of a JSON value a line, but for the progress.
func (v *viewer) events(below string) []map[string]any {
	v.t.Helper()
	var all []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(v.text(http.StatusOK, below)), "\n") {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			v.t.Fatalf("GET %s: %q: %v", below, line, err)
		}
		if _, ok := e["at"]; !ok {
			all = append(all, e)
		}
	}
	return all
}

func TestNewRefuses(t *testing.T) {
	for _, host := range []string{"", "127.0.0.1", "0.0.0.0:80", "localhost:80", "192.0.2.1:80", "[::1]:80", ":80"} {
		if _, _, err := view.New(host, view.Build{}); err == nil {
			t.Errorf("a view is made for %q", host)
		}
	}
}

func TestTokens(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		_, path, err := view.New("127.0.0.1:1", view.Build{})
		if err != nil {
			t.Fatal(err)
		}
		if len(path) != 43+2 || seen[path] {
			t.Fatalf("path %q: no 256 bits of its own", path)
		}
		seen[path] = true
	}
}

// What another page in the same browser, or another user of the machine, can try.
func TestGuard(t *testing.T) {
	v := startLogs(t, "the secret line\n")
	own := "http://" + v.host
	token := strings.Trim(v.path, "/")
	arriving := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	tests := []struct {
		name, method, host, path string
		header                   []string
		status                   int
	}{
		{"a program", "GET", v.host, v.path + "api/build", nil, 200},
		{"the page", "GET", v.host, v.path, []string{"Sec-Fetch-Site", "none"}, 200},
		{"its request", "GET", v.host, v.path + "api/build", []string{"Sec-Fetch-Site", "same-origin", "Origin", own}, 200},
		{"from the redirecting file", "GET", v.host, v.path, arriving, 200},
		{"rebound name", "GET", "evil.example:80", v.path + "api/build", nil, 421},
		{"localhost", "GET", "localhost" + v.host[strings.Index(v.host, ":"):], v.path, nil, 421},
		{"without the port", "GET", "127.0.0.1", v.path, nil, 421},
		{"rebound name, wrong token", "GET", "evil.example", "/", nil, 421},
		{"post", "POST", v.host, v.path + "api/build", nil, 405},
		{"options", "OPTIONS", v.host, v.path + "api/build", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "GET"}, 405},
		{"head", "HEAD", v.host, v.path, nil, 405},
		{"delete", "DELETE", v.host, v.path, nil, 405},
		{"no token", "GET", v.host, "/", nil, 404},
		{"no token, api", "GET", v.host, "/api/build", nil, 404},
		{"wrong token", "GET", v.host, "/" + strings.Repeat("A", len(token)) + "/api/build", nil, 404},
		{"half a token", "GET", v.host, "/" + token[:20] + "/api/build", nil, 404},
		{"more than a token", "GET", v.host, "/" + token + "A/api/build", nil, 404},
		{"token in other letters", "GET", v.host, "/" + strings.ToUpper(token) + "/api/build", nil, 404},
		{"token behind another", "GET", v.host, "/x" + v.path + "api/build", nil, 404},
		{"token behind dots", "GET", v.host, "/x/.." + v.path + "api/build", nil, 404},
		{"foreign origin", "GET", v.host, v.path + "api/build", []string{"Origin", "https://evil.example"}, 403},
		{"null origin", "GET", v.host, v.path + "api/build", []string{"Origin", "null"}, 403},
		{"another port's origin", "GET", v.host, v.path + "api/build", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"two origins", "GET", v.host, v.path + "api/build", []string{"Origin", own, "Origin", "https://evil.example"}, 403},
		{"cross-site", "GET", v.host, v.path + "api/build", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same site, another port", "GET", v.host, v.path + "api/build", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"link to the data", "GET", v.host, v.path + "api/log/0/text", arriving, 403},
		{"script of the page", "GET", v.host, v.path + "static/view.css", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, 403},
		{"in a frame", "GET", v.host, v.path, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		{"not there", "GET", v.host, v.path + "api/none", nil, 404},
		{"folder", "GET", v.host, v.path + "static/", nil, 404},
		{"two slashes", "GET", v.host, v.path + "/api/build", nil, 404},
		{"two slashes further on", "GET", v.host, v.path + "api//build", nil, 404},
		{"nothing but slashes", "GET", v.host, v.path + "/", nil, 404},
		{"dots", "GET", v.host, v.path + "api/../api/build", nil, 404},
		{"dots at the end", "GET", v.host, v.path + "api/..", nil, 404},
		{"without the last slash", "GET", v.host, "/" + token, nil, 307},
		{"data without the last slash, from elsewhere", "GET", v.host, "/" + token, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"source", "GET", v.host, v.path + "static/..%2fview.go", nil, 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequest(test.method, "http://"+v.host+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = test.host
			for i := 0; i < len(test.header); i += 2 {
				req.Header.Add(test.header[i], test.header[i+1])
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status {
				t.Errorf("%s, want %d", resp.Status, test.status)
			}
			if to := resp.Header.Get("Location"); test.status == 307 && to != v.path || test.status != 307 && to != "" {
				t.Errorf("it leads to %q", to)
			}
			if test.status != 200 && (strings.Contains(string(body), token) || strings.Contains(string(body), "secret")) {
				t.Errorf("the answer says what it must not: %s", body)
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
				"Access-Control-Allow-Origin": "",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			policy := resp.Header.Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
				if !strings.Contains(policy, part) {
					t.Errorf("policy %q lacks %s", policy, part)
				}
			}
			if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
				t.Errorf("policy %q lets in too much", policy)
			}
		})
	}
}

func TestBuild(t *testing.T) {
	told := &summary.Summary{Version: 1, Logs: []summary.Log{{Path: "a.log", Lines: 2}}}
	v := start(t, view.Build{UUID: "u", Job: "deploy <b>", Result: "FAILURE", Page: "https://v.example/t/main/build/u", Summary: told,
		Start: time.Date(2026, 11, 22, 2, 11, 9, 0, time.UTC), End: time.Date(2026, 11, 23, 4, 35, 31, 0, time.UTC), Project: "opendev/system-config", Pipeline: "deploy", Change: 894201, Patchset: "3",
		Artifacts: []view.Artifact{memory("a.log", "1\n2\n"), memory("b.log", "")}})
	const want = `{"uuid":"u","job":"deploy \u003cb\u003e","result":"FAILURE","page":"https://v.example/t/main/build/u",` +
		`"start_time":"2026-11-22T02:11:09Z","end_time":"2026-11-23T04:35:31Z","took":"1 d 2 h","project":"opendev/system-config","pipeline":"deploy","change":894201,"patchset":"3",` +
		`"artifacts":[{"index":0,"path":"a.log","size":4},{"index":1,"path":"b.log","size":0}],` +
		`"summary":{"version":1,"logs":[{"path":"a.log","lines":2}]}}` + "\n"
	if got := v.text(200, "api/build"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	empty := start(t, view.Build{})
	if got := empty.text(200, "api/build"); !strings.Contains(got, `"artifacts":[],"summary":null`) {
		t.Errorf("a build of nothing: %s", got)
	}
}

func TestStatic(t *testing.T) {
	v := startLogs(t)
	resp := v.get(t.Context(), "")
	if kind := resp.Header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
		t.Errorf("the page is %s", kind)
	}
	page, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(page, []byte("<!doctype html>")) && !bytes.Contains(page, []byte("<!DOCTYPE html>")) {
		t.Errorf("the page, %v: %.100s", err, page)
	}
}

// come calls for what is below the page's path until leave is called.
func come(t *testing.T, s *view.Server, host, below string) (leave func()) {
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "http://"+host+below, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeHTTP(httptest.NewRecorder(), r)
	}()
	synctest.Wait()
	return func() { cancel(); <-done }
}

func isGone(s *view.Server) bool {
	synctest.Wait()
	select {
	case <-s.Gone():
		return true
	default:
		return false
	}
}

// A server that nobody comes to ends, and so does one whose page is closed before it
// can say that it is there.
func TestGoneWithoutLooking(t *testing.T) {
	const host = "127.0.0.1:1"
	synctest.Test(t, func(t *testing.T) {
		s, _, err := view.New(host, view.Build{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		come(t, s, host, "/guessed/")()
		time.Sleep(view.Unopened - time.Second)
		if isGone(s) {
			t.Fatal("gone while somebody may yet open it")
		}
		time.Sleep(2 * time.Second)
		if !isGone(s) {
			t.Fatal("goes on with nobody there")
		}
		select {
		case <-s.Seen():
			t.Fatal("seen, and nobody came")
		default:
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, path, err := view.New(host, view.Build{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		come(t, s, host, path)()
		<-s.Seen()
		time.Sleep(59 * time.Second)
		if isGone(s) {
			t.Fatal("gone while the page may load its scripts")
		}
		time.Sleep(2 * time.Second)
		if !isGone(s) {
			t.Fatal("goes on after the page was closed")
		}
	})
}

// Somebody who looks away keeps the server; somebody who closes the tab ends it.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const host = "127.0.0.1:1"
		s, path, err := view.New(host, view.Build{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		look := func() (leave func()) { return come(t, s, host, path+"api/alive") }
		gone := func() bool { return isGone(s) }
		select {
		case <-s.Seen():
			t.Fatal("seen before anybody came")
		default:
		}
		leave := look()
		<-s.Seen()
		time.Sleep(time.Hour)
		leave()
		time.Sleep(9 * time.Second)
		if gone() {
			t.Fatal("gone while a page may be loaded anew")
		}
		one, two := look(), look()
		one()
		time.Sleep(time.Hour)
		come(t, s, host, path)() // a third one, closed at once
		time.Sleep(time.Hour)
		if gone() {
			t.Fatal("gone while a second tab is open")
		}
		two()
		time.Sleep(11 * time.Second)
		if !gone() {
			t.Fatal("not gone when all tabs are closed")
		}
		look()() // too late, and no panic
		time.Sleep(11 * time.Second)
	})
}

// A server ends when its tab is closed, whatever else goes on.
func TestServeEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, path, err := view.New(l.Addr().String(), view.Build{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, l) }()
	resp, err := http.Get("http://" + l.Addr().String() + path + "api/alive")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != ": here\n" {
		t.Fatalf("%q, %v", line, err)
	}
	interrupt() // Ctrl-C, with a tab open
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get("http://" + l.Addr().String() + path); err == nil {
		t.Error("it still answers")
	}
}

func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "?" + q.Encode()
}
