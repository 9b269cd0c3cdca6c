//go:build stores

package server_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/ncw/swift/v2"

	"vitrine"
	"vitrine/server"
	"vitrine/storage"
)

// A store that has lost a part of an artifact is not retried into anything: a
// reader is told, and so is the log.
func TestLostSegmentOnSwift(t *testing.T) {
	u, err := url.Parse(os.Getenv("VITRINE_TEST_SWIFT"))
	if err != nil || u.Host == "" {
		t.Fatal("VITRINE_TEST_SWIFT is not set to a storage URL: run this by test/stores/run")
	}
	container := u.Host
	var account swift.Connection
	if err := account.ApplyEnvironment(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*server.Config){"direct": direct, "streamed": func(c *server.Config) { c.MaxArtifactSize = 64 << 20 }} {
		for _, segment := range []string{"/00001", "/00002"} {
			t.Run(name+segment, func(t *testing.T) {
				prefix := strings.ToLower(rand.Text())
				b, err := storage.OpenBucket(t.Context(), "swift://"+container+"/"+prefix)
				if err != nil {
					t.Fatal(err)
				}
				s := newSiteOn(t, b, change)
				const path = "big.log.zst.age"
				r := s.publishFiles(map[string][]byte{path: bigAndSmall[path]})
				key := vitrine.ArtifactKey(r.UUID, path)
				t.Cleanup(func() {
					for o, err := range b.List(context.Background(), "") {
						if err == nil {
							err = b.Delete(context.Background(), o.Key)
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
				names, err := account.ObjectNamesAll(t.Context(), container, &swift.ObjectsOpts{Prefix: prefix + "/segments/" + key + "/"})
				if err != nil || len(names) != 3 {
					t.Fatalf("segments: %q, %v", names, err)
				}
				for _, name := range names {
					if strings.HasSuffix(name, segment) {
						if err := account.ObjectDelete(t.Context(), container, name); err != nil {
							t.Fatal(err)
						}
					}
				}
				body, err := s.client().Open(t.Context(), key)
				if err == nil {
					_, err = io.Copy(io.Discard, body)
					body.Close()
				}
				want := "segment " + segment[1:] + " is lost in the store"
				if name == "direct" {
					want = "409 Conflict: a part of it is lost or damaged there"
				} else if log := s.log.String(); !strings.Contains(log, want) || !strings.Contains(log, key) {
					t.Errorf("the log does not say %q: %s", want, log)
				}
				if !errors.Is(err, storage.ErrIntegrity) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "EOF") {
					t.Errorf("error %v, want %q", err, want)
				}
				s.noSignatureTold()
			})
		}
	}
}
