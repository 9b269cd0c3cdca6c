package storage

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"vitrine"
)

// OpenBucket opens the bucket that rawURL names: file:///dir, or a plain path.
// A directory that is not there is an error, since it may be mistyped: a history
// begins with a directory that somebody makes. The error of a URL that can't be
// opened does not repeat it, for there may be a password in it.
func OpenBucket(ctx context.Context, rawURL string) (Bucket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	scheme, _, isURL := strings.Cut(rawURL, "://")
	if rawURL == "" {
		return nil, fmt.Errorf("storage: no place given; want %s", supported)
	}
	if !isURL {
		return openExisting(rawURL)
	}
	if scheme != "file" {
		return nil, fmt.Errorf("storage %q: unknown scheme; want %s", scheme+"://", supported)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Host != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path == "" {
		return nil, fmt.Errorf("storage file://: want file:///dir, an absolute path and nothing after it")
	}
	return openExisting(filepath.FromSlash(u.Path))
}

func openExisting(dir string) (Bucket, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("storage: %w; make the directory, if a history is to begin there", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("storage: %s is not a directory", dir)
	}
	return OpenLocal(dir)
}

const supported = "file:///dir or a path"

// checkKey refuses keys that are not vitrine's, before any backend sees them.
func checkKey(key string) error {
	_, err := vitrine.ParseKey(key)
	return err
}
