package server_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"vitrine/web"
)

func TestCompression(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	style, err := web.AssetPath("style.css")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, accept string) *http.Response {
		t.Helper()
		q, err := http.NewRequest(method, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Accept-Encoding", accept)
		resp, err := http.DefaultTransport.RoundTrip(q) // which leaves the encoding alone, as it was asked for
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	for path, part := range map[string]string{"/": "<!doctype html>", "/t/demo/builds": "deploy-web", style: ":root", "/t/demo/build/none": "There is no build",
		api + "/" + r.UUID: `"uuid":"` + r.UUID} {
		resp := ask("GET", path, "gzip, br, zstd")
		if resp.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(resp.Header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: headers %v", path, resp.Header)
			continue
		}
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil || !strings.Contains(string(body), part) {
			t.Errorf("%s: %v, body %.200q; want %q in it", path, err, body, part)
		}
		resp = ask("GET", path, "identity")
		body, err = io.ReadAll(resp.Body)
		if resp.Header.Get("Content-Encoding") != "" || err != nil || !strings.Contains(string(body), part) {
			t.Errorf("%s: not compressed: %v, headers %v", path, err, resp.Header)
		}
		if resp = ask("HEAD", path, "gzip"); resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("HEAD %s: headers %v", path, resp.Header)
		}
	}
	for _, path := range []string{api + "/" + r.UUID + "/artifacts/x.png", api + "/" + r.UUID + "/artifacts/a,b+c.log.zst.age", api + "/" + r.UUID + "/build.json"} {
		if resp := ask("GET", path, "gzip"); resp.StatusCode != 200 || resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d with headers %v, want the stored bytes", path, resp.StatusCode, resp.Header)
		}
	}
}
