//go:build stores

package storage_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"vitrine"
	"vitrine/storage"
)

// send sends a signed request and returns the answer's status and header.
func send(t *testing.T, r storage.Request, body []byte) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, bytes.NewReader(body))
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
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header
}

func signPart(t *testing.T, b storage.Bucket, part vitrine.Part) storage.Request {
	t.Helper()
	r, err := b.(storage.Signer).SignPart(t.Context(), key, part, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// T-2.8: a signed request stores the part that it was signed for, and nothing else.
func TestS3SignPart(t *testing.T) {
	b := openS3(t)
	good := []byte("the bytes of the part")
	part := vitrine.NewPart(1, good)
	r := signPart(t, b, part)
	without := func(name string) storage.Request {
		less := storage.Request{Method: r.Method, URL: r.URL, Header: maps.Clone(r.Header)}
		delete(less.Header, name)
		return less
	}
	longer := append(bytes.Clone(good), '!')
	for what, test := range map[string]struct {
		r    storage.Request
		body []byte
	}{
		"other bytes": {r, bytes.ToUpper(good)}, "longer": {r, longer}, "shorter": {r, good[:5]}, "empty": {r, nil},
		"other bytes without their hash":  {without("X-Amz-Checksum-Sha256"), bytes.ToUpper(good)},
		"without its MD5":                 {without("Content-Md5"), good},
		"another part number":             {storage.Request{Method: r.Method, URL: strings.Replace(r.URL, "partNumber=1", "partNumber=2", 1), Header: r.Header}, good},
		"another key":                     {storage.Request{Method: r.Method, URL: strings.Replace(r.URL, "deploy.log", "deploy.lol", 1), Header: r.Header}, good},
		"the whole object":                {storage.Request{Method: r.Method, URL: strings.Replace(r.URL, "partNumber=1", "", 1), Header: r.Header}, good},
		"another method":                  {storage.Request{Method: "DELETE", URL: r.URL, Header: r.Header}, nil},
		"the hash of other, longer bytes": {changed(r, longer), longer},
	} {
		if status, _ := send(t, test.r, test.body); status < 400 {
			t.Errorf("%s: answered %d", what, status)
		}
	}
	if parts, err := b.Parts(t.Context(), key); err != nil || len(parts) != 0 {
		t.Errorf("stored: %v, %v", parts, err)
	}
	if got := keys(t, b); len(got) > 0 {
		t.Errorf("stored: %q", got)
	}
	for range 2 { // and it may come again
		if status, _ := send(t, r, good); status != 200 {
			t.Fatalf("the part itself: answered %d", status)
		}
	}
	if err := b.Complete(t.Context(), key, []vitrine.Part{part}, joined(good)); err != nil {
		t.Fatal(err)
	}
	// T-2.6: after that it changes nothing.
	if status, _ := send(t, r, good); status < 400 {
		t.Errorf("after Complete: answered %d", status)
	}
	wantNoUploads(t, b)
	if got := readAll(t, b, key); !bytes.Equal(got, good) {
		t.Errorf("after Complete: %q", got)
	}
}

func changed(r storage.Request, body []byte) storage.Request {
	h := maps.Clone(r.Header)
	sum := sha256.Sum256(body)
	h["X-Amz-Checksum-Sha256"] = base64.StdEncoding.EncodeToString(sum[:])
	delete(h, "Content-Length")
	return storage.Request{Method: r.Method, URL: r.URL, Header: h}
}

func TestS3SignPartAfterAbort(t *testing.T) {
	b := openS3(t)
	good := []byte("the bytes of the part")
	part := vitrine.NewPart(1, good)
	r := signPart(t, b, part)
	if err := b.Abort(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if status, _ := send(t, r, good); status < 400 {
		t.Errorf("after Abort: answered %d", status)
	}
	wantNoUploads(t, b)
	again := signPart(t, b, part)
	if again.URL == r.URL {
		t.Error("the same request was signed again")
	}
	if status, _ := send(t, again, good); status != 200 {
		t.Errorf("the next upload: answered %d", status)
	}
	for what, until := range map[string]time.Time{"past": time.Now().Add(-time.Hour), "far": time.Now().Add(8 * 24 * time.Hour)} {
		if r, err := b.(storage.Signer).SignPart(t.Context(), key, part, until); err == nil {
			t.Errorf("%s: signed %v", what, r)
		}
	}
}

func TestS3SignOpen(t *testing.T) {
	b := openS3(t)
	if err := create(t.Context(), b, key, "<script>0123456789</script>"); err != nil {
		t.Fatal(err)
	}
	signer := b.(storage.Signer)
	signed, err := signer.SignOpen(t.Context(), key, `a "log".zst.age`, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	status, h := send(t, storage.Request{Method: "GET", URL: signed, Header: map[string]string{"Range": "bytes=8-17"}}, nil)
	if status != 206 || h.Get("Content-Type") != "application/octet-stream" || h.Get("Content-Disposition") != `attachment; filename="a \"log\".zst.age"` ||
		h.Get("Content-Range") != "bytes 8-17/27" {
		t.Errorf("answered %d, %v", status, h)
	}
	for what, r := range map[string]storage.Request{
		"PUT": {Method: "PUT", URL: signed}, "another key": {Method: "GET", URL: strings.Replace(signed, "deploy", "destroy", 1)},
		"HTML": {Method: "GET", URL: strings.Replace(signed, "application%2Foctet-stream", "text%2Fhtml", 1)},
	} {
		if status, _ := send(t, r, nil); status < 400 {
			t.Errorf("%s: answered %d", what, status)
		}
	}
	if u, err := signer.SignOpen(t.Context(), key, "bad\x00name", time.Now().Add(time.Hour)); err == nil && strings.Contains(u, "%00") {
		t.Errorf("signed %s", u)
	}
	_, u := s3Client(t)
	u.RawQuery += "&public_url=https://logs.example.org/x/"
	public, err := openS3At(t, u).(storage.Signer).SignOpen(t.Context(), vitrine.ArtifactKey(uuid, "a+b@c/d,e=.log"), "x", time.Now().Add(time.Hour))
	if err != nil || public != "https://logs.example.org/x/artifacts/"+uuid+"/a+b@c/d,e=.log" {
		t.Errorf("public: %s, %v", public, err)
	}
}

// Inspect says what is missing, and after its own remedy that it is there.
func TestS3Inspect(t *testing.T) {
	client, u := s3Client(t)
	b := openS3(t)
	find := func(what string) storage.Finding {
		t.Helper()
		for _, f := range b.(storage.Inspector).Inspect(t.Context()) {
			if f.What == what {
				return f
			}
		}
		t.Fatalf("no finding on %s", what)
		return storage.Finding{}
	}
	if f := find("signed requests"); !f.Good {
		t.Errorf("%+v", f)
	}
	if err := create(t.Context(), b, key, "x"); err != nil {
		t.Fatal(err)
	}
	if f := find("conditional writes"); !f.Good || !strings.Contains(f.Detail, "refuses") {
		t.Errorf("%+v", f)
	}
	if _, err := client.DeleteBucketCors(t.Context(), &s3.DeleteBucketCorsInput{Bucket: &u.Host}); err != nil {
		t.Fatal(err)
	}
	missing := find("CORS")
	_, rules, ok := strings.Cut(missing.Fix, "--cors-configuration '")
	if missing.Good || !ok {
		t.Fatalf("%+v", missing)
	}
	var set types.CORSConfiguration
	if err := json.Unmarshal([]byte(strings.TrimSuffix(rules, "'")), &set); err != nil {
		t.Fatal(err)
	}
	put := func() {
		if _, err := client.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{Bucket: &u.Host, CORSConfiguration: &set}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if f := find("CORS"); !f.Good || f.Fix != "" {
		t.Errorf("%+v", f)
	}
	set.CORSRules[0].ExposeHeaders = []string{"ETag"}
	put()
	if f := find("CORS"); f.Good || !strings.Contains(f.Detail, "Content-Range") {
		t.Errorf("%+v", f)
	}
}
