package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/storage"
)

// A stored is a file as it is stored, and the media type its record gives.
type stored struct{ body, mediaType string }

// publishPublic publishes a build of deploy-web with files, of which those that
// end in .age are sealed. The keyring lets everything else be public.
func (s *site) publishPublic(files map[string]stored, change func(*vitrine.Record)) *vitrine.Record {
	s.t.Helper()
	s.allowPublic()
	r := s.started(change)
	token := s.begin(r)
	var list []vitrine.Artifact
	for path, f := range files {
		s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/"+path, with(token, "Content-Digest", digestOf(f.body)), f.body)
		a := artifact(path, f.body, strings.HasSuffix(path, ".age"))
		a.MediaType = f.mediaType
		list = append(list, a)
	}
	f := finished(r, list...)
	s.want(201, "", "PUT", api+"/"+r.UUID, token, signed(s.t, f, s.bridge))
	return f
}

// allowPublic lets deploy-web publish any file unsealed.
func (s *site) allowPublic() {
	s.t.Helper()
	s.commitKeyring(map[string]string{
		"services/web.yaml": "jobs: [deploy-web]\nreaders: [alice]\npublishers: [bridge]\npublic: [\"**\"]\nretention: 30d\n# " + newID() + "\n",
	}, "public", time.Now().Add(-time.Hour))
	s.refresh()
}

func picture(t *testing.T, w, h int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const evilHTML = "<!doctype html><style>\nh1 { color: red }\n</style><h1 style=\"color:blue\">hi</h1><script>alert(1)</script>"

// page reads a page of a build.
func (s *site) page(path string) string {
	s.t.Helper()
	return s.want(200, "<main", "GET", path, nil, nil)
}

func TestBuildPageShowsPublicFiles(t *testing.T) {
	s := newSite(t)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write([]byte(`{"plays":[{"play":{"name":"Zipped play"},"tasks":[{"hosts":{"web1":{"failed":true,"msg":"<script>alert(2)</script>"}},"task":{"name":"T"}}]}],"stats":{"web1":{"failures":1}}}`))
	w.Close()
	r := s.publishPublic(map[string]stored{
		"a.png":              {picture(t, 640, 400), "image/png"},
		"log.txt":            {"\x1b[31mred <script>alert(1)</script>\n" + strings.Repeat("line\n", 100_000), "text/plain"},
		"binary.txt":         {"a\x00b", "text/plain"},
		"data.json":          {`{"not":"Ansible's"}`, "application/json"},
		"job-output.json.gz": {zipped.String(), "application/gzip"},
		"report.html":        {evilHTML, "text/html"},
		"secret.txt.zst.age": {sealedBody, "text/plain"},
		"secret.html.age":    {sealedBody, "text/html"},
	}, nil)
	page := s.page("/t/demo/build/" + r.UUID)
	for _, want := range []string{
		`width="640" height="400"`, "<span>red &lt;script&gt;alert(1)", "The first 200 lines; the file has 500 KB", "Ansible&#39;s", "Zipped play", "&lt;script&gt;alert(2)",
		`<iframe src="/t/demo/build/` + r.UUID + `/preview/report.html" sandbox="" loading="lazy" title=`, "/gallery",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"<script>", "not really, but the server", "preview/secret", "\x1b", "\x00"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
	if len(page) > 60_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
	resp, err := http.Get(s.url + "/t/demo/build/" + r.UUID)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}

	// Once the page has looked into them, it does not need the store for it; what
	// was never seen and is gone it says so of, and of what is read itself.
	for _, path := range []string{"a.png", "log.txt", "report.html"} {
		if err := s.bucket.Delete(context.Background(), vitrine.ArtifactKey(r.UUID, path)); err != nil {
			t.Fatal(err)
		}
	}
	s.start(nil)
	s.refresh()
	if page = s.page("/t/demo/build/" + r.UUID); strings.Count(page, ": the record names it, but the store has it no longer") != 3 || strings.Count(page, ">gone</span>") != 3 || strings.Contains(page, "artifacts/log.txt") {
		t.Errorf("the page does not say of three files that they are gone:\n%s", page)
	}
	s.want(410, "no longer", "GET", "/t/demo/build/"+r.UUID+"/preview/report.html", map[string]string{"Sec-Fetch-Dest": "iframe"}, nil)
}

// A stuckBucket does not give out artifacts until it is asked to stop.
type stuckBucket struct {
	storage.Bucket
	slow bool
}

func (b *stuckBucket) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if b.slow && strings.HasPrefix(key, vitrine.ArtifactsPrefix) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b.Bucket.OpenRange(ctx, key, off, n)
}

func TestSlowStoreDoesNotHoldThePage(t *testing.T) {
	b := &stuckBucket{Bucket: storage.NewMemory()}
	s := newSiteOn(t, b, nil)
	files := make(map[string]stored)
	for i := range 5 {
		files[fmt.Sprintf("%d.png", i)], files[fmt.Sprintf("%d.json", i)] = stored{"x", "image/png"}, stored{"{}", "application/json"}
	}
	r := s.publishPublic(files, nil)
	b.slow = true
	began := time.Now()
	page := s.page("/t/demo/build/" + r.UUID)
	if took := time.Since(began); took > 4*time.Second || strings.Count(page, "not available now") != 7 {
		t.Errorf("took %s, %d not available", took, strings.Count(page, "not available now"))
	}
	b.slow = false
	if page = s.page("/t/demo/build/" + r.UUID); strings.Contains(page, "not available now") {
		t.Error("what was not available once is remembered as that")
	}
}

func TestPreview(t *testing.T) {
	s := newSite(t)
	r := s.publishPublic(map[string]stored{
		"dir/report.html": {evilHTML, "text/html; charset=utf-8"},
		"big.html":        {strings.Repeat("x", 1<<20), "text/html"},
		"secret.html.age": {sealedBody, "text/html"},
		"a.png":           {"png", "image/png"}, "x.svg": {"<svg/>", "image/svg+xml"}, "x.xml": {"<x/>", "text/xml"},
	}, nil)
	at := "/t/demo/build/" + r.UUID + "/preview/"
	framed := map[string]string{"Sec-Fetch-Dest": "iframe"}
	for _, path := range []string{"secret.html.age", "secret.html", "a.png", "x.svg", "x.xml", "none.html", "../x", "dir", ""} {
		if got, text := s.do("GET", at+path, framed, nil); got != 404 || strings.Contains(text, sealedBody) {
			t.Errorf("%q: %d %s", path, got, text)
		}
	}
	s.want(200, "xxx", "GET", at+"big.html", framed, nil)

	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, dest := range []string{"", "document", "script", "embed", "object", "IFRAME"} {
		req, _ := http.NewRequest("GET", s.url+at+"dir/report.html", nil)
		req.Header.Set("Sec-Fetch-Dest", dest)
		resp, err := noRedirect.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 303 || resp.Header.Get("Location") != "/t/demo/build/"+r.UUID+"#file-dir/report.html" || len(text) > 0 {
			t.Errorf("for %q: %d to %q: %q", dest, resp.StatusCode, resp.Header.Get("Location"), text)
		}
	}
	req, _ := http.NewRequest("GET", s.url+at+"dir/report.html", nil)
	req.Header.Set("Sec-Fetch-Dest", "iframe")
	resp, err := noRedirect.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	sum := sha256.Sum256([]byte("\nh1 { color: red }\n"))
	h := resp.Header
	if want := "sandbox; default-src 'none'; img-src data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"; h.Get("Content-Security-Policy") != want {
		t.Errorf("policy %q, want %q", h.Get("Content-Security-Policy"), want)
	}
	if string(text) != evilHTML || h.Get("X-Frame-Options") != "SAMEORIGIN" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(strings.Join(h["Vary"], ","), "Sec-Fetch-Dest") || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%q, %v", text, h)
	}
	// The artifact's own address still gives it as a download (T-WEB-3).
	got, err := http.Get(s.url + api + "/" + r.UUID + "/artifacts/dir/report.html")
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
	if got.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the artifact: %v", got.Header)
	}
}

// What the store has in the place of what was signed is not shown.
func TestPreviewOfOtherBytes(t *testing.T) {
	s := newSite(t)
	r := s.publishPublic(map[string]stored{"a.html": {"<p>signed", "text/html"}}, nil)
	key := vitrine.ArtifactKey(r.UUID, "a.html")
	other := "<p>forged"
	if err := s.bucket.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := s.bucket.Create(t.Context(), key, strings.NewReader(other), storage.CreateOptions{Size: int64(len(other)), SHA256: sha256.Sum256([]byte(other))}); err != nil {
		t.Fatal(err)
	}
	text := s.want(422, "", "GET", "/t/demo/build/"+r.UUID+"/preview/a.html", map[string]string{"Sec-Fetch-Dest": "iframe"}, nil)
	if strings.Contains(text, "forged") {
		t.Error("it was shown")
	}
}

func TestGallery(t *testing.T) {
	s := newSite(t)
	at := func(ago time.Duration) func(*vitrine.Record) {
		return func(r *vitrine.Record) { r.StartTime, r.Expires = r.StartTime.Add(-ago), r.Expires.Add(-ago) }
	}
	red, blue := picture(t, 30, 20), picture(t, 60, 40)
	oldest := s.publishPublic(map[string]stored{"same.png": {blue, ""}}, at(3*time.Minute))
	before := s.publishPublic(map[string]stored{"same.png": {red, ""}, "changed.png": {red, ""}, "gone.png": {red, ""}}, at(2*time.Minute))
	s.publishPublic(map[string]stored{"log.txt": {"none", "text/plain"}}, at(time.Minute))
	now := s.publishPublic(map[string]stored{"same.png": {red, ""}, "changed.png": {blue, ""}, "new.png": {red, ""}, "secret.png.age": {sealedBody, ""}}, nil)
	gallery := "/t/demo/build/" + now.UUID + "/gallery"
	page := s.page(gallery)
	for _, want := range []string{"4 images: 1 changed, 1 new, 1 gone, 1 the same", before.UUID + "/artifacts/gone.png", `width="60" height="40"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the gallery lacks %q", want)
		}
	}
	if strings.Contains(page, "secret") {
		t.Error("a sealed image is in the gallery")
	}
	if page = s.page(gallery + "?beside=" + oldest.UUID); !strings.Contains(page, "3 images: 1 changed, 2 new") {
		t.Errorf("beside the oldest: %s", page)
	}
	if page = s.page("/t/demo/build/" + oldest.UUID + "/gallery"); !strings.Contains(page, "<h1>1 image</h1>") || !strings.Contains(page, "No other build") {
		t.Errorf("with nothing before: %s", page)
	}
	s.want(404, "to show it beside", "GET", gallery+"?beside="+newID(), nil, nil)
	s.want(404, "to show it beside", "GET", gallery+"?beside=x", nil, nil)
	s.want(404, "", "GET", "/t/demo/build/"+newID()+"/gallery", nil, nil)
	if err := s.bucket.Delete(t.Context(), vitrine.ArtifactKey(before.UUID, "gone.png")); err != nil {
		t.Fatal(err)
	}
	s.start(nil)
	s.refresh()
	s.want(200, "the store has it no longer", "GET", gallery, nil, nil)
}
