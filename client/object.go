package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"vitrine/remote"
)

// An Object is one object of the history, read by ranges. It implements
// remote.Source: all ranges are of the version that the first one was of, and an
// error that wraps [remote.ErrChanged] says that it is there no longer. It is safe
// for concurrent use.
//
// If the server sends us to a store, further ranges are asked of the store at
// once, until it refuses.
type Object struct {
	client *Client
	key    string
	size   int64

	mu       sync.Mutex
	sentTo   *url.URL          // a secret: it may be signed
	tags     map[string]string // strong ETags, by place: each store has its own
	requests int
}

// Object returns the object at a key, which has size bytes, as its record says.
// Nothing is asked yet.
func (c *Client) Object(key string, size int64) *Object {
	return &Object{client: c, key: key, size: size, tags: make(map[string]string)}
}

// OpenRange opens n bytes from off on, as [storage.Reader] says. A transfer that
// breaks off is gone on with from where it was.
func (o *Object) OpenRange(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || off > o.size {
		return nil, fmt.Errorf("open %s: a range from byte %d on: it has %d", o.key, off, o.size)
	}
	if n < 0 || n > o.size-off {
		n = o.size - off
	}
	if n == 0 { // which HTTP can't ask for
		return http.NoBody, nil
	}
	r, err := o.open(ctx, off, n)
	if err != nil {
		return nil, err
	}
	return &resumingBody{ReadCloser: r, client: o.client, reopen: func(read int64) (io.ReadCloser, error) {
		return o.open(ctx, off+read, n-read)
	}}, nil
}

func (o *Object) open(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r, size, err := o.client.open(ctx, o.key, off, n, o)
	if err == nil && size != o.size {
		r.Close()
		err = fmt.Errorf("open %s: %w: it has %d bytes, and by its record %d", o.key, remote.ErrChanged, size, o.size)
	}
	return r, err
}

// URL is the object's address at the server, which may send on who asks for it.
func (o *Object) URL() string {
	address, err := o.client.objectURL(o.key)
	if err != nil {
		return "" // OpenRange says why
	}
	return address
}

// Requests is how many were made, to the server and to the store, whatever came
// of them.
func (o *Object) Requests() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests
}

// The methods below do nothing for a nil Object: most requests are not of one.

// store is where the server sent us to for an earlier range, or nil.
func (o *Object) store() *url.URL {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sentTo
}

// goneOn says where an answer of the store came from; nil: it is good no longer.
func (o *Object) goneOn(at *url.URL) {
	if o != nil {
		o.mu.Lock()
		o.sentTo = at
		o.mu.Unlock()
	}
}

// condition returns a request for the version of the object that is known at an
// address, and counts it.
func (o *Object) condition(r request, at *url.URL) request {
	if o == nil {
		return r
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests++
	if tag := o.tags[place(at)]; tag != "" {
		r.header = r.header.Clone()
		r.header.Set("If-Match", tag)
	}
	return r
}

// check says whether an answer from an address is of the version that is known.
func (o *Object) check(at *url.URL, resp *http.Response) error {
	if o == nil {
		return nil
	}
	changed := &permanentError{fmt.Errorf("%w: %s has another version than before", remote.ErrChanged, at.Host)}
	switch {
	case resp.StatusCode == http.StatusPreconditionFailed:
		return changed
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return &permanentError{fmt.Errorf("%w: what %s has is shorter than %d bytes", remote.ErrChanged, at.Host, o.size)}
	case resp.StatusCode >= 300:
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	tag := strongTag(resp.Header.Get("ETag"))
	known, again := o.tags[place(at)]
	if !again {
		if len(o.tags) == maxPlaces {
			clear(o.tags)
		}
		o.tags[place(at)] = tag
	} else if tag != known {
		return changed
	}
	return nil
}

// maxPlaces bounds what is remembered of a server that sends on to ever other places.
const maxPlaces = 16

// place is an address without what is signed anew each time.
func place(at *url.URL) string { return at.Scheme + "://" + at.Host + at.EscapedPath() }

// strongTag is an ETag as If-Match takes it, or empty for one that does not stand
// for the very bytes. Swift leaves its quotes out.
func strongTag(tag string) string {
	inner := strings.TrimSuffix(strings.TrimPrefix(tag, `"`), `"`)
	if inner == "" || len(inner) > 256 || strings.ContainsFunc(inner, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) || strings.HasPrefix(tag, "W/") {
		return ""
	}
	return `"` + inner + `"`
}

var _ remote.Source = (*Object)(nil)
