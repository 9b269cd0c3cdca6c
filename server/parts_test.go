package server_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server"
	"vitrine/storage"
)

// partDigest is the Content-Digest of a part that comes through the server.
func partDigest(body string) string {
	raw, _ := hex.DecodeString(vitrine.NewPart(1, []byte(body)).MD5)
	return digestOf(body) + ", md5=" + byteSequence(raw)
}

func TestPartsRefused(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, func(c *server.Config) { c.Direct, c.MaxArtifactSize = true, 20<<20 })
	r, second := s.started(nil), s.started(nil)
	token, secondToken := s.begin(r), s.begin(second)
	base := api + "/" + r.UUID
	good := partsOf([]byte(sealedBody))
	change := func(f func(*vitrine.PartsRequest)) vitrine.PartsRequest {
		q := good
		q.Parts = append([]vitrine.Part{}, good.Parts...)
		f(&q)
		return q
	}
	many := make([]vitrine.Part, vitrine.MaxParts+1)
	for i := range many {
		many[i] = vitrine.NewPart(i+1, []byte("x"))
	}
	for _, test := range []struct {
		name   string
		token  map[string]string
		path   string
		body   any
		status int
		reason string
	}{
		{"no token", nil, "x.age", good, 401, "token"},
		{"another build's token", secondToken, "x.age", good, 403, "another build"},
		{"a hidden file", token, ".git/config.age", good, 422, "not one of"},
		{"no JSON", token, "x.age", "{", 400, "JSON"},
		{"no parts", token, "x.age", vitrine.PartsRequest{}, 422, "0 parts"},
		{"too many parts", token, "x.age", vitrine.PartsRequest{Parts: many}, 422, "1001 parts"},
		{"a part twice", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Size *= 2; q.Parts = append(q.Parts, q.Parts[0]) }), 422, "twice"},
		{"part 0", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Parts[0].Number = 0 }), 422, "part number 0"},
		{"an empty part", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Parts[0].Size = 0 }), 422, "size 0"},
		{"no MD5", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Parts[0].MD5 = "" }), 422, "md5"},
		{"a broken SHA-256", token, "x.age", change(func(q *vitrine.PartsRequest) { q.SHA256 = strings.ToUpper(q.SHA256) }), 422, "sha256"},
		{"a part larger than the whole", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Parts[0].Size++ }), 413, "more bytes than the whole"},
		{"a whole larger than any", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Size = 20<<20 + 1 }), 413, "more than"},
		{"a part larger than any", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Size, q.Parts[0].Size = 0, 20<<20+1 }), 413, "more bytes"},
		{"a negative size", token, "x.age", change(func(q *vitrine.PartsRequest) { q.Size = -1 }), 413, "more than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.want(test.status, test.reason, "POST", base+"/parts/"+test.path, test.token, test.body)
			s.want(test.status, test.reason, "PUT", base+"/artifacts/"+test.path, completing(test.token), test.body)
		})
	}
	for name, test := range map[string]struct {
		request vitrine.PartsRequest
		status  int
		reason  string
	}{
		"no hash of the whole":   {change(func(q *vitrine.PartsRequest) { q.SHA256 = "" }), 422, "sha256 is needed"},
		"a gap":                  {change(func(q *vitrine.PartsRequest) { q.Parts[0].Number = 2 }), 422, "part 2 stands"},
		"less than the whole":    {change(func(q *vitrine.PartsRequest) { q.Size++ }), 422, "the object"},
		"parts that never came":  {good, 422, "declared size or SHA-256"},
		"not even an object yet": {change(func(q *vitrine.PartsRequest) { q.Size = 0 }), 422, "object of 0"},
	} {
		t.Run("complete: "+name, func(t *testing.T) {
			s.want(test.status, test.reason, "PUT", base+"/artifacts/x.age", completing(token), test.request)
		})
	}
	for _, test := range []struct {
		name, number string
		header       map[string]string
		status       int
		reason       string
	}{
		{"no token", "1", map[string]string{"Content-Digest": partDigest(sealedBody)}, 401, "token"},
		{"no digest", "1", token, 400, "Content-Digest"},
		{"no MD5", "1", with(token, "Content-Digest", digestOf(sealedBody)), 422, "md5"},
		{"another MD5 than none", "1", with(token, "Content-Digest", digestOf(sealedBody)+", md5=:eA==:"), 400, "md5"},
		{"other bytes", "1", with(token, "Content-Digest", partDigest(sealedBody+"!")), 422, "SHA-256"},
		{"part 0", "0", with(token, "Content-Digest", partDigest(sealedBody)), 422, "part number 0"},
		{"part 1001", "1001", with(token, "Content-Digest", partDigest(sealedBody)), 422, "part number 1001"},
		{"no number", "one", with(token, "Content-Digest", partDigest(sealedBody)), 422, "want a number"},
	} {
		t.Run("part: "+test.name, func(t *testing.T) {
			s.want(test.status, test.reason, "PUT", base+"/parts/"+test.number+"/x.age", test.header, sealedBody)
		})
	}
	s.want(413, "more than", "PUT", base+"/parts/1/x.age", with(token, "Content-Digest", partDigest(sealedBody)), sealedBody+strings.Repeat("x", 20<<20))
	for o := range store.List(context.Background(), vitrine.ArtifactsPrefix) {
		t.Errorf("a refused request left %s", o.Key)
	}
	for u := range store.Uploads(context.Background(), "") {
		t.Errorf("a refused request left parts of %s", u.Key)
	}
	streamed := newSite(t)
	r = streamed.started(nil)
	streamed.want(404, "signs no requests", "POST", api+"/"+r.UUID+"/parts/x.age", streamed.begin(r), good)
}

// T-2.8: what a build, and a service, may bring before it is published is bounded.
func TestQuotas(t *testing.T) {
	const size = 1000
	s := newSiteOn(t, newFakeStore(t), func(c *server.Config) {
		c.Direct, c.MaxArtifactSize, c.MaxBuildSize, c.MaxPending = true, size, 2*size, 3*size
	})
	body := sealedBytes(size)
	whole := partsOf(body)
	digest := with(nil, "Content-Digest", digestOf(string(body)))
	first, second := s.started(nil), s.started(nil)
	token, secondToken := s.begin(first), s.begin(second)
	path := func(r *vitrine.Record, below, name string) string {
		return api + "/" + r.UUID + "/" + below + "/" + name
	}

	s.grant(token, first.UUID, "a.age", whole)
	s.grant(token, first.UUID, "a.age", whole) // the same again costs nothing
	s.want(201, "", "PUT", path(first, "artifacts", "b.age"), with(token, "Content-Digest", digest["Content-Digest"]), string(body))
	s.want(413, "takes 2000 of one build", "POST", path(first, "parts", "c.age"), token, whole)
	s.want(413, "takes 2000 of one build", "PUT", path(first, "artifacts", "c.age"), with(token, "Content-Digest", digest["Content-Digest"]), string(body))
	s.want(413, "takes 2000 of one build", "PUT", path(first, "parts", "1/c.age"), with(token, "Content-Digest", partDigest(string(body))), string(body))
	s.want(413, "takes 2000 of one build", "PUT", path(first, "artifacts", "c.age"), completing(token), whole)

	s.grant(secondToken, second.UUID, "a.age", whole)
	s.want(429, "commit them first", "POST", path(second, "parts", "b.age"), secondToken, whole)
	// Another service has room of its own.
	mail := s.started(func(r *vitrine.Record) {
		r.Service, r.JobName, r.Publisher, r.Expires = "mail", "deploy-mail", "other", time.Time{}
	})
	var grant vitrine.UploadGrant
	if err := json.Unmarshal([]byte(s.want(201, "token", "POST", api, nil, request(t, mail, s.other))), &grant); err != nil {
		t.Fatal(err)
	}
	s.grant(map[string]string{"Authorization": "Bearer " + grant.Token}, mail.UUID, "a.age", whole)

	// What is published counts no more.
	put(t, s.grant(token, first.UUID, "a.age", whole).Requests[0], body)
	s.want(201, "", "PUT", path(first, "artifacts", "a.age"), completing(token), whole)
	f := finished(first, artifact("a.age", string(body), true), artifact("b.age", string(body), true))
	s.want(201, "", "PUT", api+"/"+first.UUID, token, signed(t, f, s.bridge))
	s.grant(secondToken, second.UUID, "b.age", whole)
}

// A store that is down, or refuses the server, is not the runner's fault nor the
// reader's, and an answer says so.
func TestStoreFails(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, direct)
	done := s.publish()
	r := s.started(nil)
	token := s.begin(r)
	body := sealedBytes(100)
	request := partsOf(body)
	s.grant(token, r.UUID, "x.age", request)
	f := finished(r, artifact("x.age", string(body), true))
	for _, failure := range []struct {
		err    error
		status int
		reason string
	}{
		{fmt.Errorf("stat: %w: the store answered 503", storage.ErrUnavailable), 503, "the store does not answer"},
		{errors.New("the store answered 403 InvalidAccessKeyId CANARY"), 502, "the store refused what the server asked"},
	} {
		store.fail(failure.err)
		for _, q := range []struct {
			method, path string
			header       map[string]string
			body         any
		}{
			{"POST", "/" + r.UUID + "/parts/x.age", token, request},
			{"PUT", "/" + r.UUID + "/parts/1/x.age", with(token, "Content-Digest", partDigest(sealedBody)), sealedBody},
			{"PUT", "/" + r.UUID + "/artifacts/y.age", with(token, "Content-Digest", digestOf(sealedBody)), sealedBody},
			{"PUT", "/" + r.UUID + "/artifacts/x.age", completing(token), request},
			{"PUT", "/" + r.UUID, token, signed(t, f, s.bridge)},
			{"GET", "/" + done.UUID + "/artifacts/x.png", nil, nil},
			{"GET", "/" + done.UUID + "/artifacts/a,b+c.log.zst.age", nil, nil},
			{"GET", "/" + done.UUID + "/build.json", nil, nil},
		} {
			text := s.want(failure.status, failure.reason, q.method, api+q.path, q.header, q.body)
			if strings.Contains(text, "CANARY") {
				t.Errorf("%s %s tells what the store said: %s", q.method, q.path, text)
			}
		}
	}
	if !strings.Contains(s.log.String(), "CANARY") {
		t.Error("the log does not tell what the store said")
	}
	store.fail(fmt.Errorf("x: %w", storage.ErrUnavailable))
	resp, err := http.Get(s.url + api + "/" + done.UUID + "/artifacts/x.png")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// T-OPS-1: no signed request gets into a log or an error, neither here nor in the
// client, however it fails.
func TestNoSignatureTold(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, direct)
	told := new(lockedBuffer)
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(told, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(was)
	body := sealedBytes(5000)
	published := s.publishFiles(map[string][]byte{"a.age": body})
	c := s.client()
	c.RetryFor = 0
	p := c.Publisher(s.bridge)
	r := s.started(nil)
	putRecord(t, p, vitrine.StartedKey(r.StartTime, r.UUID), signed(t, r, s.bridge))
	address := store.url
	for _, to := range []string{"http://127.0.0.1:1", "http://no-such-host.invalid", "http://bad host", "http://[::1", "ftp://x", "http://u:p@" + strings.TrimPrefix(address, "http://"), "", address} {
		store.url = to
		if to == address {
			store.refuse.Store(100)
		}
		err := p.Create(context.Background(), vitrine.ArtifactKey(r.UUID, "x.age"), bytes.NewReader(body), optionsOf(body))
		if err == nil {
			t.Errorf("store %q: uploaded", to)
		}
		fmt.Fprintln(told, err)
		_, err = c.Open(context.Background(), vitrine.ArtifactKey(published.UUID, "a.age"))
		if err == nil {
			t.Errorf("store %q: opened", to)
		}
		fmt.Fprintln(told, err)
	}
	for name, text := range map[string]string{"the client": told.String(), "the server's log": s.log.String()} {
		if strings.Contains(text, "X-Amz-Signature") || strings.Contains(text, "temp_url_sig") || strings.Contains(text, "Bearer") {
			t.Errorf("%s tells: %s", name, text)
		}
	}
	if !strings.Contains(told.String(), "SignatureDoesNotMatch") || !strings.Contains(told.String(), "where the server sent us") {
		t.Errorf("nobody knows what the store said: %s", told)
	}
	// A refusal that passes, as of credentials that were changed, is one retry.
	store.refuse.Store(1)
	c.RetryFor = 3 * time.Second
	if err := p.Create(context.Background(), vitrine.ArtifactKey(r.UUID, "x.age"), bytes.NewReader(body), optionsOf(body)); err != nil {
		t.Error(err)
	}
}

func TestDownloads(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, direct)
	r := s.publish()
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, path string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(method, s.url+api+"/"+r.UUID+"/artifacts/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := noRedirect.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "Content-Range") {
			t.Errorf("%s %s: headers %v", method, path, resp.Header)
		}
		return resp
	}
	if resp := ask("GET", "a,b+c.log.zst.age"); resp.StatusCode != 302 || !strings.HasPrefix(resp.Header.Get("Location"), store.url) || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("ETag") != "" {
		t.Errorf("a sealed artifact: %d, %v", resp.StatusCode, resp.Header)
	}
	if resp := ask("HEAD", "a,b+c.log.zst.age"); resp.StatusCode != 200 || resp.ContentLength != int64(len(sealedBody)) || resp.Header.Get("ETag") == "" {
		t.Errorf("HEAD: %d, %v", resp.StatusCode, resp.Header)
	}
	if resp := ask("GET", "x.png"); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/png" {
		t.Errorf("an image: %d, %v", resp.StatusCode, resp.Header)
	}
	if resp := ask("OPTIONS", "x.png"); resp.StatusCode != 204 || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Range") {
		t.Errorf("OPTIONS: %d, %v", resp.StatusCode, resp.Header)
	}
	if err := store.Delete(context.Background(), vitrine.ArtifactKey(r.UUID, "a,b+c.log.zst.age")); err != nil {
		t.Fatal(err)
	}
	if resp := ask("GET", "a,b+c.log.zst.age"); resp.StatusCode != 410 { // T-4.4
		t.Errorf("what is gone: %d", resp.StatusCode)
	}
	s.want(410, "has it no longer", "GET", api+"/"+r.UUID+"/artifacts/a,b+c.log.zst.age", nil, nil)
}
