package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"vitrine"
)

// A Swift is a bucket in a container of OpenStack's object storage. Below the
// prefix there lie
//
//	KEY                           an object, or the manifest of a large one
//	segments/KEY/UNIQUE/00001     what a manifest names
//	uploads/KEY/00001             a part of what is not complete
//
// Swift looks whether a name is taken when a PUT begins, and not again when it
// ends. So two processes that create the same key within the same moment may both
// be told that they did; docs/storage-swift.md says what holds then.
type Swift struct {
	container string
	prefix    string // empty, or ends in a slash
	public    string // URL under which everybody may read what lies below the prefix, without a slash at its end
	session   *swiftSession
	client    *http.Client
	creating  keyLocks
	tempKey   tempURLKey

	// How long to wait: before the second try, for a byte either way, and for an
	// answer that takes the store work.
	backoff, idle, work time.Duration

	orphaned time.Duration // [orphanAge]
}

const (
	segmentsPrefix = "segments/"
	uploadsPrefix  = "uploads/"
)

// openSwift opens swift://container/prefix?cloud=NAME&public_url=URL.
func openSwift(ctx context.Context, u *url.URL) (Bucket, error) {
	s, cloud, err := parseSwiftURL(u)
	if err != nil {
		return nil, err
	}
	login, err := findSwiftLogin(cloud)
	if err != nil {
		return nil, fmt.Errorf("storage swift://%s: %w", s.container, err)
	}
	if s.session, s.client, err = login.session(); err != nil {
		return nil, fmt.Errorf("storage swift://%s: %w", s.container, err)
	}
	resp, err := s.do(ctx, swiftCall{method: http.MethodHead, target: s.containerPath()})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("storage swift://%s: no such container: %w; make it, if a history is to begin there: swift post %s", s.container, err, s.container)
	case err != nil:
		return nil, fmt.Errorf("storage swift://%s: %w", s.container, err)
	}
	return s, resp.Body.Close()
}

// parseSwiftURL reads all of the URL but where the credentials are.
func parseSwiftURL(u *url.URL) (s *Swift, cloud string, err error) {
	s = &Swift{container: u.Host, backoff: 200 * time.Millisecond, idle: time.Minute, work: 10 * time.Minute, orphaned: orphanAge}
	if s.container == "" || len(s.container) > 256 || !fs.ValidPath(s.container) || !printable(s.container) || u.Opaque != "" {
		return nil, "", errors.New("storage swift: want swift://container/prefix?cloud=NAME, with a container of at most 256 printable characters")
	}
	if p := strings.Trim(u.Path, "/"); p != "" {
		if len(p) > 256 || !fs.ValidPath(p) || !printable(p) {
			return nil, "", fmt.Errorf("storage swift://%s: prefix %q: want names and slashes, at most 256 characters", s.container, p)
		}
		s.prefix = p + "/"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, "", fmt.Errorf("storage swift://%s: what follows the question mark is not NAME=VALUE&…", s.container)
	}
	for name, values := range query {
		switch {
		case len(values) != 1 || values[0] == "":
			return nil, "", fmt.Errorf("storage swift://%s: parameter %q: want it once, with a value", s.container, name)
		case name == "cloud":
			cloud = values[0]
		case name == "public_url":
			public, err := url.Parse(values[0])
			if err != nil || public.Scheme != "https" && public.Scheme != "http" || public.Host == "" || public.User != nil || public.RawQuery != "" || public.Fragment != "" {
				return nil, "", fmt.Errorf("storage swift://%s: public_url: want http(s)://host/path and nothing after it", s.container)
			}
			s.public = strings.TrimRight(public.String(), "/")
		default:
			return nil, "", fmt.Errorf("storage swift://%s: unknown parameter %q; want cloud or public_url", s.container, name)
		}
	}
	return s, cloud, nil
}

// printable tells whether s is ASCII without spaces and control characters, as
// all keys are.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (s *Swift) containerPath() string { return "/" + s.container }

// path is that of a name below the prefix, as the account sees it.
func (s *Swift) path(name string) string { return "/" + s.container + "/" + s.prefix + name }

// A swiftHead is what the store tells of one of its objects.
type swiftHead struct {
	Object
	etag     string // without quotes: the MD5 of a plain object
	sha256   string // lower-case hex, if whoever stored it said so
	segments string // the folder below segments/KEY/ that a manifest of ours names
	large    bool   // a manifest
	header   http.Header
}

// The metadata that we keep with objects.
const (
	metaSHA256   = "X-Object-Meta-Sha256"
	metaSegments = "X-Object-Meta-Segments"
)

// head asks for a name below the prefix. Newest asks all replicas.
func (s *Swift) head(ctx context.Context, name string, newest bool) (swiftHead, error) {
	call := swiftCall{method: http.MethodHead, target: s.path(name)}
	if newest {
		call.header = map[string]string{"X-Newest": "true"}
	}
	resp, err := s.do(ctx, call)
	if err != nil {
		return swiftHead{}, err
	}
	resp.Body.Close()
	if resp.ContentLength < 0 {
		return swiftHead{}, errors.New("the store does not tell the object's size")
	}
	h := resp.Header
	modTime, err := parseTimestamp(h)
	return swiftHead{
		Object:   Object{Key: name, Size: resp.ContentLength, ModTime: modTime},
		etag:     strings.Trim(h.Get("ETag"), `"`),
		sha256:   h.Get(metaSHA256),
		segments: h.Get(metaSegments),
		large:    strings.EqualFold(h.Get("X-Static-Large-Object"), "true"),
		header:   h,
	}, err
}

// Stat is [Reader.Stat].
func (s *Swift) Stat(ctx context.Context, key string) (Object, error) {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return Object{}, err
	}
	h, err := s.head(ctx, key, false)
	if err != nil {
		return Object{}, fmt.Errorf("object %s: %w", key, err)
	}
	return h.Object, nil
}

// List is [Reader.List].
func (s *Swift) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		// Segments and uploads sort behind all keys: no page of them is read.
		query := url.Values{"end_marker": {s.prefix + strings.TrimSuffix(vitrine.RecordsPrefix, "/") + "0"}}
		for item, err := range s.listing(ctx, prefix, query) {
			if err != nil {
				yield(Object{}, fmt.Errorf("list objects: %w", err))
				return
			}
			if checkKey(item.Key) == nil && !yield(item, nil) {
				return
			}
		}
	}
}

// Delete is [Bucket.Delete].
func (s *Swift) Delete(ctx context.Context, key string) error {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	h, err := s.head(ctx, key, true)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && h.large:
		err = s.deleteLarge(ctx, key)
	case err == nil:
		err = s.remove(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("delete object %s: %w", key, err)
	}
	return nil
}

// keyLocks keep apart what this process does to one key.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when free
}

// lock waits for a key, and returns what frees it.
func (l *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		l.mu.Lock()
		busy, ok := l.held[key]
		if !ok {
			free := make(chan struct{})
			if l.held == nil {
				l.held = make(map[string]chan struct{})
			}
			l.held[key] = free
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, key)
				close(free)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
