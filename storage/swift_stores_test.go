//go:build stores

package storage_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/ncw/swift/v2"

	"vitrine/storage"
	"vitrine/storage/storagetest"
)

// A testContainer is what lies below one prefix of a real container, seen by
// another client.
type testContainer struct {
	*swift.Connection
	place, container, prefix string
}

// openSwift opens an empty bucket on the server that the environment names.
func openSwift(t *testing.T) (storage.Bucket, testContainer) {
	t.Helper()
	place := os.Getenv("VITRINE_TEST_SWIFT")
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "swift" {
		t.Fatalf("VITRINE_TEST_SWIFT is %q, want swift://CONTAINER, with ST_AUTH, ST_USER and ST_KEY or OS_AUTH_URL and its companions beside it", place)
	}
	c := testContainer{new(swift.Connection), "", u.Host, rand.Text() + "/"}
	if err := c.ApplyEnvironment(); err != nil {
		t.Fatal(err)
	}
	if err := c.ContainerCreate(t.Context(), u.Host, swift.Headers{"X-Container-Meta-Temp-Url-Key": "a secret key"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range c.names(t) {
			if err := c.ObjectDelete(context.Background(), c.container, c.prefix+name); err != nil && !errors.Is(err, swift.ObjectNotFound) {
				t.Error(err)
			}
		}
	})
	c.place = "swift://" + u.Host + "/" + c.prefix
	b, err := storage.OpenBucket(t.Context(), c.place)
	if err != nil {
		t.Fatal(err)
	}
	return b, c
}

// names lists everything below the prefix, segments and uploads included.
func (c testContainer) names(t *testing.T) []string {
	t.Helper()
	names, err := c.ObjectNamesAll(context.Background(), c.container, &swift.ObjectsOpts{Prefix: c.prefix})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = strings.TrimPrefix(name, c.prefix)
	}
	return names
}

func (c testContainer) headers(t *testing.T, name string) swift.Headers {
	t.Helper()
	_, h, err := c.Object(t.Context(), c.container, c.prefix+name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return h
}

func TestSwift(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		b, _ := openSwift(t)
		return b
	})
}
