//go:build stores && unix

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine"
	"vitrine/client"
	"vitrine/storage"
	"vitrine/storage/storagetest/faultproxy"
)

// A badStore is a real store with a proxy before it that breaks things.
type badStore struct {
	proxy *faultproxy.Proxy
	url   string         // of the storage, through the proxy
	env   []string       // that opens it
	store storage.Bucket // the same, past the proxy
}

// badStores are the stores that test/stores/run starts. Each use gets a place of
// its own.
var badStores = map[string]func(t *testing.T) *badStore{
	"s3": func(t *testing.T) *badStore {
		u := storeURL(t, "VITRINE_TEST_S3")
		s := &badStore{store: openDirectly(t, u)}
		query := u.Query()
		s.proxy = faultproxy.New(t, query.Get("endpoint"))
		query.Set("endpoint", s.proxy.URL())
		u.RawQuery = query.Encode()
		s.url = u.String()
		return s
	},
	"swift": func(t *testing.T) *badStore {
		u := storeURL(t, "VITRINE_TEST_SWIFT")
		s := &badStore{store: openDirectly(t, u), url: u.String()}
		auth, err := url.Parse(os.Getenv("ST_AUTH"))
		if err != nil || auth.Host == "" {
			t.Fatalf("ST_AUTH is %q: want a URL", os.Getenv("ST_AUTH"))
		}
		// Swift tells the address of its objects by the one that it was asked at.
		s.proxy = faultproxy.New(t, auth.Scheme+"://"+auth.Host)
		s.env = []string{"ST_AUTH=" + s.proxy.URL() + auth.Path}
		return s
	},
}

// storeURL is a place of its own in the store that a variable names.
func storeURL(t *testing.T, variable string) *url.URL {
	t.Helper()
	u, err := url.Parse(os.Getenv(variable))
	if err != nil || u.Host == "" {
		t.Fatalf("%s is not set to a storage URL: run this by test/stores/run", variable)
	}
	u.Path = "/" + strings.ToLower(rand.Text())
	return u
}

func openDirectly(t *testing.T, u *url.URL) storage.Bucket {
	t.Helper()
	b, err := storage.OpenBucket(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		for o, err := range b.List(ctx, "") {
			if err == nil {
				err = b.Delete(ctx, o.Key)
			}
			if err != nil {
				t.Error(err)
			}
		}
		for u, err := range b.Uploads(ctx, "") {
			if err == nil {
				err = b.Abort(ctx, u.Key)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

// A badDay is a runner with a build to publish, and a store that is about to fail.
type badDay struct {
	*badStore
	t    *testing.T
	keys demoKeys
	logs string
	dir  string // of the runner, and of the server

	retries string // for how long the runner tries again
	limit   int    // of the files that a command writes, in KiB; 0: none
	server  string // its URL; empty: the runner writes to the store itself
	log     lockedBuffer
	mu      sync.Mutex
	process *exec.Cmd // of the server; nil while it is dead
}

func newBadDay(t *testing.T, s *badStore, keys demoKeys, logs string) *badDay {
	d := &badDay{badStore: s, t: t, keys: keys, logs: logs, dir: t.TempDir(), retries: "1s"}
	t.Cleanup(d.killServer)
	return d
}

const badDayUUID = "3f0c9a51d2e84f0b9d1c5a7e2b60aa91"

func (d *badDay) newCommand(args ...string) *exec.Cmd {
	cmd := vitrineCommand(d.dir, d.keys, args...)
	if d.limit > 0 {
		cmd.Args = append([]string{"bash", "-c", fmt.Sprintf(`ulimit -f %d; exec "$0" "$@"`, d.limit), cmd.Path}, args...)
		cmd.Path = "/bin/bash"
	}
	cmd.Env = append(cmd.Env, d.env...)
	cmd.Env = append(cmd.Env, "VITRINE_SERVER="+d.server)
	return cmd
}

func (d *badDay) command(args ...string) (string, error) {
	out, err := d.newCommand(args...).CombinedOutput()
	return string(out), err
}

// publish publishes the logs, or what waits in the spool.
func (d *badDay) publish(args ...string) (string, error) {
	args = append([]string{"publish", "--retry-for", d.retries}, args...)
	if d.server == "" {
		args = append(args, "--store", d.url)
	}
	return d.command(args...)
}

func (d *badDay) publishLogs() (string, error) {
	return d.publish("--job", "infra-prod-service-codesearch", "--result", "SUCCESS", "--uuid", badDayUUID, d.logs)
}

// resume sends what waits, after which the build must be there.
func (d *badDay) resume() {
	d.t.Helper()
	if out, err := d.publish("--resume"); err != nil {
		d.t.Errorf("resume: %v\n%s\n%s", err, out, d.log.String())
	}
	d.wantPublished()
}

// startServer starts a server on the store, or one in the place of a dead one.
func (d *badDay) startServer(flags ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !strings.HasPrefix(d.server, "http://127.0.0.1:") {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			d.t.Fatal(err)
		}
		l.Close() // the server takes the port
		d.server = "http://" + l.Addr().String()
	}
	args := []string{"serve", "--listen", strings.TrimPrefix(d.server, "http://"), "--storage", d.url, "--data", filepath.Join(d.dir, "data")}
	d.process = d.newCommand(append(args, flags...)...)
	d.process.Stderr = &d.log
	if err := d.process.Start(); err != nil {
		d.t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(d.server + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("server not ready: %v\n%s", err, d.log.String())
		}
	}
}

// killServer ends it as kill -9 does.
func (d *badDay) killServer() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process != nil {
		d.process.Process.Kill()
		d.process.Wait()
		d.process = nil
	}
}

// whole fails the test if a build in the store has not all its objects, byte for
// byte. It returns how many builds there are.
func (d *badDay) whole() int {
	d.t.Helper()
	ctx, builds := d.t.Context(), 0
	for o, err := range d.store.List(ctx, vitrine.RecordsPrefix) {
		if err != nil {
			d.t.Fatal(err)
		}
		key, err := vitrine.ParseKey(o.Key)
		if err != nil || key.Kind != vitrine.RecordKind {
			continue
		}
		builds++
		text, err := objectBytes(ctx, d.store, o.Key)
		if err != nil {
			d.t.Fatal(err)
		}
		record, err := vitrine.ParseRecord(text)
		if err != nil {
			d.t.Fatal(err)
		}
		if _, err := objectBytes(ctx, d.store, vitrine.SignatureKey(o.Key)); err != nil {
			d.t.Errorf("a build without its signature: %v", err)
		}
		for _, a := range record.Artifacts {
			body, err := objectBytes(ctx, d.store, vitrine.ArtifactKey(record.UUID, a.Path))
			if sum := sha256.Sum256(body); err != nil || hex.EncodeToString(sum[:]) != a.SHA256 {
				d.t.Errorf("build %s is there, and %s is not as it was published: %d bytes, %v", record.UUID, a.Path, len(body), err)
			}
		}
	}
	return builds
}

func objectBytes(ctx context.Context, b storage.Bucket, key string) ([]byte, error) {
	r, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// wantKept fails the test unless a publish that failed said so, kept the build,
// and told nobody a secret.
func (d *badDay) wantKept(out string, err error) {
	d.t.Helper()
	if _, statErr := os.Stat(filepath.Join(d.dir, "state", "vitrine", "spool", badDayUUID, "build.json")); statErr != nil {
		d.t.Errorf("nothing is kept: %v", statErr)
	}
	if err == nil || !strings.Contains(out, badDayUUID) || !strings.Contains(out, "publish --resume") {
		d.t.Errorf("publish: %v, and it says\n%s", err, out)
	}
	for _, secret := range []string{os.Getenv("AWS_SECRET_ACCESS_KEY") + "\n", "X-Amz-Signature", "temp_url_sig", "AUTH_tk"} {
		if strings.Contains(out+d.log.String(), secret) {
			d.t.Errorf("%q in what is said:\n%s\nor logged:\n%s", secret, out, d.log.String())
		}
	}
}

// wantPublished fails the test unless the build is there, once and whole.
func (d *badDay) wantPublished() {
	d.t.Helper()
	if n := d.whole(); n != 1 {
		d.t.Errorf("%d builds in the store, want 1", n)
	}
	if kept, err := filepath.Glob(filepath.Join(d.dir, "state", "vitrine", "spool", "*")); err != nil || len(kept) > 0 {
		d.t.Errorf("left in the spool: %q, %v", kept, err)
	}
	if d.server == "" {
		return
	}
	page, err := d.history().Builds(d.t.Context(), nil)
	if err != nil || len(page.Builds) != 1 || page.Builds[0].UUID != badDayUUID || page.Builds[0].State != vitrine.Finished {
		d.t.Errorf("the server lists %+v, %v", page.Builds, err)
	}
}

// history is the server's, as a client reads it.
func (d *badDay) history() *client.Client {
	d.t.Helper()
	c, err := client.New(d.server, "demo")
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// A lockedBuffer is what several processes write into.
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

// of has a hook decide about the requests that are for keys with such a part, and
// by one of the methods.
func of(part string, h faultproxy.Hook, methods ...string) faultproxy.Hook {
	return func(r *http.Request) faultproxy.Action {
		if strings.Contains(r.URL.Path, part) && (len(methods) == 0 || slices.Contains(methods, r.Method)) {
			return h(r)
		}
		return faultproxy.Action{}
	}
}

// first has a hook decide about the first n requests alone.
func first(n int, h faultproxy.Hook) faultproxy.Hook {
	return func(r *http.Request) faultproxy.Action {
		if n--; n >= 0 {
			return h(r)
		}
		return faultproxy.Action{}
	}
}

// answer is an error as S3 says it; Swift's clients look at the status alone.
func answer(status int, code string, header ...string) faultproxy.Action {
	a := faultproxy.Action{Status: status, Header: http.Header{"Content-Type": {"application/xml"}},
		Body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>a bad day</Message></Error>`}
	for i := 0; i < len(header); i += 2 {
		a.Header.Set(header[i], header[i+1])
	}
	return a
}

// Each of these happens between the store and the runner, or its server. A day
// that passes must end in a published build. After one that does not, the build
// waits in the spool until the store is well again.
var badDays = []struct {
	name   string
	passes bool
	says   string // the server's log, or the runner that has no server
	fault  func(d *badDay) faultproxy.Hook
}{
	{"connections break within bodies", true, "", func(*badDay) faultproxy.Hook {
		return of("artifacts/", first(3, faultproxy.Always(faultproxy.Action{CutRequest: 4000})), http.MethodPut)
	}},
	{"every connection breaks within its body", false, "", func(*badDay) faultproxy.Hook {
		return of("artifacts/", faultproxy.Always(faultproxy.Action{CutRequest: 4000}), http.MethodPut)
	}},
	{"answers are lost", true, "", func(*badDay) faultproxy.Hook {
		lost := faultproxy.Action{After: func() { panic(http.ErrAbortHandler) }}
		return of("/"+badDayUUID+"/", first(4, faultproxy.Always(lost)), http.MethodPut, http.MethodPost)
	}},
	{"a third of all answers is 500 or 503", true, "", func(*badDay) faultproxy.Hook {
		busy, broken := faultproxy.Share(0.15, answer(503, "SlowDown")), faultproxy.Share(0.176, answer(500, "InternalError"))
		return func(r *http.Request) faultproxy.Action {
			if a := busy(r); a.Status != 0 {
				return a
			}
			return broken(r)
		}
	}},
	{"all answers are 503", false, "503", func(*badDay) faultproxy.Hook {
		return faultproxy.Always(answer(503, "ServiceUnavailable"))
	}},
	{"the store is slow", true, "", func(*badDay) faultproxy.Hook {
		return faultproxy.Always(faultproxy.Action{Delay: 50 * time.Millisecond, Rate: 8 << 20})
	}},
	{"too many requests for a while", true, "", func(*badDay) faultproxy.Hook {
		return of("artifacts/", first(2, faultproxy.Always(answer(429, "TooManyRequests", "Retry-After", "1"))), http.MethodPut)
	}},
	{"the credentials are no longer good", false, "403", func(*badDay) faultproxy.Hook {
		return of("artifacts/", faultproxy.Always(answer(403, "InvalidAccessKeyId")))
	}},
	{"the store's clock is another", false, "403", func(*badDay) faultproxy.Hook {
		ahead := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
		return of("artifacts/", faultproxy.Always(answer(403, "RequestTimeTooSkewed", "Date", ahead)))
	}},
	{"the store's disk is full", false, "507", func(*badDay) faultproxy.Hook {
		return of("artifacts/", faultproxy.Always(answer(507, "InsufficientStorage")), http.MethodPut, http.MethodPost)
	}},
	{"the store is gone", false, "", func(d *badDay) faultproxy.Hook {
		d.proxy.Down(true)
		return nil
	}},
	{"the store goes in the middle", false, "", func(d *badDay) faultproxy.Hook {
		var once sync.Once
		return of("artifacts/", func(*http.Request) faultproxy.Action {
			once.Do(func() { go d.proxy.Down(true) })
			return faultproxy.Action{Delay: 50 * time.Millisecond}
		}, http.MethodPut)
	}},
	{"the store takes an artifact and loses it", false, "", func(d *badDay) faultproxy.Hook {
		return of("/small.log", d.losing(), http.MethodPut)
	}},
	{"the store takes the record and loses it", false, "", func(d *badDay) faultproxy.Hook {
		return of("/build.json", d.losing(), http.MethodPut)
	}},
}

// losing has the store lose the object of a request when it has taken it.
func (d *badDay) losing() faultproxy.Hook {
	return func(r *http.Request) faultproxy.Action {
		key := r.URL.Path[max(strings.Index(r.URL.Path, vitrine.RecordsPrefix), strings.Index(r.URL.Path, vitrine.ArtifactsPrefix)):]
		return faultproxy.Action{After: func() {
			if err := d.store.Delete(context.Background(), key); err != nil {
				d.t.Error(err)
			}
		}}
	}
}

func TestBadDays(t *testing.T) {
	keys, logs := badKeys(t)
	for store, open := range badStores {
		for _, day := range badDays {
			for _, way := range []string{"by a server", "by the runner", "directly"} {
				if way == "directly" && strings.Contains(day.name, "loses") {
					continue // it takes parts, of which the server makes objects
				}
				t.Run(fmt.Sprintf("%s/%s/%s", store, day.name, way), func(t *testing.T) {
					t.Parallel()
					d := newBadDay(t, open(t), keys, logs)
					switch way {
					case "by a server":
						d.startServer()
					case "directly":
						d.startServer("--direct")
					}
					if day.passes {
						d.retries = "30s" // within 1s three unlucky answers in a row are the end
					}
					d.proxy.Hook(day.fault(d))
					began := time.Now()
					out, err := d.publishLogs()
					t.Logf("publish took %s", time.Since(began).Round(10*time.Millisecond))
					d.whole()
					if err != nil || !day.passes {
						d.wantKept(out, err)
					}
					if day.passes && err != nil {
						t.Errorf("it did not pass: %s\n%s", out, d.log.String())
					}
					if said := d.log.String() + out; !strings.Contains(said, day.says) {
						t.Errorf("nothing says %q:\n%s", day.says, said)
					}
					d.proxy.Hook(nil)
					d.proxy.Down(false)
					if err == nil && day.passes {
						d.wantPublished()
					} else {
						d.resume()
					}
				})
			}
		}
	}
}

// The server is killed, as kill -9 does, at each step between the artifacts and
// the record.
func TestServerKilledBeforeTheRecord(t *testing.T) {
	keys, logs := badKeys(t)
	for store, open := range badStores {
		for _, step := range []string{"/small.log.zst.age", "/build.json.sig", "/build.json"} {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s%s, after %v", store, step, after), func(t *testing.T) {
					t.Parallel()
					d := newBadDay(t, open(t), keys, logs)
					d.startServer()
					d.proxy.Hook(func(r *http.Request) faultproxy.Action {
						switch {
						case r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, step):
							return faultproxy.Action{}
						case after:
							return faultproxy.Action{After: d.killServer}
						}
						d.killServer()
						return faultproxy.Action{Status: http.StatusServiceUnavailable} // nobody hears it
					})
					d.wantKept(d.publishLogs())
					if n := d.whole(); n > 0 && !after {
						t.Errorf("%d builds in the store, want none", n)
					}
					d.proxy.Hook(nil)
					d.startServer()
					d.resume()
					if out, err := d.command("verify", badDayUUID); err != nil || strings.Count(out, "ok    ") != 7 { // record, signature, keyring, three logs and their summary
						t.Errorf("verify: %v\n%s", err, out)
					}
				})
			}
		}
	}
}

// A name that does not resolve: that of the runner's server, of its store, and of
// the server's store.
func TestNoSuchHost(t *testing.T) {
	keys, logs := badKeys(t)
	for store, open := range badStores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			good := open(t)
			bad := badStore{url: nowhere(t, good.url), store: good.store}
			for _, e := range good.env {
				name, value, _ := strings.Cut(e, "=")
				bad.env = append(bad.env, name+"="+nowhere(t, value))
			}

			d := newBadDay(t, &bad, keys, logs)
			d.wantKept(d.publishLogs())
			d.badStore = good
			d.resume()

			d = newBadDay(t, open(t), keys, logs)
			d.server = "http://vitrine.invalid"
			d.wantKept(d.publishLogs())
			d.startServer()
			d.resume()

			d = newBadDay(t, &bad, keys, logs)
			out, err := d.command("reindex", "--storage", d.url, "--data", d.dir) // which opens it as serve does
			if err == nil || !strings.Contains(out, "no such host") {
				t.Errorf("reindex: %v\n%s", err, out)
			}
		})
	}
}

// nowhere is a URL of a store, or of where to log in to one, whose host is none.
func nowhere(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	switch query := u.Query(); {
	case query.Has("endpoint"):
		query.Set("endpoint", "http://store.invalid")
		u.RawQuery = query.Encode()
	case u.Scheme == "http":
		u.Host = "store.invalid"
	}
	return u.String()
}

// The runner's disk takes no more: nothing is published, and publishing again
// goes on with what is sealed.
func TestFullSpool(t *testing.T) {
	keys, logs := badKeys(t)
	for store, open := range badStores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			d := newBadDay(t, open(t), keys, logs)
			d.startServer()
			d.limit = 1 << 10
			out, err := d.publishLogs()
			if err == nil || !strings.Contains(out, "spool") || !strings.Contains(out, "file too large") {
				t.Errorf("publish: %v\n%s", err, out)
			}
			if n := d.whole(); n != 0 {
				t.Errorf("%d builds in the store, want none", n)
			}
			d.limit = 0
			if out, err := d.publishLogs(); err != nil {
				t.Errorf("publish again: %v\n%s", err, out)
			}
			d.wantPublished()
		})
	}
}

// The disk of a server that keeps its history in a directory takes no more.
func TestFullBucket(t *testing.T) {
	keys, logs := badKeys(t)
	dir := t.TempDir()
	local, err := storage.OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	d := newBadDay(t, &badStore{url: dir, store: local}, keys, logs)
	d.limit = 4 << 10
	d.startServer()
	d.limit = 0
	d.wantKept(d.publishLogs())
	if n := d.whole(); n != 0 {
		t.Errorf("%d builds in the bucket, want none", n)
	}
	d.killServer()
	d.startServer()
	d.resume()
}

// badKeys makes a keyring, and logs of which one is sent in parts.
func badKeys(t *testing.T) (keys demoKeys, logs string) {
	t.Helper()
	place := t.TempDir()
	keys, err := makeDemoKeyring(place)
	large := make([]byte, vitrine.MinPartSize+1<<20)
	rand.Read(large)
	logs = filepath.Join(place, "logs")
	err = errors.Join(err,
		writeNew(filepath.Join(logs, "small.log"), strings.Repeat("small says hello\n", 1000), 0o644),
		writeNew(filepath.Join(logs, "second.log"), strings.Repeat("second says hello\n", 1000), 0o644),
		writeNew(filepath.Join(logs, "large.bin"), string(large), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return keys, logs
}
