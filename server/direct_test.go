package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/client"
	"vitrine/server"
	"vitrine/storage"
)

func direct(c *server.Config) { c.Direct, c.MaxArtifactSize = true, 64<<20 }

// sealedBytes are n bytes that begin as an age file does.
func sealedBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b[copy(b, "age-encryption.org/v1\n"):])
	return b
}

func (s *site) client() *client.Client {
	s.t.Helper()
	c, err := client.New(s.url, "demo")
	if err != nil {
		s.t.Fatal(err)
	}
	c.RetryFor = 3 * time.Second
	return c
}

func optionsOf(b []byte) storage.CreateOptions {
	return storage.CreateOptions{Size: int64(len(b)), SHA256: sha256.Sum256(b)}
}

// putRecord sends a signed record as a publisher does.
func putRecord(t *testing.T, w storage.Writer, key string, signed vitrine.SignedRecord) {
	t.Helper()
	for _, o := range []struct{ key, text string }{{vitrine.SignatureKey(key), signed.Signature}, {key, signed.Record}} {
		if err := w.Create(context.Background(), o.key, strings.NewReader(o.text), optionsOf([]byte(o.text))); err != nil {
			t.Fatal(err)
		}
	}
}

// A streamOnly body can be sought and read, and not read at random.
type streamOnly struct{ io.ReadSeeker }

// publishFiles publishes files through the real client, and returns its record.
func (s *site) publishFiles(files map[string][]byte) *vitrine.Record {
	s.t.Helper()
	p := s.client().Publisher(s.bridge)
	r := s.started(nil)
	putRecord(s.t, p, vitrine.StartedKey(r.StartTime, r.UUID), signed(s.t, r, s.bridge))
	var artifacts []vitrine.Artifact
	for path, b := range files {
		var body io.ReadSeeker = bytes.NewReader(b)
		if len(path)%2 == 0 {
			body = streamOnly{body}
		}
		if err := p.Create(context.Background(), vitrine.ArtifactKey(r.UUID, path), body, optionsOf(b)); err != nil {
			s.t.Fatal(err)
		}
		artifacts = append(artifacts, artifact(path, string(b), strings.HasSuffix(path, ".age")))
	}
	f := finished(r, artifacts...)
	putRecord(s.t, p, vitrine.RecordKey(r.StartTime, r.UUID), signed(s.t, f, s.bridge))
	return f
}

// fetch reads an artifact through the real client, whole and in ranges.
func (s *site) fetch(uuid, path string, want []byte) {
	s.t.Helper()
	key := vitrine.ArtifactKey(uuid, path)
	for _, r := range []struct{ off, n int64 }{{0, -1}, {0, 10}, {int64(len(want)) / 2, 10}, {int64(len(want)) / 2, -1}, {3, 1 << 40}} {
		if len(want) < 100 && r.off+r.n != -1 {
			continue
		}
		open := s.client().OpenRange
		if r.off == 0 && r.n < 0 {
			open = func(ctx context.Context, key string, _, _ int64) (io.ReadCloser, error) {
				return s.client().Open(ctx, key)
			}
		}
		body, err := open(context.Background(), key, r.off, r.n)
		if err != nil {
			s.t.Fatalf("%s from %d: %v", path, r.off, err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		expect := want[r.off:]
		if r.n >= 0 && r.n < int64(len(expect)) {
			expect = expect[:r.n]
		}
		if err != nil || !bytes.Equal(got, expect) {
			s.t.Fatalf("%s from %d: got %d bytes, error %v; want %d", path, r.off, len(got), err, len(expect))
		}
	}
}

var bigAndSmall = map[string][]byte{
	"big.log.zst.age": sealedBytes(vitrine.MinPartSize*2 + 5), "aa.log.zst.age": sealedBytes(300), "even.bin.zst.age": sealedBytes(vitrine.MinPartSize + 1),
	"x.png": []byte("png"), "none.png": nil,
}

// Bytes go from the runner to the store and from there to the reader; the server
// sees none of a sealed artifact but its first line.
func TestDirect(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, direct)
	r := s.publishFiles(bigAndSmall)
	if got := store.puts.Load(); got != 3+1+2+1 {
		t.Errorf("%d parts went to the store, want 7", got)
	}
	if got := store.created.Load(); got != 1 { // nothing has no parts
		t.Errorf("%d artifacts passed through the server, want the empty one", got)
	}
	if got := store.read.Load(); got > 3*22 {
		t.Errorf("the server read %d bytes of artifacts", got)
	}
	for path, body := range bigAndSmall {
		s.fetch(r.UUID, path, body)
	}
	if got := store.read.Load(); got > 3*22+3 { // the image
		t.Errorf("the server read %d bytes of artifacts", got)
	}
	s.want(200, `"state":"finished"`, "GET", api+"/"+r.UUID, nil, nil)
}

// The same client and the same artifacts, through the server.
func TestNotDirect(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, func(c *server.Config) { c.MaxArtifactSize = 64 << 20 })
	r := s.publishFiles(bigAndSmall)
	if got := store.puts.Load(); got != 0 || store.created.Load() != 5 {
		t.Errorf("%d parts went to the store, %d artifacts through the server", got, store.created.Load())
	}
	for path, body := range bigAndSmall {
		s.fetch(r.UUID, path, body)
	}
}

// Parts of a log that grows, the last of them again and again, both ways.
func TestGrowing(t *testing.T) {
	for name, change := range map[string]func(*server.Config){"direct": direct, "streamed": func(c *server.Config) { c.MaxArtifactSize = 64 << 20 }} {
		t.Run(name, func(t *testing.T) { testGrowing(t, newSiteOn(t, newFakeStore(t), change), name) })
	}
}

func testGrowing(t *testing.T, s *site, name string) {
	p := s.client().Publisher(s.bridge)
	r := s.started(nil)
	putRecord(t, p, vitrine.StartedKey(r.StartTime, r.UUID), signed(t, r, s.bridge))
	all := sealedBytes(vitrine.MinPartSize + 2000)
	key := vitrine.ArtifactKey(r.UUID, "console.log.zst.age")
	put := func(number int, b []byte) vitrine.Part {
		t.Helper()
		part := vitrine.NewPart(number, b)
		if err := p.PutPart(context.Background(), key, part, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		return part
	}
	put(1, all[:100])
	put(1, all[:5000])
	parts := []vitrine.Part{put(1, all[:vitrine.MinPartSize])}
	put(2, all[vitrine.MinPartSize:len(all)-1000])
	parts = append(parts, put(2, all[vitrine.MinPartSize:]))
	for range 2 { // repeated, as after a lost answer
		if err := p.Complete(context.Background(), key, parts, optionsOf(all)); err != nil {
			t.Fatal(err)
		}
	}
	f := finished(r, artifact("console.log.zst.age", string(all), true))
	wrong := *f
	wrong.Artifacts = []vitrine.Artifact{f.Artifacts[0]}
	wrong.Artifacts[0].Size++
	token := s.begin(r)
	s.want(409, "other bytes", "PUT", api+"/"+r.UUID, token, signed(t, &wrong, s.bridge))
	if name == "streamed" { // then the server can tell, and does
		wrong.Artifacts[0].Size, wrong.Artifacts[0].SHA256 = f.Artifacts[0].Size, strings.Repeat("0", 64)
		s.want(409, "other bytes", "PUT", api+"/"+r.UUID, token, signed(t, &wrong, s.bridge))
	}
	putRecord(t, p, vitrine.RecordKey(r.StartTime, r.UUID), signed(t, f, s.bridge))
	s.fetch(r.UUID, "console.log.zst.age", all)
	if err := p.PutPart(context.Background(), key, parts[1], bytes.NewReader(all[vitrine.MinPartSize:])); err == nil {
		t.Error("a published build took a part")
	}
	// The same artifact again is fine, as from a runner that did not hear of its success.
	if err := p.Create(context.Background(), key, bytes.NewReader(all), optionsOf(all)); err != nil {
		t.Error(err)
	}
}

// grant asks for signed requests.
func (s *site) grant(token map[string]string, uuid, path string, request vitrine.PartsRequest) vitrine.PartsGrant {
	s.t.Helper()
	var g vitrine.PartsGrant
	text := s.want(200, "requests", "POST", api+"/"+uuid+"/parts/"+path, token, request)
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		s.t.Fatal(err)
	}
	return g
}

// put sends a signed request as it is, with a body, and returns the status. A
// store may hang up on what it does not want; that is a 400.
func put(t *testing.T, r vitrine.PartRequest, body []byte) int {
	t.Helper()
	req, err := http.NewRequest(r.Method, r.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return http.StatusBadRequest
	}
	resp.Body.Close()
	return resp.StatusCode
}

func partsOf(b []byte) vitrine.PartsRequest {
	sum := sha256.Sum256(b)
	r := vitrine.PartsRequest{Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}
	for off := 0; off < len(b); off += vitrine.MinPartSize {
		r.Parts = append(r.Parts, vitrine.NewPart(len(r.Parts)+1, b[off:min(off+vitrine.MinPartSize, len(b))]))
	}
	return r
}

func completing(token map[string]string) map[string]string {
	return with(token, "Content-Type", vitrine.PartsMediaType)
}

// No signed request outlives what it is for (T-2.6), and none takes other bytes
// than were declared (T-2.8).
func TestOldRequests(t *testing.T) {
	store := newFakeStore(t)
	testOldRequests(t, newSiteOn(t, store, direct))
}

func testOldRequests(t *testing.T, s *site) {
	r := s.started(nil)
	token := s.begin(r)
	body := sealedBytes(vitrine.MinPartSize + 100)
	request := partsOf(body)
	path := "deep/er/x.log.zst.age"
	g := s.grant(token, r.UUID, path, request)
	if len(g.Requests) != 2 || g.Requests[1].Number != 2 || time.Until(g.Expires) > 16*time.Minute || time.Until(g.Expires) < 10*time.Minute {
		t.Fatalf("%d requests until %s", len(g.Requests), g.Expires)
	}
	if status := put(t, g.Requests[1], append(body[vitrine.MinPartSize:len(body):len(body)], '!')); status < 300 {
		// Where a length can't be signed, the completion must notice.
		s.want(422, "", "PUT", api+"/"+r.UUID+"/artifacts/"+path, completing(token), request)
	}
	for i, q := range g.Requests {
		off := i * vitrine.MinPartSize
		if status := put(t, q, body[off:min(off+vitrine.MinPartSize, len(body))]); status >= 300 {
			t.Fatalf("part %d: %d", i+1, status)
		}
	}
	second := s.grant(token, r.UUID, path, request) // which stays unused until the end
	for range 2 {
		s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/"+path, completing(token), request)
	}
	if g := s.grant(token, r.UUID, path, request); len(g.Requests) != 0 {
		t.Errorf("%d requests for what is stored", len(g.Requests))
	}
	// What the store has lost since is asked for again, and completed again.
	if err := s.bucket.Delete(context.Background(), vitrine.ArtifactKey(r.UUID, path)); err != nil {
		t.Fatal(err)
	}
	for i, q := range s.grant(token, r.UUID, path, request).Requests {
		off := i * vitrine.MinPartSize
		if status := put(t, q, body[off:min(off+vitrine.MinPartSize, len(body))]); status >= 300 {
			t.Fatalf("part %d again: %d", i+1, status)
		}
	}
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/"+path, completing(token), request)
	f := finished(r, artifact(path, string(body), true))
	for range 2 { // T-2.5: the same again is fine, others are not
		s.want(201, "", "PUT", api+"/"+r.UUID, token, signed(t, f, s.bridge))
	}
	other := *f
	other.Result = vitrine.Failure
	s.want(409, "", "PUT", api+"/"+r.UUID, token, signed(t, &other, s.bridge))
	for _, q := range append(g.Requests, second.Requests...) {
		for _, b := range [][]byte{body[:100], sealedBytes(int(request.Parts[q.Number-1].Size)), body[:vitrine.MinPartSize]} {
			put(t, q, b) // whatever the store says
		}
	}
	s.fetch(r.UUID, path, body)
	s.want(409, "is published", "POST", api+"/"+r.UUID+"/parts/y.log.zst.age", token, request)
	changed := partsOf(sealedBytes(len(body)))
	s.want(409, "is published", "POST", api+"/"+r.UUID+"/parts/"+path, token, changed)
	s.want(409, "is published", "PUT", api+"/"+r.UUID+"/artifacts/"+path, completing(token), changed)
	if g := s.grant(token, r.UUID, path, request); len(g.Requests) != 0 {
		t.Errorf("%d requests for what is published", len(g.Requests))
	}
	s.fetch(r.UUID, path, body)
}

// What is no age file is not taken under a sealed name, by which way ever it comes.
func TestPlaintextInParts(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, direct)
	r := s.started(nil)
	token := s.begin(r)
	secret := []byte("the password is hunter2, and there is more of it")
	request := partsOf(secret)
	put(t, s.grant(token, r.UUID, "x.log.zst.age", request).Requests[0], secret)
	s.want(422, "not an age file", "PUT", api+"/"+r.UUID+"/artifacts/x.log.zst.age", completing(token), request)
	digest := digestOf(string(secret))
	sum := vitrine.NewPart(1, secret).MD5
	raw, _ := hex.DecodeString(sum)
	digest += ", md5=" + byteSequence(raw)
	s.want(422, "not an age file", "PUT", api+"/"+r.UUID+"/parts/1/x.log.zst.age", with(token, "Content-Digest", digest), string(secret))
	s.want(403, "must be sealed", "POST", api+"/"+r.UUID+"/parts/x.log", token, request)
	s.want(403, "must be sealed", "PUT", api+"/"+r.UUID+"/parts/1/x.log", with(token, "Content-Digest", digest), string(secret))
	s.want(403, "must be sealed", "PUT", api+"/"+r.UUID+"/artifacts/x.log", completing(token), request)
	// A server that died before it looked: the next one looks at the commit.
	key := vitrine.ArtifactKey(r.UUID, "y.log.zst.age")
	if err := store.Memory.Create(context.Background(), key, bytes.NewReader(secret), optionsOf(secret)); err != nil {
		t.Fatal(err)
	}
	f := finished(r, artifact("y.log.zst.age", string(secret), true))
	s.want(422, "not an age file", "PUT", api+"/"+r.UUID, token, signed(t, f, s.bridge))
	for o := range store.List(context.Background(), vitrine.ArtifactsPrefix) {
		t.Errorf("left behind: %s", o.Key)
	}
	s.want(200, `"state":"running"`, "GET", api+"/"+r.UUID, nil, nil)
}

// A server that was started anew takes what the store took before, and reads none
// of it where the store takes the parts.
func TestDirectRestart(t *testing.T) {
	store := newFakeStore(t)
	s := newSiteOn(t, store, direct)
	r := s.started(nil)
	token := s.begin(r)
	body := sealedBytes(10_000)
	request := partsOf(body)
	put(t, s.grant(token, r.UUID, "x.log.zst.age", request).Requests[0], body)
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/x.log.zst.age", completing(token), request)
	s.start(direct)
	s.refresh()
	s.want(401, "token", "POST", api+"/"+r.UUID+"/parts/x.log.zst.age", token, request)
	token = s.begin(r)
	before := store.read.Load()
	short := finished(r, artifact("x.log.zst.age", string(body[1:]), true))
	s.want(409, "other bytes", "PUT", api+"/"+r.UUID, token, signed(t, short, s.bridge))
	f := finished(r, artifact("x.log.zst.age", string(body), true))
	s.want(201, "", "PUT", api+"/"+r.UUID, token, signed(t, f, s.bridge))
	if got := store.read.Load() - before; got > 22 {
		t.Errorf("the commit read %d bytes", got)
	}
}

func byteSequence(b []byte) string { return ":" + base64Std(b) + ":" }

func TestDirectNeedsASigner(t *testing.T) {
	s := newSite(t)
	config := server.Config{Tenant: "demo", PublicURL: "http://x", Keyring: s.repo, Log: slog.New(slog.DiscardHandler), Direct: true}
	config.Bucket = storage.NewMemory()
	if _, err := server.New(config); err == nil || !strings.Contains(err.Error(), "can't sign") {
		t.Errorf("a bucket that can't sign: %v", err)
	}
	store := newFakeStore(t)
	config.Bucket = store
	store.fail(errors.New("the container has no TempURL key; set one"))
	if _, err := server.New(config); err == nil || !strings.Contains(err.Error(), "no TempURL key") {
		t.Errorf("a store without a key: %v", err)
	}
	store.fail(fmt.Errorf("stopped: %w", storage.ErrUnavailable))
	if _, err := server.New(config); err != nil {
		t.Errorf("a store that is down now: %v", err)
	}
	store.fail(nil)
	if _, err := server.New(config); err != nil {
		t.Error(err)
	}
	for u := range store.Uploads(context.Background(), "") {
		t.Errorf("the trial left parts of %s", u.Key)
	}
}
