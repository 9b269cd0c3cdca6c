package server_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/server"
	"vitrine/storage"
)

// A flakyBucket can't be listed, or fails to open one object once, or panics.
type flakyBucket struct {
	storage.Bucket
	noList   bool
	failOnce string // the end of a key
	panics   bool
}

func (f *flakyBucket) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	if f.noList {
		return func(yield func(storage.Object, error) bool) { yield(storage.Object{}, errors.New("slow down")) }
	}
	return f.Bucket.List(ctx, prefix)
}

func (f *flakyBucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if f.panics {
		panic("a bug")
	}
	if f.failOnce != "" && strings.HasSuffix(key, f.failOnce) {
		f.failOnce = ""
		return nil, errors.New("slow down")
	}
	return f.Bucket.Open(ctx, key)
}

// again is another server over the same history, with an empty index, as after
// the loss of the first one's.
func (s *site) again(b storage.Bucket) *site {
	s.t.Helper()
	n := *s
	n.log = new(lockedBuffer)
	n.start(func(c *server.Config) { c.Bucket = b })
	return &n
}

// put puts a signed record into the bucket, as a publisher without a server does.
func (s *site) put(key string, r vitrine.SignedRecord) {
	s.t.Helper()
	for _, o := range []struct{ key, text string }{{vitrine.SignatureKey(key), r.Signature}, {key, r.Record}} {
		opts := storage.CreateOptions{Size: int64(len(o.text)), SHA256: sha256.Sum256([]byte(o.text))}
		if err := s.bucket.Create(context.Background(), o.key, strings.NewReader(o.text), opts); err != nil {
			s.t.Fatal(err)
		}
	}
}

// daysAgo makes a record one of a build that started days ago.
func daysAgo(days int) func(*vitrine.Record) {
	return func(r *vitrine.Record) {
		r.StartTime, r.Expires = r.StartTime.AddDate(0, 0, -days), r.Expires.AddDate(0, 0, -days)
	}
}

// While the index is being filled nothing begins: a uuid that it does not know
// yet may be taken. A build that was begun goes on afterwards.
func TestBeginWaitsForTheIndex(t *testing.T) {
	s := newSite(t)
	running := s.started(nil)
	s.begin(running)
	done := s.publish()

	b := &flakyBucket{Bucket: s.bucket, noList: true}
	n := s.again(b)
	if err := n.server.Refresh(context.Background()); err == nil {
		t.Fatal("a bucket that can't be listed was synced")
	}
	n.want(503, "still being read", "POST", api, nil, request(t, running, s.bridge))

	// Another publisher tries to put a build of its own before the finished one.
	k, err := s.repo.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	other := s.started(daysAgo(2))
	other.UUID, other.Service, other.JobName, other.Publisher, other.Expires = done.UUID, "mail", "deploy-mail", "other", time.Time{}
	readers, err := k.Recipients("mail", other.StartTime)
	if err != nil {
		t.Fatal(err)
	}
	other.Readers, other.SkippedReaders = readers.Readers, readers.Skipped
	n.want(503, "still being read", "POST", api, nil, request(t, other, s.other))

	b.noList = false
	if err := n.server.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	n.want(409, "another build", "POST", api, nil, request(t, other, s.other))
	n.want(200, `"job_name":"deploy-web"`, "GET", api+"/"+done.UUID, nil, nil)
	token := n.begin(running)
	n.want(201, "", "PUT", api+"/"+running.UUID+"/artifacts/x.png", with(token, "Content-Digest", digestOf("png")), "png")
}

// A record that can't be read at first is looked for again, however old it is.
func TestRefreshTriesAgain(t *testing.T) {
	s := newSite(t)
	old := finished(s.started(daysAgo(60)))
	s.put(vitrine.RecordKey(old.StartTime, old.UUID), signed(t, old, s.bridge))
	n := s.again(&flakyBucket{Bucket: s.bucket, failOnce: "build.json"})
	if err := n.server.Refresh(context.Background()); err == nil {
		t.Fatal("a record that could not be read was passed over")
	}
	if err := n.server.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	n.want(200, old.UUID, "GET", api+"/"+old.UUID, nil, nil)
}

// A build that comes into the bucket days after its start is found.
func TestRefreshFindsLateBuilds(t *testing.T) {
	s := newSite(t)
	late := finished(s.started(daysAgo(6)))
	s.put(vitrine.RecordKey(late.StartTime, late.UUID), signed(t, late, s.bridge))
	n := s.again(s.bucket)
	if err := n.server.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	n.want(200, late.UUID, "GET", api+"/"+late.UUID, nil, nil)
}

// Who may publish is asked of the keyring as it is and of the one that the record
// names: what the second does not allow could never be verified.
func TestPublisherAtTheRecordedCommit(t *testing.T) {
	s := newSite(t)
	before := s.started(nil)
	moved := s.started(func(r *vitrine.Record) { r.Service, r.Publisher = "mail", "other" })
	late := newSigner(t)
	s.commitKeyring(map[string]string{
		"publishers/bridge.pub": string(ssh.MarshalAuthorizedKey(late.PublicKey())),
		"services/web.yaml":     "jobs: [deploy-web]\nreaders: [alice]\npublishers: [bridge]\nretention: 30d\n",
	}, "another key", time.Now().Add(-time.Hour))
	s.refresh()
	s.want(403, "none of the publishers", "POST", api, nil, request(t, before, late))

	s.commitKeyring(map[string]string{
		"services/web.yaml":  "jobs: [deploy-static]\nreaders: [alice]\npublishers: [bridge]\nretention: 30d\n",
		"services/mail.yaml": "jobs: [deploy-mail, deploy-web]\nreaders: [alice]\npublishers: [other]\nretention: 30d\n",
	}, "another service", time.Now().Add(-time.Hour))
	s.refresh()
	s.want(403, "belongs to service web", "POST", api, nil, request(t, moved, s.other))
}

// A runner may know a keyring that is newer than the server's last look.
func TestKeyringNewerThanTheServers(t *testing.T) {
	s := newSite(t)
	s.commitKeyring(map[string]string{
		"services/static.yaml": "jobs: [deploy-static]\nreaders: [alice]\npublishers: [bridge]\nretention: 30d\n",
	}, "a new service", time.Now())
	r := s.started(func(r *vitrine.Record) { r.Service, r.JobName = "static", "deploy-static" })
	s.want(201, "token", "POST", api, nil, request(t, r, s.bridge))
	// Whoever asks for another right after is to come again, and does not make
	// the server look each time.
	r = s.started(func(r *vitrine.Record) {
		r.Service, r.JobName, r.Keyring.Commit = "none", "deploy-none", strings.Repeat("0", 40)
	})
	s.want(503, "being looked for", "POST", api, nil, request(t, r, s.bridge))
	time.Sleep(2100 * time.Millisecond)
	s.want(403, "no service owns", "POST", api, nil, request(t, r, s.bridge))
}

// Lists are lists in JSON, empty or not.
func TestNoNullLists(t *testing.T) {
	s := newSite(t)
	r := s.started(nil)
	s.begin(r)
	for _, path := range []string{api, api + "/" + r.UUID, "/api/v1/tenant/demo/buildsets/" + r.Buildset, api + "?job_name=none"} {
		if text := s.want(200, "", "GET", path, nil, nil); strings.Contains(text, "null") {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// What was uploaded must still be there when the build is committed.
func TestPresenceAtCommit(t *testing.T) {
	s := newSite(t)
	r := s.started(nil)
	token := s.begin(r)
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/x.png", with(token, "Content-Digest", digestOf("png")), "png")
	if err := s.bucket.Delete(context.Background(), vitrine.ArtifactKey(r.UUID, "x.png")); err != nil {
		t.Fatal(err)
	}
	s.want(422, "not uploaded", "PUT", api+"/"+r.UUID, token, signed(t, finished(r, artifact("x.png", "png", false)), s.bridge))
}

// A bug in one request is a 500 and a line in the log, not a silent hang-up.
func TestPanicIsLogged(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	b := &flakyBucket{Bucket: s.bucket}
	n := s.again(b)
	if err := n.server.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.panics = true
	n.want(http.StatusInternalServerError, "Internal Server Error", "GET", api+"/"+r.UUID+"/build.json", nil, nil)
	if !strings.Contains(n.log.String(), "a bug") {
		t.Errorf("log %s", n.log)
	}
}

// The keys of a build's own time can be had after a rotation.
func TestAllowedSignersAtCommit(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	s.commitKeyring(map[string]string{"publishers/bridge.pub": string(ssh.MarshalAuthorizedKey(newSigner(t).PublicKey()))}, "rotate", time.Now())
	s.refresh()
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.bridge.PublicKey())))
	s.want(200, key, "GET", "/api/v1/tenant/demo/allowed_signers?commit="+r.Keyring.Commit, nil, nil)
	if _, text := s.do("GET", "/api/v1/tenant/demo/allowed_signers", nil, nil); strings.Contains(text, key) {
		t.Error("the old key is among the present ones")
	}
	s.want(404, "no commit", "GET", "/api/v1/tenant/demo/allowed_signers?commit=0000", nil, nil)
}
