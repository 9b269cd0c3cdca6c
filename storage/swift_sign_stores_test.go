//go:build stores

package storage_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncw/swift/v2"

	"vitrine"
	"vitrine/storage"
)

// sendSwift does what a runner does with a request that it was given.
func sendSwift(t *testing.T, r storage.Request, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// T-2.5, T-2.6, T-2.8.
func TestSwiftSignPart(t *testing.T) {
	b, c := openSwift(t)
	signer := b.(storage.Signer)
	one, two := swiftBody(vitrine.MinPartSize), "the second part"
	parts := []vitrine.Part{vitrine.NewPart(1, []byte(one)), vitrine.NewPart(2, []byte(two))}
	requests := make([]storage.Request, 2)
	for i, part := range parts {
		r, err := signer.SignPart(t.Context(), key, part, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		requests[i] = r
	}
	if status := sendSwift(t, requests[1], "some other bytes"); status != http.StatusUnprocessableEntity {
		t.Errorf("other bytes than the part: status %d, want 422", status)
	}
	for i, body := range []string{one, two} {
		if status := sendSwift(t, requests[i], body); status != http.StatusCreated {
			t.Errorf("part %d: status %d", i+1, status)
		}
	}
	if got, err := b.Parts(t.Context(), key); err != nil || !slices.Equal(got, parts) {
		t.Errorf("Parts: %+v, %v, want %+v", got, err, parts)
	}
	if h := c.headers(t, "uploads/"+key+"/00001"); h["X-Delete-At"] == "" {
		t.Error("a part does not expire")
	}

	// A part larger than was declared, with every header that might stop it left out.
	bare := requests[1]
	bare.Header = map[string]string{}
	if status := sendSwift(t, bare, two+", and more"); status != http.StatusCreated {
		t.Fatalf("status %d", status)
	}
	opts := swiftOptions(one + two)
	if err := b.Complete(t.Context(), key, parts, opts); !errors.Is(err, storage.ErrIntegrity) {
		t.Errorf("Complete of a part larger than declared: %v, want ErrIntegrity", err)
	}
	c.want(t, 0, "uploads/"+key+"/00001", "uploads/"+key+"/00002")

	sendSwift(t, requests[1], two)
	if err := b.Complete(t.Context(), key, parts, opts); err != nil {
		t.Fatal(err)
	}
	c.want(t, 2, key)
	for _, name := range c.names(t) {
		if at := c.headers(t, name)["X-Delete-At"]; at != "" {
			t.Errorf("%s of the completed object expires at %s", name, at)
		}
	}
	before, err := b.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	// The old requests still hold, and change nothing.
	for _, r := range append(requests, bare) {
		r.Header = map[string]string{"X-Delete-After": "1"}
		sendSwift(t, r, "overwritten")
		if u, err := url.Parse(r.URL); err != nil {
			t.Fatal(err)
		} else { // nor reach another name, or way
			for _, path := range []string{"/" + key, "/segments/" + key} {
				v := *u
				v.Path = strings.Replace(u.Path, "/uploads/"+key+"/00001", path, 1)
				if v.Path == u.Path {
					continue
				}
				if status := sendSwift(t, storage.Request{Method: http.MethodPut, URL: v.String()}, "overwritten"); status != http.StatusUnauthorized {
					t.Errorf("the signature took %s: status %d", path, status)
				}
			}
			if status := sendSwift(t, storage.Request{Method: http.MethodGet, URL: r.URL}, ""); status != http.StatusUnauthorized {
				t.Errorf("the signature of a PUT took a GET: status %d", status)
			}
		}
	}
	if after, err := b.Stat(t.Context(), key); err != nil || after != before {
		t.Errorf("after old requests: %+v, %v; before: %+v", after, err, before)
	}
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != one+two {
		t.Errorf("after old requests: %d bytes, %v", len(got), err)
	}
	// T-2.5: a second commit of other bytes.
	late := vitrine.NewPart(1, []byte("overwritten"))
	if err := b.Complete(t.Context(), key, []vitrine.Part{late}, swiftOptions("overwritten")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Complete: %v, want fs.ErrExist", err)
	}
	if _, err := signer.SignPart(t.Context(), key, late, time.Now().Add(-time.Second)); err == nil {
		t.Error("signed a request that has ended")
	}
}

func TestSwiftSignOpen(t *testing.T) {
	b, c := openSwift(t)
	if err := create(t.Context(), b, key, "0123456789"); err != nil {
		t.Fatal(err)
	}
	get := func(rawURL string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rawURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", "bytes=2-4")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	signed, err := b.(storage.Signer).SignOpen(t.Context(), key, "a b.log", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	resp, body := get(signed)
	if h := resp.Header; resp.StatusCode != http.StatusPartialContent || body != "234" || h.Get("Content-Type") != "application/octet-stream" ||
		!strings.HasPrefix(h.Get("Content-Disposition"), `attachment; filename="a b.log"`) {
		t.Errorf("%s %q %v", resp.Status, body, resp.Header)
	}
	if resp, _ := get(strings.Replace(signed, "temp_url_expires=1", "temp_url_expires=2", 1)); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("with another end: %s", resp.Status)
	}

	if err := c.ContainerUpdate(t.Context(), c.container, swift.Headers{"X-Container-Read": ".r:*"}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.ContainerUpdate(context.Background(), c.container, swift.Headers{"X-Remove-Container-Read": "x"}); err != nil {
			t.Error(err)
		}
	}()
	public, err := storage.OpenBucket(t.Context(), c.place+"?public_url="+url.QueryEscape(c.StorageUrl+"/"+c.container+"/"+c.prefix))
	if err != nil {
		t.Fatal(err)
	}
	open, err := public.(storage.Signer).SignOpen(t.Context(), key, "a b.log", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if resp, body := get(open); body != "234" || strings.Contains(open, "temp_url") {
		t.Errorf("%s: %s %q", open, resp.Status, body)
	}
}
