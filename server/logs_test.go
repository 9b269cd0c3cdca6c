package server_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server"
)

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// newLogsSite lets anything be published unsealed.
func newLogsSite(t *testing.T, change func(*server.Config)) *site {
	t.Helper()
	s := newSiteOn(t, newFakeStore(t), change)
	s.commitKeyring(map[string]string{"services/web.yaml": "jobs: [deploy-web]\nreaders: [alice]\npublishers: [bridge]\npublic: [\"**\"]\nretention: 30d\n"}, "all public", time.Now().Add(-time.Hour))
	s.refresh()
	return s
}

// logs is the path of a build's folder.
func logs(r *vitrine.Record) string { return "/logs/demo/" + r.UUID + "/" }

var logFiles = map[string][]byte{
	"ansible.log.zst.age": sealedBytes(300), "job-output.txt": []byte("<script>alert(1)</script>\n"), "job-output.json": []byte("[]"),
	"out/job-output.json.gz": zipped("[]"), "bad/job-output.json.gz": []byte("[1]"), "all.log.gz": zipped("x"),
	"site/index.html": []byte("<script>alert(1)</script>"), "site/a.svg": []byte("<svg/>"), "site/deep/doc.PDF": []byte("%PDF"), "site/feed.xml": []byte("<a/>"),
	"site-map.txt": []byte("x"), "x.png": []byte("png"), "a,b+c@1=2-.txt": []byte("odd"), "zuul-manifest.json": []byte("forged"), "download-logs.sh": []byte("forged"),
}

// Each file comes as what does no harm, at the address that the API names.
func TestLogFiles(t *testing.T) {
	t.Parallel()
	s := newLogsSite(t, nil)
	r := s.publishFiles(logFiles)
	for path, want := range map[string]string{
		"ansible.log.zst.age": "attachment application/octet-stream", "all.log.gz": "inline text/plain; charset=utf-8",
		"job-output.txt": "inline text/plain; charset=utf-8", "job-output.json": "inline application/json", "x.png": "inline image/png", "a,b+c@1=2-.txt": "inline text/plain; charset=utf-8",
		"site/index.html": "attachment application/octet-stream", "site/a.svg": "attachment application/octet-stream",
		"site/deep/doc.PDF": "attachment application/octet-stream", "site/feed.xml": "attachment application/octet-stream",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp, body := s.ask(method, logs(r)+path)
			h := resp.Header
			disposition, _, _ := strings.Cut(h.Get("Content-Disposition"), ";")
			if got := disposition + " " + h.Get("Content-Type"); resp.StatusCode != 200 || got != want || method == "GET" && body != string(logFiles[path]) {
				t.Errorf("%s %s: %d, %s, want %s: %q", method, path, resp.StatusCode, got, want, body)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "sandbox; default-src 'none'" || h.Get("Access-Control-Allow-Origin") != "*" ||
				!strings.Contains(h.Get("Access-Control-Expose-Headers"), "Content-Range") || h.Get("ETag") == "" || h.Get("Content-Encoding") != "" {
				t.Errorf("%s %s: %v", method, path, h)
			}
		}
	}
	resp, body := s.ask("GET", logs(r)+"ansible.log.zst.age", "Range", "bytes=5-9")
	if resp.StatusCode != 206 || body != string(logFiles["ansible.log.zst.age"][5:10]) || resp.Header.Get("Content-Range") != "bytes 5-9/300" {
		t.Errorf("a range: %d %q %v", resp.StatusCode, body, resp.Header)
	}
	if again, _ := s.ask("GET", logs(r)+"x.png", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != 200 {
		t.Errorf("another file's ETag: %d", again.StatusCode)
	}
	if again, _ := s.ask("GET", logs(r)+"ansible.log.zst.age", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("its own ETag: %d", again.StatusCode)
	}
	if resp, _ := s.ask("OPTIONS", logs(r)+"x.png"); resp.StatusCode != 204 || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "If-Range, Range") {
		t.Errorf("OPTIONS: %d %v", resp.StatusCode, resp.Header)
	}

	// Zuul's clients ask for this one first, to have it decoded on the way.
	resp, body = s.ask("GET", logs(r)+"out/job-output.json.gz", "Accept-Encoding", "gzip")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Content-Type") != "application/json" || body != string(zipped("[]")) {
		t.Errorf("gzip: %d %v %q", resp.StatusCode, resp.Header, body)
	}
	if resp, body = s.ask("GET", logs(r)+"bad/job-output.json.gz"); resp.StatusCode != 404 || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("a file that is no gzip: %d %v %q", resp.StatusCode, resp.Header, body)
	}
	if resp, body = s.ask("GET", logs(r)+"job-output.json.gz"); resp.StatusCode != 404 {
		t.Errorf("gzip that is not there: %d %q", resp.StatusCode, body)
	}
}

// A node is one of a manifest, as Zuul's clients decode it.
type node struct {
	Name         string  `json:"name"`
	MimeType     string  `json:"mimetype"`
	Encoding     *string `json:"encoding"`
	LastModified int64   `json:"last_modified"`
	Size         int64   `json:"size"`
	Sealed       bool    `json:"sealed"`
	SHA256       string  `json:"sha256"`
	Children     []node  `json:"children"`
}

func TestManifest(t *testing.T) {
	t.Parallel()
	s := newLogsSite(t, nil)
	r := s.publishFiles(logFiles)
	resp, body := s.ask("GET", logs(r)+"zuul-manifest.json")
	var manifest struct {
		Tree       []node
		IndexLinks *bool `json:"index_links"`
	}
	if err := json.Unmarshal([]byte(body), &manifest); err != nil || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Access-Control-Allow-Origin") != "*" ||
		manifest.IndexLinks == nil || *manifest.IndexLinks {
		t.Fatalf("%v, %v: %s", err, resp.Header, body)
	}
	var paths []string
	var walk func(folder string, nodes []node)
	walk = func(folder string, nodes []node) {
		for _, n := range nodes {
			path := folder + n.Name
			if n.Children != nil {
				paths = append(paths, path+"/")
				if n.MimeType != "application/directory" || n.Encoding != nil {
					t.Errorf("%s: %+v", path, n)
				}
				walk(path+"/", n.Children)
				continue
			}
			paths = append(paths, path)
			resp, body := s.ask("GET", logs(r)+strings.ReplaceAll(url.PathEscape(path), "%2F", "/"), "Accept-Encoding", "gzip")
			if strings.HasPrefix(path, "bad/") {
				continue
			}
			if got, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); got != n.MimeType || int64(len(body)) != n.Size || n.LastModified != r.EndTime.Unix() {
				t.Errorf("%s: %+v, served as %s with %d bytes", path, n, got, len(body))
			}
			if n.Sealed != strings.HasSuffix(path, ".age") || (n.SHA256 == "") != (path == "download-logs.sh") || (n.Encoding != nil) != strings.HasPrefix(path, "out/") {
				t.Errorf("%s: %+v", path, n)
			}
		}
	}
	walk("", manifest.Tree)
	want := []string{"bad/", "bad/job-output.json.gz", "out/", "out/job-output.json.gz", "site/", "site/deep/", "site/deep/doc.PDF", "site/a.svg", "site/feed.xml", "site/index.html",
		"a,b+c@1=2-.txt", "all.log.gz", "ansible.log.zst.age", "download-logs.sh", "job-output.json", "job-output.txt", "site-map.txt", "x.png"}
	if !slices.Equal(paths, want) {
		t.Errorf("the tree has %q, want %q", paths, want)
	}
}

func TestLogFolders(t *testing.T) {
	t.Parallel()
	s := newLogsSite(t, nil)
	r := s.publishFiles(logFiles)
	for path, parts := range map[string][]string{
		"":           {"ansible.log.zst.age", `href="site/"`, `href="zuul-manifest.json"`, "download-logs.sh"},
		"site/":      {"index.html", "deep/", `href="../"`},
		"site/deep/": {"doc.PDF"},
	} {
		resp, body := s.ask("GET", logs(r)+path)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%q: %d %v", path, resp.StatusCode, resp.Header)
		}
		for _, part := range parts {
			if !strings.Contains(body, part) {
				t.Errorf("%q: no %s in %s", path, part, body)
			}
		}
	}
	for path, want := range map[string]string{"/logs/demo/" + r.UUID: logs(r), logs(r) + "site": logs(r) + "site/", logs(r) + "site/deep": logs(r) + "site/deep/"} {
		if resp, _ := s.ask("GET", path); resp.StatusCode != 301 || resp.Header.Get("Location") != want {
			t.Errorf("%s: %d to %s", path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	// What is missing is told in a line of text, to browsers too.
	for _, path := range []string{logs(r) + "none.txt", logs(r) + "none/", logs(r) + "sit", logs(r) + "site//", logs(r) + "x.png/", logs(r) + "..%2f..%2fetc", logs(r) + "%00",
		logs(r) + "site/zuul-manifest.json", "/logs/demo/" + newID() + "/", "/logs/demo/x/y", "/logs/other/" + r.UUID + "/x.png", "/logs/demo/" + newID() + "/zuul-manifest.json"} {
		resp, body := s.ask("GET", path, "Accept", "text/html")
		if resp.StatusCode != 404 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || strings.Contains(body, "<") || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v %s", path, resp.StatusCode, resp.Header, body)
		}
	}
}

// A build that has no files, or not any more, or elsewhere.
func TestLogsOfOtherBuilds(t *testing.T) {
	t.Parallel()
	s := newLogsSite(t, nil)
	running := s.started(nil)
	s.begin(running)
	if resp, body := s.ask("GET", logs(running)); resp.StatusCode != 200 || !strings.Contains(body, "appear here") || strings.Contains(body, "download-logs.sh") {
		t.Errorf("running: %d %s", resp.StatusCode, body)
	}
	if _, body := s.ask("GET", logs(running)+"zuul-manifest.json"); body != `{"tree":[],"index_links":false}` {
		t.Errorf("manifest of a running build: %s", body)
	}
	if resp, _ := s.ask("GET", logs(running)+"download-logs.sh"); resp.StatusCode != 404 {
		t.Errorf("script of a running build: %d", resp.StatusCode)
	}
	elsewhere := s.imported(func(r *vitrine.Record) { r.Imported.LogURL = "https://logs.example.org/1/" })
	s.refresh()
	if resp, body := s.ask("GET", logs(elsewhere)); resp.StatusCode != 404 || !strings.Contains(body, "https://logs.example.org/1/") {
		t.Errorf("imported: %d %s", resp.StatusCode, body)
	}
	gone := s.publishFiles(map[string][]byte{"x.png": []byte("png"), "a.age": sealedBytes(60)})
	mark := vitrine.Mark{Version: 1, UUID: gone.UUID, Time: time.Now().UTC().Truncate(time.Second)}
	text, err := mark.Marshal()
	if err == nil {
		err = s.bucket.Create(t.Context(), vitrine.MarkKey(vitrine.ExpiredKind, gone.StartTime, gone.UUID), bytes.NewReader(text), optionsOf(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.refresh()
	for _, path := range []string{"", "x.png", "a.age", "zuul-manifest.json", "download-logs.sh", "none"} {
		resp, body := s.ask("GET", logs(gone)+path, "Accept", "text/html")
		if resp.StatusCode != 410 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || !strings.Contains(body, "their time had come") {
			t.Errorf("expired, %q: %d %s", path, resp.StatusCode, body)
		}
	}
}

// Where bytes go straight from the store, only what is for the disk does: a page
// of another origin reads the rest.
func TestLogsDirect(t *testing.T) {
	t.Parallel()
	s := newLogsSite(t, direct)
	r := s.publishFiles(map[string][]byte{"a.age": sealedBytes(60), "job-output.json": []byte("[]"), "x.html": []byte("<p>")})
	for path, want := range map[string]int{"a.age": 302, "x.html": 302, "job-output.json": 200, "zuul-manifest.json": 200} {
		if resp, _ := s.ask("GET", logs(r)+path); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// What the API names is there.
func TestZuulLinks(t *testing.T) {
	t.Parallel()
	s := newLogsSite(t, nil)
	r := s.publishFiles(logFiles)
	var build struct {
		LogURL    string `json:"log_url"`
		Artifacts []struct {
			Name, URL string
			Metadata  map[string]any
		}
	}
	if err := json.Unmarshal([]byte(s.want(200, r.UUID, "GET", "/api/tenant/demo/build/"+r.UUID, nil, nil)), &build); err != nil {
		t.Fatal(err)
	}
	const public = "https://vitrine.example.org"
	if build.LogURL != public+logs(r) || len(build.Artifacts) != len(logFiles)+1-2+1 { // sealed ones as one, and neither forged one but both made ones
		t.Errorf("log_url %s, %d artifacts", build.LogURL, len(build.Artifacts))
	}
	for _, a := range append(build.Artifacts, struct {
		Name, URL string
		Metadata  map[string]any
	}{URL: build.LogURL}) {
		path, ok := strings.CutPrefix(a.URL, public)
		resp, body := s.ask("GET", path)
		if want := map[bool]int{false: 200, true: 404}[strings.Contains(path, "/bad/")]; !ok || resp.StatusCode != want || strings.Contains(body, "forged") {
			t.Errorf("%s, %s: %d", a.Name, a.URL, resp.StatusCode)
		}
	}
	for _, path := range []string{"/api", "/api/info", "/api/tenants", "/api/tenant/demo/builds", "/api/tenant/demo/badge", "/api/tenant/other/builds"} {
		if resp, _ := s.ask("OPTIONS", path); resp.StatusCode != 204 {
			t.Errorf("OPTIONS %s: %d", path, resp.StatusCode)
		}
		resp, body := s.ask("GET", path, "Accept", "text/html")
		if strings.Contains(body, "<html") || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
	if got := fmt.Sprint(build.Artifacts[1].Metadata["logfiles"], build.Artifacts[1].Metadata["recipients"]); got != "[ansible.log.zst.age] [alice]" {
		t.Errorf("the sealed logs are told as %s", got)
	}
}
