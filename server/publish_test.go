package server_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/storage"
)

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
