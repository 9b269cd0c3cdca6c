package server_test

import (
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/server"
	"vitrine/server/index"
	"vitrine/server/index/indextest"
	"vitrine/storage"
)

var (
	benchBuilds = flag.Int("builds", 300, "`number` of builds in the history that TestHistory asks a server about")
	benchAsk    = flag.Int("ask", 1, "how `often` it asks each question")
	benchKeep   = flag.String("keep", "", "`folder` to leave the data in, for vitrine serve --data, or to take it from")
)

// TestHistory asks a server over HTTP for every page and every answer of its API
// about a long history, and prints how long each took and how large it is. That
// each is served is what it tests; make bench-history has it tell of a million
// builds.
func TestHistory(t *testing.T) {
	dir := *benchKeep
	if dir == "" {
		dir = t.TempDir()
	}
	fill := fillHistory(t, dir)
	s := newSiteOn(t, storage.NewMemory(), nil)
	s.commitKeyring(historyKeyring(t, s), "services", time.Now().Add(-24*time.Hour))
	objects := filepath.Join(dir, "bucket")
	if err := os.MkdirAll(objects, 0o755); err != nil {
		t.Fatal(err)
	}
	bucket, err := storage.OpenBucket(t.Context(), "file://"+objects)
	if err != nil {
		t.Fatal(err)
	}
	x := openHistory(t, dir)
	srv, err := server.New(server.Config{
		Tenant: "opendev", Bucket: bucket, Index: x, Keyring: s.repo, PublicURL: "https://vitrine.example.org",
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv.Handler())
	defer web.Close()

	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer out.Flush()
	fmt.Fprintf(out, "%d builds, %d bytes of index each%s\n", *benchBuilds, fileSize(t, dir)/int64(*benchBuilds), fill)
	fmt.Fprintln(out, "p50 ms\tp99 ms\tbytes\tgzip\tstatus\t ")
	for _, path := range historyPaths(t, x, *benchBuilds) {
		a, err := askOften(t.Context(), web.URL+path, *benchAsk)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if a.status != http.StatusOK && a.status != http.StatusNotImplemented && a.status/100 != 3 {
			t.Errorf("%s: status %d", path, a.status)
		}
		fmt.Fprintf(out, "%.2f\t%.2f\t%d\t%d\t%d\t %s\n", ms(a.p50), ms(a.p99), a.size, a.zipped, a.status, path)
	}
	fmt.Fprintf(out, "\nresident memory: %s\n", resident())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func openHistory(t *testing.T, dir string) *index.Index {
	x, err := index.Open(t.Context(), filepath.Join(dir, "index.sqlite"), index.Options{Tenant: "opendev"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// fillHistory makes an index in a folder, if there is none, and says how fast that
// was.
func fillHistory(t *testing.T, dir string) string {
	x := openHistory(t, dir)
	if !x.Rebuilt() {
		return ""
	}
	h := indextest.New(*benchBuilds, 2, time.Now())
	start := time.Now()
	if report, err := x.Sync(t.Context(), h, time.Time{}); err != nil || report.Added != h.Builds {
		t.Fatal(report, err)
	}
	took := time.Since(start)
	return fmt.Sprintf(", filled at %.0f a second", float64(h.Builds)/took.Seconds())
}

func fileSize(t *testing.T, dir string) int64 {
	info, err := os.Stat(filepath.Join(dir, "index.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// historyKeyring is a keyring of the history's hundred services.
func historyKeyring(t *testing.T, s *site) map[string]string {
	alice, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"keys/alice.pub":        alice.Recipient().String() + "\n",
		"publishers/bridge.pub": string(ssh.MarshalAuthorizedKey(s.bridge.PublicKey())),
		"services/checks.yaml":  "jobs: [\"tox-*\"]\nreaders: [alice]\npublishers: [bridge]\n",
	}
	for i := range 100 {
		files[fmt.Sprintf("services/service-%02d.yaml", i)] =
			fmt.Sprintf("jobs: [\"infra-prod-service-%02d-*\"]\nreaders: [alice]\npublishers: [bridge]\n", i)
	}
	return files
}

// historyPaths are the pages and the answers to ask for.
func historyPaths(t *testing.T, x *index.Index, n int) []string {
	at := func(skip int) vitrine.Build {
		// A change's build that was published.
		page, err := x.Builds(t.Context(), index.Query{Job: []string{"tox-*"}, Service: []string{"checks"}, Skip: skip, Limit: 1})
		if err != nil || len(page.Builds) == 0 {
			t.Fatalf("no build after %d: %v", skip, err)
		}
		return page.Builds[0]
	}
	middle, last := at(n/4), at(n*48/100)
	cursor := func(b vitrine.Build) string { return fmt.Sprintf("%d-%s", b.StartTime.Unix(), b.UUID) }
	var paths []string
	for _, query := range []string{
		"", "before=" + cursor(middle), "before=" + cursor(last), "limit=1000",
		"service=service-07", "service=checks&before=" + cursor(middle), "job_name=tox-py310", "job_name=infra-prod-*&before=" + cursor(middle),
		"job_name=tox-py31*&before=" + cursor(last), "job_name=*nothing*", "project=openstack/project-12*", "project=openstack/project-123",
		"branch=stable/*&before=" + cursor(middle), "pipeline=gate", "result=FAILURE", "result=RETRY_LIMIT&before=" + cursor(middle),
		"result=RETRY_LIMIT&job_name=tox-py3*", "result=RUNNING", "result=not:SUCCESS", "job_name=not:tox-*&result=TIMED_OUT",
		"q=project-12", "text=project-12", "voting=0", "held=1", "final=false", "complete=false", "change=810000", "patchset=10", "nodeset=multi-node&result=ABORTED",
		"uuid=" + middle.UUID, "uuid=" + middle.UUID[:7] + "*", "newrev=" + middle.Ref.NewRev,
		"from=" + middle.StartTime.Format(time.DateOnly) + "&to=" + middle.StartTime.Format(time.DateOnly) + "&job_name=tox-*",
	} {
		paths = append(paths, "/t/opendev/builds?"+query)
	}
	paths = append(paths, "/", "/t/opendev/services", "/t/opendev/service/service-07", "/t/opendev/service/checks", "/t/opendev/job/tox-py310", "/t/opendev/job/infra-prod-service-07-1",
		"/t/opendev/build/"+middle.UUID, "/t/opendev/build/"+middle.UUID+"/gallery", "/t/opendev/buildset/"+middle.Buildset, "/t/opendev/keyring", "/t/opendev/search?q=tox",
		"/t/opendev/feed.atom", "/t/opendev/feed.json?service=service-07", "/t/opendev/badge.svg?job_name=tox-py310", "/t/opendev/latest?job_name=tox-py310", "/t/opendev/latest-success?job_name=tox-py310",
		"/logs/opendev/"+middle.UUID+"/")
	for _, path := range []string{
		"builds", "builds?limit=1000", fmt.Sprintf("builds?skip=%d", n/2), fmt.Sprintf("builds?skip=%d&job_name=tox-*&exclude_result=SUCCESS", n/50), "builds?job_name=infra-prod-*",
		"builds?project=openstack/project-123&result=FAILURE&result=TIMED_OUT", "builds?held=1", "builds?final=false", "builds?complete=false", "builds?patchset=10", "builds?ref=refs/heads/master&result=ABORTED",
		"builds?newrev=" + middle.Ref.NewRev, fmt.Sprintf("builds?idx_max=%d", middle.ID), "build/" + middle.UUID,
		"buildsets", fmt.Sprintf("buildsets?skip=%d", n/20), "buildsets?project=openstack/project-123", "buildsets?result=FAILURE", "buildset/" + middle.Buildset,
		"build-times", "build-times?job_name=tox-py310", fmt.Sprintf("build-times?skip=%d", n/2), "build-times?project=openstack/project-123", "build-times?ref=" + middle.Ref.Ref,
		"badge?pipeline=gate", "jobs", "projects", "pipelines", "job/tox-py310", "status", "info",
	} {
		paths = append(paths, "/api/tenant/opendev/"+path)
	}
	paths = append(paths, "/api/info", "/api/tenants")
	for _, path := range []string{
		"builds", "builds?job_name=infra-prod-*&before=" + cursor(middle), "builds/" + middle.UUID, "buildsets/" + middle.Buildset, "services", "services/service-07", "jobs/tox-py310", "allowed_signers",
	} {
		paths = append(paths, "/api/v1/tenant/opendev/"+path)
	}
	return paths
}

// An answer is what a server said, and how long it took.
type answer struct {
	status       int
	size, zipped int // bytes of the body
	p50, p99     time.Duration
}

func askOften(ctx context.Context, url string, times int) (a answer, err error) {
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var took []time.Duration
	for i := range times + 1 {
		start := time.Now()
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return a, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return a, err
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return a, err
		}
		if i > 0 { // the first one warms up
			took = append(took, time.Since(start))
		}
		a.status, a.size, a.zipped = resp.StatusCode, len(body), zippedSize(body)
	}
	slices.Sort(took)
	a.p50, a.p99 = took[len(took)/2], took[len(took)*99/100]
	return a, nil
}

func zippedSize(body []byte) int {
	var n counting
	z := gzip.NewWriter(&n)
	z.Write(body)
	z.Close()
	return int(n)
}

type counting int

func (n *counting) Write(p []byte) (int, error) {
	*n += counting(len(p))
	return len(p), nil
}

// resident is the process's memory as Linux tells it.
func resident() string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "not known"
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "not known"
}
