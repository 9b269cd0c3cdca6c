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
	log    *bytes.Buffer
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

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, bucket: storage.NewMemory(), bridge: newSigner(t), other: newSigner(t), log: new(bytes.Buffer)}
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
	ctx := context.Background()
	s.repo, err = keyring.Open(ctx, s.dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(ctx, filepath.Join(t.TempDir(), "index.sqlite"), index.Options{Tenant: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	s.server, err = server.New(server.Config{
		Tenant: "demo", Bucket: s.bucket, Index: x, Keyring: s.repo, PublicURL: "https://vitrine.example.org",
		Log: slog.New(slog.NewJSONHandler(s.log, nil)), MaxArtifactSize: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.refresh()
	h := httptest.NewServer(s.server.Handler())
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
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

func TestPublishAndRead(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	s.want(200, r.UUID, "GET", api, nil, nil)
	s.want(200, `"state":"finished"`, "GET", api+"/"+r.UUID, nil, nil)
	s.want(200, sealedBody, "GET", api+"/"+r.UUID+"/artifacts/a,b+c.log.zst.age", nil, nil)
	s.want(200, sealedBody, "GET", api+"/"+r.UUID+"/artifacts/a%2Cb%2Bc.log.zst.age", nil, nil)
	s.want(206, "encryption", "GET", api+"/"+r.UUID+"/artifacts/a,b+c.log.zst.age", map[string]string{"Range": "bytes=4-13"}, nil)
	s.want(416, "", "GET", api+"/"+r.UUID+"/artifacts/x.png", map[string]string{"Range": "bytes=10-"}, nil)
	s.want(200, `"uuid": "`+r.UUID, "GET", api+"/"+r.UUID+"/build.json", nil, nil)
	s.want(200, "SSH SIGNATURE", "GET", api+"/"+r.UUID+"/build.json.sig", nil, nil)
	s.want(200, "SSH SIGNATURE", "GET", api+"/"+r.UUID+"/started.json.sig", nil, nil)
	s.want(200, r.UUID, "GET", "/api/v1/tenant/demo/buildsets/"+r.Buildset, nil, nil)
	s.want(200, "vitrine-record@v1", "GET", "/api/v1/tenant/demo/allowed_signers", nil, nil)
	for _, page := range []string{"/", "/t/demo/services", "/t/demo/builds", "/t/demo/build/" + r.UUID, "/t/demo/buildset/" + r.Buildset,
		"/t/demo/service/web", "/t/demo/job/deploy-web", "/t/demo/keyring", "/t/demo/builds?result=SUCCESS&job_name=deploy-*&from=2020-01-01"} {
		s.want(200, "<!doctype html>", "GET", page, nil, nil)
	}
	s.want(200, "verified", "GET", "/t/demo/build/"+r.UUID, nil, nil)
}

// A running build is shown, and what was uploaded for it is not served yet.
func TestRunning(t *testing.T) {
	s := newSite(t)
	r := s.started(nil)
	token := s.begin(r)
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/x.log.zst.age", with(token, "Content-Digest", digestOf(sealedBody)), sealedBody)
	s.want(200, `"state":"running"`, "GET", api+"/"+r.UUID, nil, nil)
	s.want(404, "", "GET", api+"/"+r.UUID+"/artifacts/x.log.zst.age", nil, nil)
	s.want(404, "", "GET", api+"/"+r.UUID+"/build.json", nil, nil)
	s.want(200, `"uuid": "`+r.UUID, "GET", api+"/"+r.UUID+"/started.json", nil, nil)
	s.want(200, "unning", "GET", "/t/demo/build/"+r.UUID, nil, nil)
}

// Every way to begin a build that is not one's own is refused, and leaves
// nothing behind (T-2.1, T-2.2).
func TestBeginRefuses(t *testing.T) {
	s := newSite(t)
	stranger := newSigner(t)
	for _, test := range []struct {
		name   string
		change func(*vitrine.Record)
		by     ssh.Signer
		alter  func(*vitrine.Record, *vitrine.UploadRequest)
		status int
		reason string
	}{
		{name: "a stranger's key", by: stranger, status: 403, reason: "none of the publishers"},
		{name: "another service's publisher", by: s.other, status: 403, reason: "none of the publishers"},
		{name: "another service's job", change: func(r *vitrine.Record) { r.JobName = "deploy-mail" }, status: 403, reason: "belongs to service mail"},
		{name: "another service", change: func(r *vitrine.Record) { r.Service = "mail" }, status: 403, reason: "belongs to service web"},
		{name: "a job of nobody", change: func(r *vitrine.Record) { r.JobName = "deploy-all" }, status: 403, reason: "no service owns"},
		{name: "another tenant", change: func(r *vitrine.Record) { r.Tenant = "prod" }, status: 403, reason: "tenant"},
		{name: "another publisher's name", change: func(r *vitrine.Record) { r.Publisher = "other" }, status: 403, reason: "bridge signed it"},
		{name: "fewer readers", change: func(r *vitrine.Record) { r.Readers = nil }, status: 403, reason: "readers are not those"},
		{name: "another reader", change: func(r *vitrine.Record) { r.Readers[0].Name = "mallory" }, status: 403, reason: "readers are not those"},
		{name: "an unknown keyring commit", change: func(r *vitrine.Record) { r.Keyring.Commit = strings.Repeat("0", 40) }, status: 403, reason: "not in the history"},
		{name: "kept for ever", change: func(r *vitrine.Record) { r.Expires = time.Time{} }, status: 403, reason: "retention"},
		{name: "from the future", change: func(r *vitrine.Record) {
			r.StartTime = r.StartTime.Add(time.Hour)
			r.Expires = r.Expires.Add(time.Hour)
		}, status: 403, reason: "start_time"},
		{name: "from long ago", change: func(r *vitrine.Record) { r.StartTime = r.StartTime.AddDate(0, 0, -8) }, status: 403, reason: "start_time"},
		{name: "already ended", change: func(r *vitrine.Record) { *r = *finished(r) }, status: 422, reason: "no result"},
		{name: "no proof", alter: func(_ *vitrine.Record, q *vitrine.UploadRequest) { q.Proof = "" }, status: 403, reason: "proof"},
		{name: "the record's signature as proof", alter: func(_ *vitrine.Record, q *vitrine.UploadRequest) { q.Proof = q.Signature }, status: 403, reason: "namespace"},
		{name: "an old proof", alter: func(r *vitrine.Record, q *vitrine.UploadRequest) {
			q.Time = q.Time.Add(-time.Hour)
			q.Proof = proof(t, r, q.Record, q.Time, s.bridge)
		}, status: 403, reason: "clock"},
		{name: "a proof for another build", alter: func(r *vitrine.Record, q *vitrine.UploadRequest) {
			q.Proof = proof(t, r, "another", q.Time, s.bridge)
		}, status: 403, reason: "proof"},
		{name: "no signature", alter: func(_ *vitrine.Record, q *vitrine.UploadRequest) { q.Signature = "" }, status: 403, reason: "signature"},
		{name: "an altered record", alter: func(_ *vitrine.Record, q *vitrine.UploadRequest) {
			q.Record = strings.Replace(q.Record, `"voting": true`, `"voting": false`, 1)
		}, status: 403, reason: "signature"},
		{name: "a broken record", alter: func(_ *vitrine.Record, q *vitrine.UploadRequest) { q.Record += " " }, status: 422, reason: "invalid record"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := s.started(test.change)
			by := test.by
			if by == nil {
				by = s.bridge
			}
			q := request(t, r, by)
			if test.alter != nil {
				test.alter(r, &q)
			}
			s.want(test.status, test.reason, "POST", api, nil, q)
		})
	}
	for o, err := range s.bucket.List(context.Background(), "") {
		t.Errorf("a refused request left %s (error %v)", o.Key, err)
	}
	for _, body := range []string{"", "{", "[]", `{"record":"x","more":1}`, `{} {}`} {
		s.want(400, "JSON", "POST", api, nil, body)
	}
	s.want(413, "", "POST", api, nil, `{"record":"`+strings.Repeat("x", 9<<20)+`"}`)
	s.want(404, "no tenant", "POST", "/api/v1/tenant/prod/builds", nil, "{}")
}

// The same again is a success at every step; anything else a conflict (T-2.5).
func TestRepeat(t *testing.T) {
	s := newSite(t)
	r := s.started(nil)
	q := request(t, r, s.bridge)
	s.want(201, "token", "POST", api, nil, q)
	token := s.begin(r) // again, by a fresh proof
	path := api + "/" + r.UUID + "/artifacts/x.log.zst.age"
	put := with(token, "Content-Digest", digestOf(sealedBody))
	s.want(201, "", "PUT", path, put, sealedBody)
	s.want(201, "", "PUT", path, put, sealedBody)
	other := sealedBody + "!"
	s.want(409, "nothing is ever replaced", "PUT", path, with(token, "Content-Digest", digestOf(other)), other)
	f := finished(r, artifact("x.log.zst.age", sealedBody, true))
	commit := signed(t, f, s.bridge)
	s.want(201, "", "PUT", api+"/"+r.UUID, token, commit)
	s.want(201, "", "PUT", api+"/"+r.UUID, token, commit)
	s.want(201, "", "PUT", path, put, sealedBody)
	s.want(409, "is published", "PUT", path, with(token, "Content-Digest", digestOf(other)), other)
	s.want(409, "is published", "PUT", api+"/"+r.UUID+"/artifacts/y.log.zst.age", put, sealedBody)
	f.Result = vitrine.Failure
	s.want(409, "", "PUT", api+"/"+r.UUID, token, signed(t, f, s.bridge))
	s.want(200, `"result": "SUCCESS"`, "GET", api+"/"+r.UUID+"/build.json", nil, nil)
	// Another build can't take the uuid.
	again := s.started(func(n *vitrine.Record) {
		n.UUID = r.UUID
		n.StartTime = r.StartTime.AddDate(0, 0, -1)
		n.Expires = r.Expires.AddDate(0, 0, -1)
	})
	s.want(409, "another build", "POST", api, nil, request(t, again, s.bridge))
}

func TestUploadRefuses(t *testing.T) {
	s := newSite(t)
	r, second := s.started(nil), s.started(nil)
	token, secondToken := s.begin(r), s.begin(second)
	base := api + "/" + r.UUID + "/artifacts/"
	sealed := func(more ...string) map[string]string {
		return with(token, append([]string{"Content-Digest", digestOf(sealedBody)}, more...)...)
	}
	for _, test := range []struct {
		name, path string
		header     map[string]string
		body       string
		status     int
		reason     string
	}{
		{"no token", "x.log.zst.age", map[string]string{"Content-Digest": digestOf(sealedBody)}, sealedBody, 401, "token"},
		{"a forged token", "x.log.zst.age", sealed("Authorization", "Bearer "+strings.Repeat("A", 75)), sealedBody, 401, "token"},
		{"another build's token", "x.log.zst.age", with(secondToken, "Content-Digest", digestOf(sealedBody)), sealedBody, 403, "another build"},
		{"no digest", "x.log.zst.age", token, sealedBody, 400, "Content-Digest"},
		{"another digest", "x.log.zst.age", with(token, "Content-Digest", digestOf("x")), sealedBody, 422, "SHA-256"},
		{"plaintext that is not public", "x.log", with(token, "Content-Digest", digestOf("secret")), "secret", 403, "must be sealed"},
		{"plaintext under a sealed name", "x.log.zst.age", with(token, "Content-Digest", digestOf("secret")), "secret", 422, "not an age file"},
		{"nothing under a sealed name", "x.log.zst.age", with(token, "Content-Digest", digestOf("")), "", 422, "not an age file"},
		{"too large", "x.log.zst.age", sealed(), sealedBody + strings.Repeat("x", 1<<20), 413, "more than"},
		{"a hidden file", ".git/config.age", sealed(), sealedBody, 422, "not one of"},
		{"up and out", "..%2f..%2fx.age", sealed(), sealedBody, 422, "not one of"},
		{"a backslash", "a%5Cb.age", sealed(), sealedBody, 422, "not one of"},
		{"a NUL", "a%00b.age", sealed(), sealedBody, 422, "not one of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.want(test.status, test.reason, "PUT", base+test.path, test.header, test.body)
		})
	}
	for o := range s.bucket.List(context.Background(), vitrine.ArtifactsPrefix) {
		t.Errorf("a refused upload left %s", o.Key)
	}
}

func TestCommitRefuses(t *testing.T) {
	s := newSite(t)
	r := s.started(nil)
	token := s.begin(r)
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/x.log.zst.age", with(token, "Content-Digest", digestOf(sealedBody)), sealedBody)
	good := artifact("x.log.zst.age", sealedBody, true)
	for _, test := range []struct {
		name   string
		change func(*vitrine.Record)
		by     ssh.Signer
		status int
		reason string
	}{
		{"a missing artifact", func(f *vitrine.Record) { f.Artifacts = append(f.Artifacts, artifact("y.log.zst.age", "y", true)) }, s.bridge, 422, "not uploaded"},
		{"another hash", func(f *vitrine.Record) { f.Artifacts[0].SHA256 = strings.Repeat("0", 64) }, s.bridge, 409, "other bytes"},
		{"another size", func(f *vitrine.Record) { f.Artifacts[0].Size++ }, s.bridge, 409, "other bytes"},
		{"an unsealed file", func(f *vitrine.Record) { f.Artifacts[0].Sealed, f.Artifacts[0].Path = false, "x.log" }, s.bridge, 403, "public"},
		{"other readers", func(f *vitrine.Record) { f.Readers[0].Name = "mallory" }, s.bridge, 409, "differs"},
		{"another job", func(f *vitrine.Record) { f.Pipeline = "x" }, s.bridge, 409, "differs"},
		{"another publisher's key", func(*vitrine.Record) {}, s.other, 403, "none of the publishers"},
		{"an end in the future", func(f *vitrine.Record) { f.EndTime = f.EndTime.Add(time.Hour) }, s.bridge, 403, "end_time"},
		{"another build", func(f *vitrine.Record) { f.UUID = newID() }, s.bridge, 422, "not the final record"},
		{"no end", func(f *vitrine.Record) { f.Result, f.EndTime, f.Artifacts = "", time.Time{}, nil }, s.bridge, 422, "not the final record"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := finished(r, good)
			f.Readers = append([]vitrine.Reader{}, f.Readers...)
			test.change(f)
			s.want(test.status, test.reason, "PUT", api+"/"+r.UUID, token, signed(t, f, test.by))
		})
	}
	s.want(401, "token", "PUT", api+"/"+r.UUID, nil, signed(t, finished(r, good), s.bridge))
	s.want(200, `"state":"running"`, "GET", api+"/"+r.UUID, nil, nil)
}

// A key that was removed publishes no more; what it published still verifies
// (T-3.1). A keyring that was replaced more than a day ago is refused.
func TestKeyringMovesOn(t *testing.T) {
	s := newSite(t)
	first := s.publish()
	old := s.started(nil)
	s.commitKeyring(map[string]string{"services/web.yaml": "jobs: [deploy-web]\nreaders: [alice]\npublishers: [other]\nretention: 30d\n"}, "bridge is gone", time.Now().Add(-48*time.Hour))
	s.refresh()
	s.want(403, "none of the publishers", "POST", api, nil, request(t, old, s.bridge))
	s.want(200, "verified", "GET", "/t/demo/build/"+first.UUID, nil, nil)
	old.Publisher = "other"
	s.want(403, "was replaced", "POST", api, nil, request(t, old, s.other))
	s.want(201, "token", "POST", api, nil, request(t, s.started(func(r *vitrine.Record) { r.Publisher = "other" }), s.other))
}

// A record that somebody put into the bucket is shown as what it is (T-5.1).
func TestForgedRecord(t *testing.T) {
	s := newSite(t)
	r := finished(s.started(nil))
	put := func(key, text string) {
		t.Helper()
		o := storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256([]byte(text))}
		if err := s.bucket.Create(context.Background(), key, strings.NewReader(text), o); err != nil {
			t.Fatal(err)
		}
	}
	key := vitrine.RecordKey(r.StartTime, r.UUID)
	forged := signed(t, r, newSigner(t))
	put(vitrine.SignatureKey(key), forged.Signature)
	put(key, forged.Record)
	unsigned := finished(s.started(nil))
	put(vitrine.RecordKey(unsigned.StartTime, unsigned.UUID), signed(t, unsigned, s.bridge).Record)
	s.refresh()
	s.want(200, "not verified", "GET", "/t/demo/build/"+r.UUID, nil, nil)
	s.want(200, "nsigned", "GET", "/t/demo/build/"+unsigned.UUID, nil, nil)
}

func TestHeadersEverywhere(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	for _, path := range []string{"/", "/t/demo/builds", "/t/demo/build/" + r.UUID, "/t/demo/nothing", "/nothing", "/static/x", "/healthz", "/readyz",
		api, api + "/x", api + "/" + r.UUID + "/artifacts/x.png", api + "/" + r.UUID + "/artifacts/a,b+c.log.zst.age"} {
		resp, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || resp.Header.Get("X-Content-Type-Options") != "nosniff" ||
			resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
	}
	for path, want := range map[string][2]string{
		"x.png":             {"image/png", "inline; filename=\"x.png\""},
		"a,b+c.log.zst.age": {"application/octet-stream", "attachment; filename=\"a,b+c.log.zst.age\""},
	} {
		resp, err := http.Get(s.url + api + "/" + r.UUID + "/artifacts/" + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Header.Get("Content-Type") != want[0] || resp.Header.Get("Content-Disposition") != want[1] || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
	}
}

func TestBadRequests(t *testing.T) {
	s := newSite(t)
	s.publish()
	for path, want := range map[string]int{
		"/t/demo/builds?from=yesterday": 400, "/t/demo/builds?before=xx": 400, "/t/demo/builds?result=GREEN": 400, "/t/demo/builds?result=LOST&result=RUNNING": 200, "/t/demo": 200, "/t/demo/": 200, api + "?limit=0": 400, api + "?limit=1000000": 400, api + "?before=%00": 400,
		"/t/demo/build/xyz": 404, "/t/other/builds": 404, "/t/demo/service/none": 404, "/t/demo/job/none": 404, "/t/demo/buildset/none": 404,
		"/%2e%2e/": 404, "//": 404, "/static/": 404, "/static/..%2f..%2fetc": 404, api + "/x/build.json": 404,
	} {
		got, _ := s.do("GET", path, nil, nil)
		if got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
	if got, _ := s.do("DELETE", api, nil, nil); got != 404 && got != 405 {
		t.Errorf("DELETE: got %d", got)
	}
	_, text := s.do("GET", api+"?limit=0", nil, nil)
	var p vitrine.Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.Status != 400 || !strings.Contains(p.Detail, "limit") {
		t.Errorf("problem %q, error %v", text, err)
	}
}

// A hostile name stays in its line of the log (T-8.7), and no token gets there.
func TestLog(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	s.do("GET", "/t/demo/job/x%0A%7B%22level%22:%22forged%22%7D", map[string]string{"X-Request-Id": "forged"}, nil)
	token := s.begin(s.started(nil))
	for line := range strings.SplitSeq(strings.TrimSpace(s.log.String()), "\n") {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["level"] == "forged" || entry["id"] == "forged" {
			t.Errorf("line %q, error %v", line, err)
		}
	}
	if !strings.Contains(s.log.String(), r.UUID) || strings.Contains(s.log.String(), strings.TrimPrefix(token["Authorization"], "Bearer ")) {
		t.Errorf("log %s", s.log)
	}
}

func TestSearch(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for q, want := range map[string]string{
		"web": "/t/demo/service/web", r.UUID[:12]: "/t/demo/build/" + r.UUID, r.Buildset: "/t/demo/buildset/" + r.Buildset,
		"894%2C201": "/t/demo/builds?change=894201", "deploy": "/t/demo/builds?job_name=%2Adeploy%2A", "": "/t/demo/builds",
		"%2F%2Fevil.example": "/t/demo/builds?job_name=%2A%2F%2Fevil.example%2A",
	} {
		resp, err := client.Get(s.url + "/t/demo/search?q=" + q)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); resp.StatusCode != 303 || got != want {
			t.Errorf("%q: %d to %q, want %q", q, resp.StatusCode, got, want)
		}
	}
}

func TestReady(t *testing.T) {
	s := newSite(t)
	s.want(200, "ok", "GET", "/healthz", nil, nil)
	s.want(200, "ok", "GET", "/readyz", nil, nil)
	x, err := index.Open(context.Background(), filepath.Join(t.TempDir(), "i"), index.Options{Tenant: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	fresh, err := server.New(server.Config{Tenant: "demo", Bucket: s.bucket, Index: x, Keyring: s.repo, PublicURL: "http://x", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/": 503, "/t/demo/keyring": 503} {
		w := httptest.NewRecorder()
		fresh.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s before the first refresh: %d, want %d", path, w.Code, want)
		}
	}
	// A keyring that becomes invalid is named, and the last good one stays.
	s.commitKeyring(map[string]string{"services/web.yaml": "jobs: []\n"}, "broken", time.Now())
	if err := s.server.Refresh(context.Background()); err == nil {
		t.Error("a broken keyring was taken")
	}
	s.want(200, "web.yaml", "GET", "/readyz", nil, nil)
	s.want(200, "web", "GET", "/t/demo/service/web", nil, nil)
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []server.Config{{Tenant: "", PublicURL: "http://x"}, {Tenant: "a/b", PublicURL: "http://x"}, {Tenant: "a", PublicURL: "x"}, {Tenant: "a", PublicURL: "ftp://x"}} {
		if _, err := server.New(c); err == nil {
			t.Errorf("New(%q, %q) succeeded", c.Tenant, c.PublicURL)
		}
	}
}
