package zuul_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"vitrine"
	"vitrine/storage"
)

func TestMethods(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/api", "/api/info", "/api/tenant/opendev/builds", "/api/tenant/other/builds", "/api/tenant/opendev/nothing"} {
		resp, body := s.do("OPTIONS", path)
		h := resp.Header
		if resp.StatusCode != 204 || body != "" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type" ||
			!strings.Contains(h.Get("Access-Control-Allow-Methods"), "GET") || h.Get("Access-Control-Max-Age") != "86400" {
			t.Errorf("OPTIONS %s: %d %v", path, resp.StatusCode, h)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		if resp, _ := s.do(method, "/api/tenant/opendev/project/x/autohold"); resp.StatusCode != 405 {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
	for name, path := range answers {
		resp, body := s.do("HEAD", path)
		if resp.StatusCode != 200 || body != "" || resp.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("HEAD %s: %d %v %q", name, resp.StatusCode, resp.Header, body)
		}
	}
	resp, _ := s.do("GET", "/api/info")
	if resp.Header.Get("Cache-Control") != "public, max-age=3600" || resp.Header.Get("Last-Modified") == "" {
		t.Errorf("info: %v", resp.Header)
	}
}

func TestBadge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for query, want := range map[string]string{"": "failing", "?project=opendev/zone": "passing", "?project=*zone&pipeline=periodic": "passing", "?branch=master": "failing"} {
		resp, body := s.do("GET", "/api/tenant/opendev/badge"+query)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/svg+xml" || resp.Header.Get("Cache-Control") != "no-cache" || !strings.Contains(body, want) ||
			resp.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s: %d %v %s", query, resp.StatusCode, resp.Header, body)
		}
	}
}

// A limit beyond a page of the index is answered from several, each build once
// and in order.
func TestManyBuilds(t *testing.T) {
	t.Parallel()
	const n = 1003
	bucket := storage.NewMemory()
	for i := range n {
		put(t, bucket, record(i, func(r *vitrine.Record) { r.Artifacts = r.Artifacts[:1] }))
	}
	x := newIndex(t, filepath.Join(t.TempDir(), "x"), 0)
	if _, err := x.Sync(t.Context(), bucket, day); err != nil {
		t.Fatal(err)
	}
	s := serve(t, x)
	for path, want := range map[string][2]int{ // the first, and how many
		"builds?limit=100000": {n - 1, n}, "builds?limit=1001": {n - 1, 1001}, "builds?limit=5000&skip=3": {n - 4, n - 3}, "builds": {n - 1, 50},
		"build-times?limit=5000": {n - 1, n}, "buildsets?limit=5000&skip=1": {100 + (n-1)/2 - 1, n / 2},
	} {
		got := s.uuids(path)
		if len(got) != want[1] || got[0] != want[0] {
			t.Errorf("%s: %d from %v on", path, len(got), got[:min(1, len(got))])
			continue
		}
		for i := range got[1:] {
			if got[i+1] != got[i]-1 {
				t.Fatalf("%s: %d after %d", path, got[i+1], got[i])
			}
		}
	}
}

func put(t *testing.T, b storage.Bucket, r *vitrine.Record) {
	t.Helper()
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for key, body := range map[string]string{vitrine.SignatureKey(r.Key()): "signature", r.Key(): string(text)} {
		if err := b.Create(t.Context(), key, strings.NewReader(body), storage.CreateOptions{Size: int64(len(body)), SHA256: sumOf(body)}); err != nil {
			t.Fatal(err)
		}
	}
}

// A build with more artifacts than a list can have at once is whole all the same.
func TestBigBuilds(t *testing.T) {
	t.Parallel()
	const files = 1500
	var records []*vitrine.Record
	for i := range 3 { // together more than the index reads at once
		records = append(records, record(i, func(r *vitrine.Record) {
			r.Artifacts = nil
			for n := range files {
				r.Artifacts = append(r.Artifacts, file(fmt.Sprintf("d%02d/%04d.age", n%100, n), "text/plain"))
				r.Artifacts[n].Metadata = map[string]string{"long": strings.Repeat("x", vitrine.MaxText)}
			}
		}))
	}
	s := serve(t, newIndex(t, filepath.Join(t.TempDir(), "x"), 0, records...))
	_, body := s.do("GET", "/api/tenant/opendev/builds")
	var list []struct {
		Artifacts []struct {
			Name     string
			Metadata struct{ Logfiles []string }
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 3 {
		t.Fatalf("%d builds, %v", len(list), err)
	}
	for i, b := range list {
		if len(b.Artifacts) != 3 || b.Artifacts[1].Name != "Encrypted logs" || len(b.Artifacts[1].Metadata.Logfiles) != files {
			t.Errorf("build %d: %d artifacts", i, len(b.Artifacts))
		}
	}
}

// What goes wrong is not told, and half a list never looks like a whole one.
func TestFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.index.Close()
	for name, path := range answers {
		resp, body := s.do("GET", path)
		if strings.Contains(body, "sql") || resp.StatusCode != 200 && (resp.StatusCode != 500 || body != "the server failed, and its log has the reason\n") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	if resp, _ := s.do("GET", "/api/tenant/opendev/builds"); resp.StatusCode != 500 {
		t.Errorf("builds of a closed index: %d", resp.StatusCode)
	}
}

// A breakingWriter closes the index under an answer that has begun.
type breakingWriter struct {
	*httptest.ResponseRecorder
	breakIt func()
}

func (w *breakingWriter) Write(b []byte) (int, error) {
	w.breakIt()
	return w.ResponseRecorder.Write(b)
}

func TestBreaksOff(t *testing.T) {
	t.Parallel()
	var records []*vitrine.Record
	for i := range 60 { // more than are completed at once
		records = append(records, record(i))
	}
	x := newIndex(t, filepath.Join(t.TempDir(), "x"), 0, records...)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("it ended with %v, as if it were whole", p)
		}
	}()
	w := &breakingWriter{httptest.NewRecorder(), func() { x.Close() }}
	handler(x, true).ServeHTTP(w, httptest.NewRequest("GET", "/api/tenant/opendev/builds?limit=60", nil))
}

func sumOf(s string) [32]byte { return sha256.Sum256([]byte(s)) }
