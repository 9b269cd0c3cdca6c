//go:build stores

package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server"
	"vitrine/storage"
)

// onStores runs a test over an empty place in each store that test/stores/run starts.
func onStores(t *testing.T, run func(t *testing.T, b storage.Bucket)) {
	for _, variable := range []string{"VITRINE_TEST_S3", "VITRINE_TEST_S3_OLD", "VITRINE_TEST_SWIFT"} {
		t.Run(strings.TrimPrefix(variable, "VITRINE_TEST_"), func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(os.Getenv(variable))
			if err != nil || u.Host == "" {
				t.Fatalf("%s is not set to a storage URL: run this by test/stores/run", variable)
			}
			u.Path = "/" + strings.ToLower(rand.Text())
			b, err := storage.OpenBucket(t.Context(), u.String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				for o, err := range b.List(context.Background(), "") {
					if err == nil {
						err = b.Delete(context.Background(), o.Key)
					}
					if err != nil {
						t.Error(err)
					}
				}
				for o, err := range b.Uploads(context.Background(), "") {
					if err == nil {
						err = b.Abort(context.Background(), o.Key)
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
			run(t, b)
		})
	}
}

// Publishing and reading by signed requests, against real stores.
func TestDirectOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, b storage.Bucket) {
		s := newSiteOn(t, b, direct)
		r := s.publishFiles(bigAndSmall)
		for path, body := range bigAndSmall {
			s.fetch(r.UUID, path, body)
		}
		// The store's answer is no page, and lets other origins see ranges.
		req, err := http.NewRequest("GET", s.url+api+"/"+r.UUID+"/artifacts/big.log.zst.age", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", "bytes=22-30")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if h := resp.Header; resp.StatusCode != 206 || h.Get("Content-Type") != "application/octet-stream" ||
			!strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || !strings.Contains(h.Get("Content-Disposition"), "big.log.zst.age") {
			t.Errorf("%d, %v", resp.StatusCode, h)
		}
		s.noSignatureTold()
		if err := b.Delete(t.Context(), vitrine.ArtifactKey(r.UUID, "big.log.zst.age")); err != nil {
			t.Fatal(err)
		}
		s.want(410, "has it no longer", "GET", api+"/"+r.UUID+"/artifacts/big.log.zst.age", nil, nil)
	})
}

// The same through the server.
func TestStreamedOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, b storage.Bucket) {
		s := newSiteOn(t, b, func(c *server.Config) { c.MaxArtifactSize = 64 << 20 })
		r := s.publishFiles(bigAndSmall)
		for path, body := range bigAndSmall {
			s.fetch(r.UUID, path, body)
		}
	})
}

// T-2.5, T-2.6 and T-2.8, against real stores.
func TestOldRequestsOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, b storage.Bucket) {
		s := newSiteOn(t, b, direct)
		testOldRequests(t, s)
		s.noSignatureTold()
	})
}

func TestGrowingOnStores(t *testing.T) {
	for name, change := range map[string]func(*server.Config){"direct": direct, "streamed": func(c *server.Config) { c.MaxArtifactSize = 64 << 20 }} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, b storage.Bucket) { testGrowing(t, newSiteOn(t, b, change), name) })
		})
	}
}

func TestPartsGoneOnStores(t *testing.T) { onStores(t, testPartsGone) }

// A signed request is good for the very bytes of its part, and its URL for nothing
// else.
func TestSignedRequestsOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, b storage.Bucket) {
		s := newSiteOn(t, b, direct)
		r := s.started(nil)
		token := s.begin(r)
		body := sealedBytes(5000)
		request := partsOf(body)
		q := s.grant(token, r.UUID, "x.age", request).Requests[0]
		other := sealedBytes(5000)
		wrong := q
		wrong.Method = "DELETE"
		if status := put(t, wrong, nil); status < 400 {
			t.Errorf("a signed PUT deletes: %d", status)
		}
		wrong.Method = "GET"
		if status := put(t, wrong, nil); status < 400 {
			t.Errorf("a signed PUT reads: %d", status)
		}
		if put(t, q, other) < 300 { // what the request can't forbid the completion does
			s.want(422, "", "PUT", api+"/"+r.UUID+"/artifacts/x.age", completing(token), request)
		}
		if status := put(t, q, body); status >= 300 {
			t.Fatalf("the part itself: %d", status)
		}
		s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/x.age", completing(token), request)
		// Plaintext that came past the server goes again.
		secret := []byte("the password is hunter2, and there is more of it")
		plain := partsOf(secret)
		if status := put(t, s.grant(token, r.UUID, "y.age", plain).Requests[0], secret); status >= 300 {
			t.Fatalf("plaintext: %d", status)
		}
		s.want(422, "not an age file", "PUT", api+"/"+r.UUID+"/artifacts/y.age", completing(token), plain)
		if _, err := b.Stat(t.Context(), vitrine.ArtifactKey(r.UUID, "y.age")); err == nil {
			t.Error("plaintext stays in the store")
		}
		// A server that starts anew goes on, in the same store.
		s.start(direct)
		s.refresh()
		f := finished(r, artifact("x.age", string(body), true))
		s.want(201, "", "PUT", api+"/"+r.UUID, s.begin(r), signed(t, f, s.bridge))
		s.fetch(r.UUID, "x.age", body)
	})
}

// The runner's clock, or the server's credentials, are wrong: the client says who
// answered what, and no more.
func TestStoreRefusesOnStores(t *testing.T) {
	onStores(t, func(t *testing.T, b storage.Bucket) {
		s := newSiteOn(t, b, func(c *server.Config) { direct(c); c.Bucket = brokenSigner{b, b.(storage.Signer)} })
		c := s.client()
		c.RetryFor = time.Second
		p := c.Publisher(s.bridge)
		r := s.started(nil)
		putRecord(t, p, vitrine.StartedKey(r.StartTime, r.UUID), signed(t, r, s.bridge))
		body := sealedBytes(500)
		err := p.Create(t.Context(), vitrine.ArtifactKey(r.UUID, "x.age"), bytes.NewReader(body), optionsOf(body))
		if err == nil || !strings.Contains(err.Error(), "where the server sent us, answered 40") || strings.Contains(strings.ToLower(err.Error()), "sig=") {
			t.Errorf("error %v", err)
		}
	})
}

// A brokenSigner signs with what the store does not know.
type brokenSigner struct {
	storage.Bucket
	storage.Signer
}

func (b brokenSigner) SignPart(ctx context.Context, key string, part vitrine.Part, until time.Time) (storage.Request, error) {
	r, err := b.Signer.SignPart(ctx, key, part, until)
	if err != nil {
		return r, err
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return r, err
	}
	query := u.Query()
	for _, name := range []string{"X-Amz-Signature", "temp_url_sig"} {
		if query.Has(name) {
			query.Set(name, strings.Repeat("0", len(query.Get(name))))
		}
	}
	u.RawQuery = query.Encode()
	r.URL = u.String()
	return r, nil
}

func (s *site) noSignatureTold() {
	s.t.Helper()
	for _, secret := range []string{"X-Amz-Signature", "temp_url_sig", "Bearer"} {
		if strings.Contains(s.log.String(), secret) {
			s.t.Errorf("the server's log tells %s: %s", secret, s.log)
		}
	}
}
