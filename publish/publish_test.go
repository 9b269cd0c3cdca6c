package publish

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/crypto"
	"vitrine/keyring"
	"vitrine/signature"
	"vitrine/storage"
)

// canary is a line of every sealed file. It must be found nowhere.
const canary = "CANARY-7f1d0e5b-secret-of-the-log"

const testCommit = "0123456789abcdef0123456789abcdef01234567"

// A world is a keyring, its keys, and a bucket to publish to.
type world struct {
	t       *testing.T
	files   fstest.MapFS
	commit  string
	alice   *age.X25519Identity
	signer  ssh.Signer
	bucket  *storage.Memory
	spool   string
	started time.Time
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t *testing.T) *world {
	t.Helper()
	identity := func() *age.X25519Identity {
		i, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	w := &world{
		t: t, alice: identity(), signer: newSigner(t), commit: testCommit,
		bucket: storage.NewMemory(), spool: filepath.Join(t.TempDir(), "spool"),
		started: time.Now().Add(-time.Minute).UTC().Truncate(time.Second),
	}
	file := func(format string, a ...any) *fstest.MapFile {
		return &fstest.MapFile{Data: fmt.Appendf(nil, format, a...)}
	}
	w.files = fstest.MapFS{
		"keys/alice.pub":        file("%s\n", w.alice.Recipient()),
		"keys/bob.pub":          file("%s expires=2024-10-01\n", identity().Recipient()),
		"publishers/bridge.pub": file("%s", ssh.MarshalAuthorizedKey(w.signer.PublicKey())),
		"services/codesearch.yaml": file(`jobs: ["deploy-*"]
readers: [alice, bob]
publishers: [bridge]
public: ["screenshots/**.png", "*.pub.txt"]
retention: 180d
`),
	}
	return w
}

func (w *world) keyring() *keyring.Keyring {
	w.t.Helper()
	k, err := keyring.Load(w.files)
	if err != nil {
		w.t.Fatal(err)
	}
	k.Commit, k.URL = w.commit, "https://example.org/keyring"
	return k
}

func (w *world) options(uuid string) Options {
	return Options{
		Job: Job{
			Tenant: "demo", Name: "deploy-codesearch", UUID: uuid, Buildset: strings.Repeat("b", 32), Pipeline: "deploy",
			Voting: true, StartTime: w.started, Ref: vitrine.Ref{Project: "opendev/system-config", Change: 7},
		},
		Keyring: w.keyring(), Signer: w.signer, Writer: w.bucket, Spool: w.spool,
	}
}

// workspace writes files; each holds the canary unless its name says public.
func (w *world) workspace(files map[string]string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	return dir
}

func (w *world) plan(dir string) []File {
	w.t.Helper()
	service := w.keyring().Services["codesearch"]
	files, err := Plan([]string{dir}, Choice{Public: service.IsPublic})
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// publish publishes a folder and ends the build.
func (w *world) publish(o Options, dir string, outcome Outcome) error {
	w.t.Helper()
	b, err := Start(context.Background(), o)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Add(context.Background(), w.plan(dir)); err != nil {
		return err
	}
	return b.Finish(context.Background(), outcome)
}

// object returns an object of the bucket.
func (w *world) object(key string) []byte {
	w.t.Helper()
	r, err := w.bucket.Open(context.Background(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) keys() []string {
	w.t.Helper()
	var keys []string
	for o, err := range w.bucket.List(context.Background(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// record reads and verifies a record of the bucket.
func (w *world) record(key string) *vitrine.Record {
	w.t.Helper()
	text := w.object(key)
	record, err := vitrine.ParseRecord(text)
	if err != nil {
		w.t.Fatal(err)
	}
	who, err := signature.Verify(text, w.object(vitrine.SignatureKey(key)), vitrine.RecordNamespace, w.keyring().PublisherKeys("codesearch"))
	if err != nil || who != record.Publisher {
		w.t.Fatalf("signed by %q, record says %q: %v", who, record.Publisher, err)
	}
	return record
}

// check checks a published build against the files it was made of.
func (w *world) check(uuid string, want map[string]string) *vitrine.Record {
	w.t.Helper()
	record := w.record(vitrine.RecordKey(w.started, uuid))
	started := w.record(vitrine.StartedKey(w.started, uuid))
	same := *record
	same.Result, same.EndTime, same.ErrorDetail, same.Artifacts = "", time.Time{}, "", nil
	a, err := same.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	if b, _ := started.Marshal(); !bytes.Equal(a, b) {
		w.t.Errorf("started.json is\n%s\nand build.json says it was\n%s", b, a)
	}
	if len(record.Artifacts) != len(want) {
		w.t.Errorf("%d artifacts, want %d", len(record.Artifacts), len(want))
	}
	for _, a := range record.Artifacts {
		body := w.object(vitrine.ArtifactKey(uuid, a.Path))
		if int64(len(body)) != a.Size || fmt.Sprintf("%x", sha(body)) != a.SHA256 {
			w.t.Errorf("%s: stored bytes differ from the record", a.Path)
		}
		plain := body
		if a.Sealed {
			r, err := crypto.Open(bytes.NewReader(body), w.alice)
			if err != nil {
				w.t.Fatalf("%s: %v", a.Path, err)
			}
			if plain, err = io.ReadAll(r); err != nil {
				w.t.Fatalf("%s: %v", a.Path, err)
			}
		}
		if text, ok := want[a.PlainPath()]; !ok || text != string(plain) {
			w.t.Errorf("%s: holds other text", a.Path)
		}
		w.checkHeader(uuid, a)
		lines := int64(strings.Count(string(plain), "\n"))
		if len(plain) > 0 && plain[len(plain)-1] != '\n' {
			lines++
		}
		if slices.Contains([]string{".png", ".gz", ".zst"}, filepath.Ext(a.PlainPath())) {
			lines = 0 // what is no text has none
		}
		if a.PlainSize != int64(len(plain)) || a.Lines != lines {
			w.t.Errorf("%s: plain_size %d, lines %d; want %d, %d", a.Path, a.PlainSize, a.Lines, len(plain), lines)
		}
	}
	return record
}

// checkHeader checks that the record names the header of a sealed artifact.
func (w *world) checkHeader(uuid string, a vitrine.Artifact) {
	w.t.Helper()
	got, ok := a.Metadata[vitrine.HeaderSHA256]
	if !a.Sealed {
		if ok {
			w.t.Errorf("%s is public, and has the hash of a header", a.Path)
		}
		return
	}
	body := w.object(vitrine.ArtifactKey(uuid, a.Path))
	r, err := crypto.OpenAt(bytes.NewReader(body), int64(len(body)), w.alice)
	if err != nil {
		w.t.Fatalf("%s: %v", a.Path, err)
	}
	if got != r.HeaderSHA256() {
		w.t.Errorf("%s: the hash of its header is %q in the record, and %s", a.Path, got, r.HeaderSHA256())
	}
}

// noCanary looks for the canary in the spool and in the bucket.
func (w *world) noCanary() {
	w.t.Helper()
	seen := 0
	err := filepath.WalkDir(w.spool, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if bytes.Contains(text, []byte(canary)) {
			w.t.Errorf("plaintext in %s", path)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	for _, key := range w.keys() {
		seen++
		if bytes.Contains(w.object(key), []byte(canary)) {
			w.t.Errorf("plaintext in object %s", key)
		}
	}
	if seen == 0 {
		w.t.Error("there was nothing to look into")
	}
}

// waiting is what lies in the spool.
func (w *world) waiting() []string {
	w.t.Helper()
	uuids, err := Waiting(w.spool)
	if err != nil {
		w.t.Fatal(err)
	}
	return uuids
}

// A hook is a writer that can fail. It notes what was created, in order.
type hook struct {
	storage.Writer
	before func(key string) error // may be nil

	mu   sync.Mutex
	keys []string
}

func (h *hook) Create(ctx context.Context, key string, body io.Reader, o storage.CreateOptions) error {
	if h.before != nil {
		if err := h.before(key); err != nil {
			io.CopyN(io.Discard, body, 100) // it broke in the middle
			return err
		}
	}
	if err := h.Writer.Create(ctx, key, body, o); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, key)
	return nil
}

const testUUID = "0f0e0d0c0b0a09080706050403020100"

var testFiles = map[string]string{
	"deploy.log":           "first\n" + canary + "\nlast",
	"sub/more.yaml":        strings.Repeat(canary+"\n", 1000),
	"empty.txt":            "",
	"archive.gz":           "\x1f\x8b not really compressed " + canary,
	"page.png":             "\x89PNG\r\n\x1a\n" + canary, // its folder is not the public one
	"odd.zst":              "\x1f\x8b gzip under another's name" + canary,
	"screenshots/page.png": "\x89PNG\r\n\x1a\n for everybody",
	"note.pub.txt":         "for everybody\n",
}

func TestPublish(t *testing.T) {
	w := newWorld(t)
	h := &hook{Writer: w.bucket}
	o := w.options(testUUID)
	o.Writer = h
	var last Totals
	o.Progress = func(t Totals) { last = t }
	detail := "it\nfailed \x1b[31m" + strings.Repeat("ü", vitrine.MaxText)
	if err := w.publish(o, w.workspace(testFiles), Outcome{Result: vitrine.Failure, ErrorDetail: detail}); err != nil {
		t.Fatal(err)
	}
	r := w.check(testUUID, testFiles)
	w.noCanary()

	if r.Result != vitrine.Failure || !strings.HasPrefix(r.ErrorDetail, "it failed") || r.Service != "codesearch" || r.Publisher != "bridge" || !r.Voting {
		t.Errorf("record has result %q, error_detail %.20q, service %q, publisher %q, voting %v", r.Result, r.ErrorDetail, r.Service, r.Publisher, r.Voting)
	}
	if r.Keyring.Commit != testCommit || r.Keyring.URL == "" || !r.Expires.Equal(w.started.Add(180*24*time.Hour)) {
		t.Errorf("record has keyring %+v, expires %s", r.Keyring, r.Expires)
	}
	if len(r.Readers) != 1 || r.Readers[0].Name != "alice" ||
		len(r.SkippedReaders) != 1 || r.SkippedReaders[0].Name != "bob" || !strings.Contains(r.SkippedReaders[0].Reason, "2024-10-01") {
		t.Errorf("readers %v, skipped %v: want alice, and bob skipped since his key has expired", r.Readers, r.SkippedReaders)
	}
	for _, a := range r.Artifacts {
		public := strings.HasPrefix(a.Path, "screenshots/") || a.Path == "note.pub.txt"
		raw := a.Sealed && !strings.HasSuffix(a.Path, vitrine.SealedSuffix)
		if a.Sealed == public || raw != slices.Contains([]string{"archive.gz", "page.png"}, a.PlainPath()) {
			t.Errorf("%s: sealed %v", a.Path, a.Sealed)
		}
	}
	// The order is the promise: nothing before started.json, nothing after build.json.
	day := vitrine.DayPrefix(w.started) + testUUID
	n := len(h.keys)
	if n != len(testFiles)+4 || h.keys[0] != day+"/started.json.sig" || h.keys[1] != day+"/started.json" ||
		h.keys[n-2] != day+"/build.json.sig" || h.keys[n-1] != day+"/build.json" {
		t.Errorf("created in this order: %q", h.keys)
	}
	if left, err := os.ReadDir(w.spool); err != nil || len(left) > 0 {
		t.Errorf("the spool holds %v, error %v; want nothing", left, err)
	}
	if last.Files != len(testFiles) || last.SealedFiles != last.Files || last.SentFiles != last.Files ||
		last.PlainBytes != last.SealedBytes || last.SpoolBytes != last.SentBytes || last.PlainBytes == 0 || last.SentBytes == 0 {
		t.Errorf("totals at the end: %+v", last)
	}
}

// Whatever is wrong about keys, nothing is written and nothing is sent.
func TestStartRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*world, *Options)
		want   string
	}{
		{"a job of no service", func(_ *world, o *Options) { o.Job.Name = "other" }, "no service owns the job"},
		{"no job", func(_ *world, o *Options) { o.Job.Name = "" }, "no name"},
		{"below min_readers", func(w *world, o *Options) {
			w.files["services/codesearch.yaml"].Data = append(w.files["services/codesearch.yaml"].Data, "min_readers: 2\n"...)
			o.Keyring = w.keyring()
		}, "bob (key expired 2024-10-01)"},
		{"a key of nobody", func(w *world, o *Options) { o.Signer = newSigner(w.t) }, "the keyring lets bridge"},
		{"no publisher", func(w *world, o *Options) {
			w.files["services/codesearch.yaml"].Data = bytes.ReplaceAll(w.files["services/codesearch.yaml"].Data, []byte("[bridge]"), []byte("[other]"))
			w.files["publishers/other.pub"] = &fstest.MapFile{Data: ssh.MarshalAuthorizedKey(newSigner(w.t).PublicKey())}
			o.Keyring = w.keyring()
		}, "the keyring lets other"},
		{"not in git", func(_ *world, o *Options) { o.Keyring.Commit = "" }, "keep the keyring in git"},
		{"hostile job", func(_ *world, o *Options) { o.Job.Name = "deploy-\n{}" }, "control character"},
		{"hostile branch", func(_ *world, o *Options) { o.Job.Ref.Branch = "a\x1b[2J" }, "ref.branch"},
		{"hostile tenant", func(_ *world, o *Options) { o.Job.Tenant = "../x" }, "tenant"},
		{"hostile uuid", func(_ *world, o *Options) { o.Job.UUID = "../../../../../../../../tmp/aaaaa" }, "uuid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			o := w.options(testUUID)
			test.change(w, &o)
			_, err := Start(context.Background(), o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error with %q", err, test.want)
			}
			if _, err := os.Stat(w.spool); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the spool was made")
			}
			if keys := w.keys(); len(keys) > 0 {
				t.Errorf("the bucket holds %v", keys)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	w := newWorld(t)
	t.Setenv("XDG_STATE_HOME", w.t.TempDir())
	t.Setenv("LocalAppData", os.Getenv("XDG_STATE_HOME"))
	o := w.options("")
	o.Spool, o.Job.Buildset, o.Job.StartTime = "", "", time.Time{}
	b, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := b.Record()
	if !vitrine.ValidUUID(b.UUID()) || !vitrine.ValidUUID(r.Buildset) || r.Buildset == b.UUID() || time.Since(r.StartTime) > time.Minute {
		t.Errorf("uuid %q, buildset %q, start %s", b.UUID(), r.Buildset, r.StartTime)
	}
	if uuids, err := Waiting(filepath.Join(os.Getenv("XDG_STATE_HOME"), "vitrine", "spool")); err != nil || !slices.Equal(uuids, []string{b.UUID()}) {
		t.Errorf("waiting in the default spool: %v, %v", uuids, err)
	}
	if err := b.Finish(context.Background(), Outcome{Result: "WORKED"}); err == nil || !strings.Contains(err.Error(), `"WORKED" is not a result`) {
		t.Errorf("a result that is none: %v", err)
	}
}
