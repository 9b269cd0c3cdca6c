package server_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/keyring"
	"vitrine/server"
	"vitrine/server/index"
	"vitrine/signature"
	"vitrine/storage"
)

// A site is a running server with a keyring of one service and two publishers.
type site struct {
	t      *testing.T
	url    string
	bucket storage.Bucket
	dir    string // of the keyring
	repo   *keyring.Repository
	server *server.Server
	log    *lockedBuffer
	bridge ssh.Signer // publishes web
	other  ssh.Signer // publishes mail
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newSite(t *testing.T) *site { return newSiteOn(t, storage.NewMemory(), nil) }

// newSiteOn is newSite over a bucket, with a configuration that change, if there
// is one, has altered.
func newSiteOn(t *testing.T, b storage.Bucket, change func(*server.Config)) *site {
	t.Helper()
	s := &site{t: t, bucket: b, bridge: newSigner(t), other: newSigner(t), log: new(lockedBuffer)}
	s.dir = filepath.Join(t.TempDir(), "keyring")
	alice, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.commitKeyring(map[string]string{
		"keys/alice.pub":        alice.Recipient().String() + "\n",
		"publishers/bridge.pub": string(ssh.MarshalAuthorizedKey(s.bridge.PublicKey())),
		"publishers/other.pub":  string(ssh.MarshalAuthorizedKey(s.other.PublicKey())),
		"services/web.yaml":     "jobs: [deploy-web]\nreaders: [alice]\npublishers: [bridge]\npublic: [\"*.png\"]\nretention: 30d\n",
		"services/mail.yaml":    "jobs: [deploy-mail]\nreaders: [alice]\npublishers: [other]\n",
	}, "first", time.Now().Add(-72*time.Hour))
	s.repo, err = keyring.Open(context.Background(), s.dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.start(change)
	s.refresh()
	return s
}

// start starts a server over the site's bucket, with an empty index, that has not
// looked at anything yet.
func (s *site) start(change func(*server.Config)) {
	s.t.Helper()
	x, err := index.Open(context.Background(), filepath.Join(s.t.TempDir(), "index.sqlite"), index.Options{Tenant: "demo"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { x.Close() })
	c := server.Config{
		Tenant: "demo", Bucket: s.bucket, Index: x, Keyring: s.repo, PublicURL: "https://vitrine.example.org",
		Log: slog.New(slog.NewJSONHandler(s.log, nil)), MaxArtifactSize: 1 << 20,
	}
	if change != nil {
		change(&c)
	}
	if s.server, err = server.New(c); err != nil {
		s.t.Fatal(err)
	}
	h := httptest.NewServer(s.server.Handler())
	s.t.Cleanup(h.Close)
	s.url = h.URL
}

// A lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (s *site) refresh() {
	s.t.Helper()
	if err := s.server.Refresh(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// commitKeyring writes files of the keyring and commits them at a time.
func (s *site) commitKeyring(files map[string]string, message string, when time.Time) {
	s.t.Helper()
	for name, text := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	top := filepath.Dir(s.dir)
	repo, err := git.PlainOpen(top)
	if err != nil {
		if repo, err = git.PlainInit(top, false); err != nil {
			s.t.Fatal(err)
		}
	}
	tree, err := repo.Worktree()
	if err == nil {
		err = tree.AddGlob("keyring")
	}
	if err == nil {
		who := &object.Signature{Name: "t", Email: "t@example.org", When: when}
		_, err = tree.Commit(message, &git.CommitOptions{Author: who, Committer: who})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// started is the record of a build of deploy-web that starts now.
func (s *site) started(change func(*vitrine.Record)) *vitrine.Record {
	s.t.Helper()
	k, err := s.repo.Head(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	readers, err := k.Recipients("web", now)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &vitrine.Record{
		Version: 1, Tenant: "demo", Service: "web", UUID: newID(), Buildset: newID(), JobName: "deploy-web", Voting: true,
		StartTime: now, Keyring: vitrine.Keyring{Commit: k.Commit, URL: k.URL},
		Readers: readers.Readers, SkippedReaders: readers.Skipped, Publisher: "bridge",
		Expires: now.AddDate(0, 0, 30),
	}
	if change != nil {
		change(r)
	}
	return r
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func signed(t *testing.T, r *vitrine.Record, by ssh.Signer) vitrine.SignedRecord {
	t.Helper()
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signature.Sign(text, vitrine.RecordNamespace, by)
	if err != nil {
		t.Fatal(err)
	}
	return vitrine.SignedRecord{Record: string(text), Signature: string(sig)}
}

// request is what a publisher sends to begin a build.
func request(t *testing.T, r *vitrine.Record, by ssh.Signer) vitrine.UploadRequest {
	t.Helper()
	q := vitrine.UploadRequest{SignedRecord: signed(t, r, by), Time: time.Now().UTC().Truncate(time.Second)}
	q.Proof = proof(t, r, q.Record, q.Time, by)
	return q
}

func proof(t *testing.T, r *vitrine.Record, text string, at time.Time, by ssh.Signer) string {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	sig, err := signature.Sign(vitrine.UploadProof(r.Tenant, r.UUID, hex.EncodeToString(digest[:]), at), vitrine.UploadNamespace, by)
	if err != nil {
		t.Fatal(err)
	}
	return string(sig)
}

func (s *site) do(method, path string, header map[string]string, body any) (int, string) {
	s.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, s.url+path, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// want does a request and fails the test if it is not answered as said.
func (s *site) want(status int, part, method, path string, header map[string]string, body any) string {
	s.t.Helper()
	got, text := s.do(method, path, header, body)
	if got != status || !strings.Contains(text, part) {
		s.t.Fatalf("%s %s: got %d %s; want %d with %q", method, path, got, text, status, part)
	}
	return text
}

const api = "/api/v1/tenant/demo/builds"

// begin begins a build and returns its token.
func (s *site) begin(r *vitrine.Record) map[string]string {
	s.t.Helper()
	var grant vitrine.UploadGrant
	text := s.want(201, "token", "POST", api, nil, request(s.t, r, s.bridge))
	if err := json.Unmarshal([]byte(text), &grant); err != nil {
		s.t.Fatal(err)
	}
	return map[string]string{"Authorization": "Bearer " + grant.Token}
}

func base64Std(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func with(token map[string]string, more ...string) map[string]string {
	h := map[string]string{}
	for k, v := range token {
		h[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

func artifact(path, body string, sealed bool) vitrine.Artifact {
	sum := sha256.Sum256([]byte(body))
	return vitrine.Artifact{Name: path, Path: path, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Sealed: sealed,
		MediaType: "text/plain", PlainSize: int64(len(body))}
}

// finished is the final record of a started one.
func finished(r *vitrine.Record, artifacts ...vitrine.Artifact) *vitrine.Record {
	f := *r
	f.Result, f.EndTime, f.Artifacts = vitrine.Success, r.StartTime.Add(time.Second), artifacts
	return &f
}

const sealedBody = "age-encryption.org/v1\nnot really, but the server can't tell"

// publish publishes a build with one artifact of each kind.
func (s *site) publish() *vitrine.Record {
	s.t.Helper()
	r := s.started(nil)
	token := s.begin(r)
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/a,b+c.log.zst.age", with(token, "Content-Digest", digestOf(sealedBody)), sealedBody)
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/x.png", with(token, "Content-Digest", digestOf("png")), "png")
	f := finished(r, artifact("a,b+c.log.zst.age", sealedBody, true), artifact("x.png", "png", false))
	s.want(201, "https://vitrine.example.org/t/demo/build/"+r.UUID, "PUT", api+"/"+r.UUID, token, signed(s.t, f, s.bridge))
	return f
}
