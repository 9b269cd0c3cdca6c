package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"vitrine"
	"vitrine/storage"
)

// A breakingBucket breaks off within artifacts.
type breakingBucket struct {
	storage.Bucket
	at  int64 // byte that can't be read
	err error // says why, at the opening where that begins there; nil: it ends there
}

func (b *breakingBucket) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := b.Bucket.OpenRange(ctx, key, off, n)
	if err != nil || b.at < 0 || !strings.HasPrefix(key, vitrine.ArtifactsPrefix) {
		return r, err
	}
	if off >= b.at && b.err != nil {
		r.Close()
		return nil, fmt.Errorf("object %s: %w", key, b.err)
	}
	rest := io.Reader(strings.NewReader(""))
	if b.err != nil {
		rest = iotest.ErrReader(b.err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, max(0, b.at-off)), rest), r}, nil
}

// An artifact that the store does not give out is never a success, and not for
// caches; what of it came before stays what it is.
func TestDownloadBreaksOff(t *testing.T) {
	b := &breakingBucket{Bucket: storage.NewMemory(), at: -1}
	s := newSiteOn(t, b, nil)
	r := s.publish()
	address := api + "/" + r.UUID + "/artifacts/a,b+c.log.zst.age"
	lost := fmt.Errorf("%w: segment 00001 is lost", storage.ErrIntegrity)
	for _, test := range []struct {
		name   string
		err    error
		asked  string // range
		at     int64
		status int
		says   string
	}{
		{"lost from the start", lost, "", 0, 422, "segment 00001 is lost"},
		{"a range of what is lost", lost, "bytes=9-", 5, 422, "segment 00001 is lost"},
		{"lost in the middle", lost, "", 5, 200, ""},
		{"a range before what is lost", lost, "bytes=0-4", 5, 206, ""},
		{"out of reach", fmt.Errorf("%w: 503", storage.ErrUnavailable), "", 0, 503, "the store does not answer"},
		{"something else", errors.New("a secret"), "", 0, 502, "the store refused"},
		{"too short", nil, "", 0, 502, "the store refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.at, b.err = test.at, test.err
			defer func() { b.at = -1 }()
			req, err := http.NewRequest("GET", s.url+address, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.asked != "" {
				req.Header.Set("Range", test.asked)
			}
			logged := len(s.log.String())
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			log := s.log.String()[logged:]
			if resp.StatusCode != test.status || !strings.Contains(string(text), test.says) || strings.Contains(string(text), "a secret") {
				t.Errorf("%d %q, want %d with %q", resp.StatusCode, text, test.status, test.says)
			}
			if test.status < 300 {
				if string(text) != sealedBody[:5] || (err == nil) != (test.asked != "") {
					t.Errorf("%q, error %v", text, err)
				}
			} else if h := resp.Header; err != nil || h.Get("Cache-Control") != "no-store" || h.Get("ETag")+h.Get("Content-Range")+h.Get("Content-Disposition") != "" ||
				h.Get("Content-Type") != "application/problem+json" || h.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("error %v, headers %v", err, h)
			}
			if told := strings.Contains(log, `"WARN"`) && strings.Contains(log, vitrine.ArtifactKey(r.UUID, "a,b+c.log.zst.age")); told != (test.asked != "bytes=0-4") {
				t.Errorf("the log: %s", log)
			}
		})
	}
	s.want(200, sealedBody, "GET", address, nil, nil)
	s.want(206, sealedBody[3:], "GET", address, map[string]string{"Range": "bytes=3-"}, nil)
	s.want(416, "", "GET", address, map[string]string{"Range": "bytes=3000-"}, nil)
	s.want(200, "", "HEAD", address, nil, nil)

	// The client ends with why, whether it was told at once or had some bytes.
	for _, at := range []int64{0, 5} {
		b.at, b.err = at, lost
		body, err := s.client().Open(t.Context(), vitrine.ArtifactKey(r.UUID, "a,b+c.log.zst.age"))
		if err == nil {
			_, err = io.ReadAll(body)
			body.Close()
		}
		if !errors.Is(err, storage.ErrIntegrity) || !strings.Contains(err.Error(), "segment 00001 is lost") || strings.Contains(err.Error(), "EOF") {
			t.Errorf("the client, from byte %d on: %v", at, err)
		}
	}
}

// An artifact's ETag is its hash, so that who reads it by ranges can insist on the
// version they began with; and of the store no more is opened than a range.
func TestRangesOfOneVersion(t *testing.T) {
	b := &openedBucket{Bucket: storage.NewMemory()}
	s := newSiteOn(t, b, nil)
	r := s.publish()
	for _, a := range r.Artifacts {
		body, etag := "png", `"`+a.SHA256+`"`
		if a.Sealed {
			body = sealedBody
		}
		address := api + "/" + r.UUID + "/artifacts/" + a.Path
		for _, test := range []struct {
			method, match, asked string
			status               int
			text                 string
			opened               string
		}{
			{"GET", "", "", 200, body, "0+-1"},
			{"GET", "", "bytes=1-2", 206, body[1:3], "1+2"},
			{"GET", etag, "bytes=1-2", 206, body[1:3], "1+2"},
			{"GET", `"x", ` + etag, "bytes=1-", 206, body[1:], fmt.Sprint("1+", len(body)-1)},
			{"GET", etag, "bytes=-1", 206, body[len(body)-1:], fmt.Sprint(len(body)-1, "+1")},
			{"GET", etag, "bytes=0-0,2-2", 206, "", "0+-1 2+-1"},
			{"GET", etag, "bytes=5000-", 416, "", ""},
			{"GET", `"x"`, "bytes=1-2", 412, "", ""},
			{"GET", `"x"`, "bytes=5000-", 412, "", ""},
			{"GET", "W/" + etag, "bytes=1-2", 412, "", ""},
			{"HEAD", etag, "", 200, "", ""},
			{"HEAD", etag, "bytes=1-2", 206, "", ""},
			{"HEAD", `"x"`, "", 412, "", ""},
		} {
			req, err := http.NewRequest(test.method, s.url+address, nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"If-Match": test.match, "Range": test.asked} {
				if value != "" {
					req.Header.Set(name, value)
				}
			}
			b.opened = nil
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if test.status < 300 && (err != nil || resp.Header.Get("ETag") != etag || test.text != "" && string(text) != test.text) || resp.StatusCode != test.status {
				t.Errorf("%s %s, If-Match %s, %s: %d %q, ETag %s, error %v", test.method, a.Path, test.match, test.asked, resp.StatusCode, text, resp.Header.Get("ETag"), err)
			}
			if got := strings.Join(b.opened, " "); got != test.opened {
				t.Errorf("%s %s, %s: opened %s, want %s", test.method, a.Path, test.asked, got, test.opened)
			}
		}
	}
}

// An openedBucket notes which ranges of artifacts are opened.
type openedBucket struct {
	storage.Bucket
	opened []string
}

func (b *openedBucket) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if strings.HasPrefix(key, vitrine.ArtifactsPrefix) {
		b.opened = append(b.opened, fmt.Sprintf("%d+%d", off, n))
	}
	return b.Bucket.OpenRange(ctx, key, off, n)
}
