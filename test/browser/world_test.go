//go:build browser

package browser

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
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
	"vitrine/testdata"
)

const tenant = "opendev"

// A world is a running server with a history that has every state of a build in
// it, and what a hostile publisher would write.
type world struct {
	t      testing.TB
	url    string
	bucket storage.Bucket
	index  *index.Index
	server *server.Server
	bridge ssh.Signer
	dir    string // of the keyring
	keys   *keyring.Keyring
	now    time.Time

	// Builds that tests go to.
	good, failed, running, lost, interrupted, expired, kept, unsigned, forged, imported, hostile, missing, pushed *vitrine.Record
}

var services = []string{"codesearch", "etherpad", "gitea", "grafana", "mailman", "mirror-update", "nodepool", "paste", "refstack", "review", "static", "zuul"}

func newWorld(t testing.TB) *world {
	w := &world{t: t, bucket: storage.NewMemory(), now: time.Now().UTC().Truncate(time.Second)}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	w.must(err)
	w.bridge, err = ssh.NewSignerFromKey(private)
	w.must(err)
	w.makeKeyring()
	repo, err := keyring.Open(t.Context(), w.dir, t.TempDir())
	w.must(err)
	w.keys, err = repo.Head(t.Context())
	w.must(err)
	w.index, err = index.Open(t.Context(), filepath.Join(t.TempDir(), "index.sqlite"), index.Options{Tenant: tenant})
	w.must(err)
	t.Cleanup(func() { w.index.Close() })

	w.makeHistory()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	w.url = "http://" + l.Addr().String()
	w.server, err = server.New(server.Config{
		Tenant: tenant, Bucket: w.bucket, Index: w.index, Keyring: repo, PublicURL: w.url,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	w.must(err)
	w.must(w.server.Refresh(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) makeKeyring() {
	w.dir = filepath.Join(w.t.TempDir(), "config", "keyring")
	key := func() string {
		id, err := age.GenerateX25519Identity()
		w.must(err)
		return id.Recipient().String() + "\n"
	}
	files := map[string]string{
		"publishers/bridge.pub": string(ssh.MarshalAuthorizedKey(w.bridge.PublicKey())),
		"groups.yaml":           "infra-root: [carol, dave]\n",
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	w.must(err)
	bob, err := ssh.NewSignerFromKey(private)
	w.must(err)
	for _, name := range []string{"alice", "carol", "dave"} {
		files["keys/"+name+".pub"] = key()
	}
	files["keys/bob.pub"] = string(ssh.MarshalAuthorizedKey(bob.PublicKey()))
	files["keys/erin.pub"] = strings.TrimSpace(key()) + " expires=2026-10-01\n"
	for i, name := range services {
		readers := "alice, infra-root"
		if i%3 == 0 {
			readers = "alice, bob, erin, infra-root"
		}
		files["services/"+name+".yaml"] = fmt.Sprintf("description: What %s is for\nurl: https://%s.example.org\njobs: [infra-prod-service-%s, \"%s-*\"]\nreaders: [%s]\npublishers: [bridge]\n"+
			"public: [\"**.png\", \"**.txt\", \"**.html\", \"**.svg\", job-output.json]\nretention: 180d\n", name, name, name, name, readers)
	}
	files["services/hostile.yaml"] = "description: '<img src=x onerror=alert(1)>'\njobs: [\"<*\", \"WWW*\"]\nreaders: [alice]\npublishers: [bridge]\npublic: [\"**.png\", \"**.txt\", \"**.html\", \"**.svg\", job-output.json]\n"
	before := map[string]string{}
	for name, text := range files {
		before[name] = strings.ReplaceAll(text, "alice, bob, erin, infra-root", "bob, erin, infra-root")
	}
	w.commit(before, "Begin", w.now.AddDate(0, -4, 0))
	w.commit(files, "alice joins", w.now.AddDate(0, -3, 0))
}

func (w *world) commit(files map[string]string, message string, when time.Time) {
	for name, text := range files {
		path := filepath.Join(w.dir, name)
		w.must(os.MkdirAll(filepath.Dir(path), 0o755))
		w.must(os.WriteFile(path, []byte(text), 0o644))
	}
	top := filepath.Dir(w.dir)
	repo, err := git.PlainOpen(top)
	if err != nil {
		repo, err = git.PlainInit(top, false)
	}
	w.must(err)
	tree, err := repo.Worktree()
	w.must(err)
	w.must(tree.AddGlob("keyring"))
	who := &object.Signature{Name: "Mallory <script>alert(1)</script>", Email: "m@example.org", When: when}
	_, err = tree.Commit(message, &git.CommitOptions{Author: who, Committer: who})
	w.must(err)
}

// rtl turns the direction of what comes after it, if nothing stops it.
const rtl = "\u202Egnp.exe"

// attack is in every field that a publisher may fill; data-hostile is what a test
// looks for in the page.
const attack = `<script data-hostile>alert(1)</script>"'><img src=x data-hostile onerror=alert(1)>`

func id(n int) string {
	sum := sha256.Sum256(fmt.Append(nil, n))
	return fmt.Sprintf("%x", sum[:16])
}

// record makes up a build that succeeded.
func (w *world) record(n int, service string, ago, took time.Duration) *vitrine.Record {
	r := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: tenant, Service: service, UUID: id(n), JobName: "infra-prod-service-" + service, Result: vitrine.Success, Voting: true,
		Pipeline: "deploy", EventID: id(n + 1), Buildset: id(1_000_000 + n/3),
		Ref: vitrine.Ref{Project: "opendev/system-config", Branch: "master", Change: int64(894_000 + n/3), Patchset: "3",
			Ref: fmt.Sprintf("refs/changes/01/%d/3", 894_000+n/3), NewRev: id(n+2) + "00000000", RefURL: fmt.Sprintf("https://review.opendev.org/c/opendev/system-config/+/%d", 894_000+n/3)},
		Nodeset: "ubuntu-noble", StartTime: w.now.Add(-ago), Publisher: "bridge",
	}
	r.EndTime = r.StartTime.Add(took)
	return r
}

// seal gives the record its readers, as the keyring says.
func (w *world) withReaders(r *vitrine.Record) *vitrine.Record {
	to, err := w.keys.Recipients(r.Service, r.StartTime)
	w.must(err)
	r.Readers, r.SkippedReaders = to.Readers, to.Skipped
	r.Keyring = vitrine.Keyring{Commit: w.keys.Commit, URL: "https://opendev.org/opendev/system-config"}
	r.Expires = w.keys.Services[r.Service].Expires(r.StartTime)
	return r
}

// file puts a file of a build into the bucket and its record.
func (w *world) file(r *vitrine.Record, path, mediaType string, body []byte) {
	sum := sha256.Sum256(body)
	a := vitrine.Artifact{Name: path, Path: path, Size: int64(len(body)), SHA256: fmt.Sprintf("%x", sum), MediaType: mediaType, PlainSize: int64(len(body))}
	if a.Sealed = strings.HasSuffix(path, ".age"); a.Sealed {
		a.PlainSize, a.Lines = 611_204, 8_122
	}
	r.Artifacts = append(r.Artifacts, a)
	w.put(vitrine.ArtifactKey(r.UUID, path), body)
}

func (w *world) put(key string, body []byte) {
	w.must(w.bucket.Create(w.t.Context(), key, bytes.NewReader(body), storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256(body)}))
}

// publish puts a record and its signature into the bucket.
func (w *world) publish(r *vitrine.Record) {
	text, err := r.Marshal()
	w.must(err)
	key := vitrine.RecordKey(r.StartTime, r.UUID)
	switch {
	case r.IsImported():
		w.put(vitrine.ImportedKey(r.StartTime, r.UUID), text)
		return
	case r.IsStarted():
		key = vitrine.StartedKey(r.StartTime, r.UUID)
	}
	sig, err := signature.Sign(text, vitrine.RecordNamespace, w.bridge)
	w.must(err)
	w.put(vitrine.SignatureKey(key), sig)
	w.put(key, text)
}

func (w *world) mark(kind vitrine.KeyKind, r *vitrine.Record, partial ...vitrine.PartialArtifact) {
	m := vitrine.Mark{Version: vitrine.RecordVersion, UUID: r.UUID, Time: w.now, Partial: partial}
	text, err := m.Marshal()
	w.must(err)
	w.put(vitrine.MarkKey(kind, r.StartTime, r.UUID), text)
}

func (w *world) makeHistory() {
	shot := func(name string) []byte {
		b, err := testdata.FS.ReadFile("screenshots/" + name)
		w.must(err)
		return b
	}
	output, err := testdata.FS.ReadFile("logs/codesearch-output.json")
	w.must(err)
	sealedBody := []byte("age-encryption.org/v1\nnot really")
	pick := func(n, of int) int {
		return int(new(big.Int).Mod(new(big.Int).SetBytes([]byte(id(n))), big.NewInt(int64(of))).Int64())
	}

	n := 10_000
	for i, service := range services {
		for k := range 30 {
			n++
			r := w.withReaders(w.record(n, service, time.Duration(k*60+i*17+30)*time.Hour/2, time.Duration(60+pick(n, 500))*time.Second))
			if pick(n+7, 9) == 0 {
				r.Result = vitrine.Failure
			}
			w.file(r, "ansible.log.zst.age", "text/plain", sealedBody)
			w.publish(r)
		}
	}

	w.good = w.withReaders(w.record(1, "codesearch", 2*time.Minute, 202*time.Second))
	w.good.StartTime = w.good.StartTime.Add(-5 * time.Minute)
	w.good.EndTime = w.good.StartTime.Add(202 * time.Second)
	w.withReaders(w.good)
	for _, p := range []string{"service-codesearch.yaml.log.zst.age", "ansible-verbose.log.zst.age", "host/codesearch01/syslog.zst.age", "host/codesearch02/syslog.zst.age"} {
		w.file(w.good, p, "text/plain", sealedBody)
	}
	w.file(w.good, "screenshots/search.png", "image/png", shot("search.png"))
	w.file(w.good, "screenshots/excludes.png", "image/png", shot("excludes.png"))
	w.file(w.good, "summary.txt", "text/plain", []byte("all hosts answered\nnothing to do\n"))
	w.file(w.good, "report.html", "text/html", []byte("<!doctype html><title>Report</title><h1>Report</h1><p>All is well.</p>"))
	w.file(w.good, "job-output.json", "application/json", output)
	w.publish(w.good)

	before := w.withReaders(w.record(2, "codesearch", 25*time.Hour, 180*time.Second))
	w.file(before, "screenshots/search.png", "image/png", shot("excludes.png"))
	w.file(before, "screenshots/excludes.png", "image/png", shot("excludes.png"))
	w.publish(before)

	w.failed = w.withReaders(w.record(3, "review", time.Hour, 48*time.Second))
	w.failed.Result, w.failed.ErrorDetail = vitrine.Failure, "host review02 was unreachable"
	w.file(w.failed, "ansible.log.zst.age", "text/plain", sealedBody)
	w.publish(w.failed)

	w.running = w.withReaders(w.record(4, "gitea", 72*time.Second, 0))
	w.running.Result, w.running.EndTime = "", time.Time{}
	w.publish(w.running)
	w.lost = w.withReaders(w.record(5, "mirror-update", 30*time.Hour, 0))
	w.lost.Result, w.lost.EndTime = "", time.Time{}
	w.publish(w.lost)
	w.interrupted = w.withReaders(w.record(6, "zuul", 3*time.Hour, 0))
	w.interrupted.Result, w.interrupted.EndTime = "", time.Time{}
	w.publish(w.interrupted)
	w.mark(vitrine.InterruptedKind, w.interrupted, vitrine.PartialArtifact{Path: "console.log.zst.age", Size: 70_000})

	w.expired = w.withReaders(w.record(7, "paste", 170*24*time.Hour, time.Minute))
	w.expired.Artifacts = []vitrine.Artifact{{Name: "log", Path: "ansible.log.zst.age", Size: 9_000, SHA256: strings.Repeat("a", 64), Sealed: true, MediaType: "text/plain", PlainSize: 99_000, Lines: 900}}
	w.publish(w.expired)
	w.mark(vitrine.ExpiredKind, w.expired)
	w.kept = w.withReaders(w.record(8, "grafana", 20*24*time.Hour, time.Minute))
	w.file(w.kept, "ansible.log.zst.age", "text/plain", sealedBody)
	w.publish(w.kept)
	w.mark(vitrine.KeptKind, w.kept)

	// Signed by nobody; and signed, but with another list of readers than the keyring's.
	w.unsigned = w.withReaders(w.record(9, "static", 4*time.Hour, time.Minute))
	text, err := w.unsigned.Marshal()
	w.must(err)
	w.put(vitrine.RecordKey(w.unsigned.StartTime, w.unsigned.UUID), text)
	w.forged = w.withReaders(w.record(13, "static", 5*time.Hour, time.Minute))
	w.forged.Readers = w.forged.Readers[:1]
	w.publish(w.forged)

	// The store has lost a public file.
	w.missing = w.withReaders(w.record(16, "refstack", 6*time.Hour, time.Minute))
	w.missing.Artifacts = []vitrine.Artifact{
		{Name: "x", Path: "gone.txt", Size: 9, SHA256: strings.Repeat("b", 64), MediaType: "text/plain", PlainSize: 9},
		{Name: "y", Path: "shot.png", Size: 9, SHA256: strings.Repeat("b", 64), MediaType: "image/png", PlainSize: 9},
	}
	w.publish(w.missing)

	w.pushed = w.withReaders(w.record(19, "etherpad", 7*time.Hour, time.Minute))
	w.pushed.Ref.Change, w.pushed.Ref.Patchset, w.pushed.Ref.Ref, w.pushed.Pipeline = 0, "", "refs/heads/master", "post"
	w.publish(w.pushed)

	w.imported = w.record(22, "", 40*24*time.Hour, 9*time.Minute)
	w.imported.JobName, w.imported.Publisher, w.imported.Service = "tox-py312", "", ""
	w.imported.Ref.Project = "openstack/nova"
	w.imported.Imported = &vitrine.Imported{Source: "https://zuul.opendev.org/api/tenant/openstack", LogURL: "https://storage.example.org/zuul/22/", Final: true,
		Links: []vitrine.Link{{Name: "Zuul Manifest", URL: "https://storage.example.org/zuul/22/zuul-manifest.json", Metadata: []byte(`{"type":"zuul_manifest"}`)},
			{Name: attack, URL: "https://storage.example.org/" + strings.Repeat("w", 300)}}}
	w.publish(w.imported)

	w.makeHostile(shot("search.png"))
}

// makeHostile publishes what is allowed in a record and breaks pages that are not
// careful.
func (w *world) makeHostile(png []byte) {
	fill := func(s string, max int) string {
		for len(s) > max {
			s = s[:len(s)-1]
		}
		return strings.ToValidUTF8(s, "")
	}
	for i, job := range []string{fill(attack, 255), strings.Repeat("W", 255), "<b>\U0001F4A5" + rtl + " \u2066isolate", fill("<a href=//evil.example>x</a>"+strings.Repeat("é", 200), 255)} {
		r := w.withReaders(w.record(30+3*i, "hostile", time.Duration(i)*time.Minute+10*time.Minute, time.Minute))
		r.JobName = job
		for _, f := range []*string{&r.Pipeline, &r.EventID, &r.Nodeset, &r.Ref.Project, &r.Ref.Branch, &r.Ref.Patchset, &r.Ref.Ref, &r.Ref.OldRev, &r.Ref.NewRev} {
			*f = job
		}
		r.ErrorDetail, r.Result = fill(strings.Repeat(job+" ", 8), 2048), vitrine.Failure
		r.Ref.RefURL = "https://evil.example/" + strings.Repeat("%22%3E%3Cscript%3E", 10)
		html := []byte(`<!doctype html><title>x</title><h1>hello</h1><script data-hostile>alert(1);parent.document.title="owned"</script><img src=x onerror=alert(1)><a target=_top href="//evil.example">go</a><meta http-equiv=refresh content="0;url=//evil.example">`)
		w.file(r, "evil.html", "text/html", html)
		w.file(r, "evil.svg", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`))
		w.file(r, "evil.txt", "text/plain", []byte("\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 <script data-hostile>alert(1)</script> "+rtl+"\x00\xff\r\n"+strings.Repeat("W", 5000)+"\n"))
		w.file(r, "job-output.json", "application/json", fmt.Appendf(nil, `[{"playbook":%q,"phase":"run","plays":[{"play":{"name":%q,"id":"1","duration":{}},"tasks":[{"task":{"name":%q,"id":"2","duration":{}},"hosts":{%q:{"failed":true,"msg":%q}}}]}],"stats":{%q:{"ok":1,"failures":1}}}]`,
			"x", "y", "z<script data-hostile>", "host<img data-hostile>", "m<script data-hostile>"+rtl, "host<img data-hostile>"))
		w.file(r, strings.Repeat("W", 100)+"/"+strings.Repeat("W", 90)+".png", "image/png", png)
		if i == 0 {
			w.hostile = r
		}
		w.publish(r)
	}
}
