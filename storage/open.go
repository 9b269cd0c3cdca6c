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

// OpenBucket opens the bucket that rawURL names:
//
//	a path, or file:///dir
//	s3://bucket/prefix?endpoint=URL&region=NAME&path_style=true
//	swift://container/prefix?cloud=NAME
//
// Credentials come from the environment, as each store's own tools read it. With
// public_url=URL, where everybody may read the bucket at that URL, downloads
// are sent there. A place that is not there is an error, since it may be
// mistyped: a history begins with one that somebody makes. The error of a URL
// that can't be opened does not repeat it, for there may be a password in it.
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
	u, err := url.Parse(rawURL)
	if err != nil || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("storage: not a URL without a user and a fragment; credentials come from the environment; want %s", supported)
	}
	switch scheme {
	case "s3":
		return openS3(ctx, u)
	case "swift":
		return openSwift(ctx, u)
	case "file":
		if u.Host != "" || u.RawQuery != "" || u.Path == "" {
			return nil, fmt.Errorf("storage file://: want file:///dir, an absolute path and nothing after it")
		}
		return openExisting(filepath.FromSlash(u.Path))
	}
	return nil, fmt.Errorf("storage %q: unknown scheme; want %s", scheme+"://", supported)
}

func openExisting(dir string) (Bucket, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("storage: %w; make the directory, if a history is to begin there", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("storage: %s is not a directory", dir)
	}
	return OpenLocal(dir)
}

const supported = "a path, file:///dir, s3://bucket/prefix or swift://container/prefix"

// checkKey refuses keys that are not vitrine's, before any backend sees them.
func checkKey(key string) error {
	_, err := vitrine.ParseKey(key)
	return err
}
