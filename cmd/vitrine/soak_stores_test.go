//go:build stores && unix

package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/client"
	"vitrine/keyring"
	"vitrine/publish"
	"vitrine/signature"
)

const soakRunners = 8

// Eight runners publish SOAK small builds at once. All of them are there, each
// once; the server lists what the store has; and an index that is made anew gives
// the same pages.
func TestSoak(t *testing.T) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("SOAK"), "100"))
	if err != nil || n < soakRunners {
		t.Fatalf("SOAK is %q: want the number of builds, at least %d", os.Getenv("SOAK"), soakRunners)
	}
	keys, logs := badKeys(t)
	repo, err := keyring.Open(t.Context(), keys.keyring, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	head, err := repo.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signer, closeKey, err := signature.LoadSigner(keys.bridge, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeKey()
	files, err := publish.Plan([]string{filepath.Join(logs, "small.log"), filepath.Join(logs, "second.log")}, publish.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	for store, open := range badStores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			d := newBadDay(t, open(t), keys, logs)
			d.startServer()

			began := time.Now()
			var want []string
			var mu sync.Mutex
			var wg sync.WaitGroup
			for runner := range soakRunners {
				wg.Go(func() {
					for i := runner; i < n; i += soakRunners {
						uuid, err := d.publishSmall(i, head, signer, files)
						if err != nil {
							t.Errorf("build %d: %v", i, err)
							continue
						}
						mu.Lock()
						want = append(want, uuid)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			t.Logf("%d builds in %s", n, time.Since(began).Round(time.Millisecond))

			slices.Sort(want)
			if len(want) != n || len(slices.Compact(slices.Clone(want))) != n {
				t.Fatalf("%d builds published, want %d, each of its own uuid", len(want), n)
			}
			if stored := d.whole(); stored != n {
				t.Errorf("%d builds in the store, want %d", stored, n)
			}
			before := d.pages()
			if listed := slices.Sorted(slices.Values(before.uuids)); !slices.Equal(listed, want) {
				t.Errorf("the server lists %d builds, which are not the %d that were published", len(listed), n)
			}

			d.killServer()
			if out, err := d.command("reindex", "--storage", d.url, "--data", filepath.Join(d.dir, "data")); err != nil || !strings.Contains(out, fmt.Sprintf("indexed %d builds", n)) {
				t.Errorf("reindex: %v\n%s", err, out)
			}
			d.startServer()
			after := d.pages()
			if !slices.Equal(after.uuids, before.uuids) {
				t.Error("after a reindex the builds are in another order, or others")
			}
			for i := range min(len(before.html), len(after.html)) {
				if before.html[i] != after.html[i] {
					t.Errorf("after a reindex page %d is another:\n%s\nbefore:\n%s", i, after.html[i], before.html[i])
					break
				}
			}
			if len(after.html) != len(before.html) || len(before.html) < 3 {
				t.Errorf("%d pages after a reindex, %d before", len(after.html), len(before.html))
			}
		})
	}
}

// publishSmall publishes the i-th build as a runner does that has nothing else on it.
func (d *badDay) publishSmall(i int, k *keyring.Keyring, signer ssh.Signer, files []publish.File) (uuid string, err error) {
	c, err := client.New(d.server, "demo")
	if err != nil {
		return "", err
	}
	ctx := d.t.Context()
	b, err := publish.Start(ctx, publish.Options{
		Job: publish.Job{
			Tenant: "demo", Name: []string{"infra-prod-service-codesearch", "infra-prod-base"}[i%2], Pipeline: "deploy", Voting: true,
			// Two days ago, in words, for as long as the test runs.
			StartTime: time.Now().Add(-50*time.Hour - time.Duration(i)*time.Second),
		},
		Keyring: k, Signer: signer, Writer: c.Publisher(signer), Spool: filepath.Join(d.dir, "spool"),
	})
	if err != nil {
		return "", err
	}
	defer b.Close()
	if err := b.Add(ctx, files); err != nil {
		return "", err
	}
	return b.UUID(), b.Finish(ctx, publish.Outcome{Result: vitrine.Success, End: b.Record().StartTime.Add(time.Minute)})
}

// sitePages are what a server shows of its history.
type sitePages struct {
	uuids []string // in the order of the list
	html  []string // of the list's pages, and of some builds
}

func (d *badDay) pages() (p sitePages) {
	d.t.Helper()
	c := d.history()
	get := func(path string) {
		req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, d.server+path, nil)
		if err != nil {
			d.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			d.t.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
		p.html = append(p.html, string(b))
	}
	for query := (url.Values{"limit": {"50"}}); ; {
		page, err := c.Builds(d.t.Context(), query)
		if err != nil {
			d.t.Fatal(err)
		}
		get("/t/demo/builds?" + query.Encode())
		for _, b := range page.Builds {
			if b.State != vitrine.Finished {
				d.t.Errorf("build %s is %s", b.UUID, b.State)
			}
			p.uuids = append(p.uuids, b.UUID)
		}
		if page.Older == "" {
			break
		}
		query.Set("before", page.Older)
	}
	for _, uuid := range p.uuids[:min(len(p.uuids), 5)] {
		get("/t/demo/build/" + uuid)
	}
	return p
}
