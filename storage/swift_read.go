package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Open is [Reader.Open].
func (s *Swift) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return s.OpenRange(ctx, key, 0, -1)
}

// OpenRange is [Reader.OpenRange].
func (s *Swift) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return nil, err
	}
	if off < 0 || n == 0 { // no range of HTTP's says this
		o, err := s.Stat(ctx, key)
		if err == nil {
			err = checkRange(key, off, o.Size)
		}
		if err != nil {
			return nil, err
		}
		return stream{ctx, strings.NewReader(""), io.NopCloser(nil)}, nil
	}
	last := int64(math.MaxInt64) // of the bytes that are asked for
	if n > 0 && n <= math.MaxInt64-off {
		last = off + n - 1
	}
	b := &swiftBody{ctx: ctx, s: s, key: key, at: off, last: last}
	err := b.open()
	var answer *swiftError
	if errors.As(err, &answer) && answer.status == http.StatusRequestedRangeNotSatisfiable {
		size, ok := strings.CutPrefix(answer.header.Get("Content-Range"), "bytes */")
		if end, wrong := strconv.ParseInt(size, 10, 64); !ok || wrong != nil || off != end {
			return nil, fmt.Errorf("object %s: offset %d is not in its %.20s bytes", key, off, size)
		}
		return stream{ctx, strings.NewReader(""), io.NopCloser(nil)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	return b, nil
}

// A swiftBody is an open object. Where the connection breaks off it goes on with
// another, as long as the object is the same.
type swiftBody struct {
	ctx   context.Context
	s     *Swift
	key   string
	at    int64 // offset of the next byte
	last  int64 // offset of the last byte that is asked for, then of the last there is
	etag  string
	body  io.ReadCloser // nil after Close
	left  int64         // bytes that body should still give
	tries int           // that gave no bytes, one after the other
	broke int64         // where it broke off last
	stuck int           // how often it broke off there again
	read  int64         // bytes in all
	err   error
}

// open asks for what is left, and holds the answer against it: a store, or what
// stands before it, may not know ranges, or send other bytes than it says.
func (b *swiftBody) open() error {
	call := swiftCall{method: http.MethodGet, target: b.s.path(b.key), header: map[string]string{}}
	ranged := b.at > 0 || b.last != math.MaxInt64
	if ranged {
		call.header["Range"] = fmt.Sprintf("bytes=%d-", b.at)
		if b.last != math.MaxInt64 {
			call.header["Range"] += strconv.FormatInt(b.last, 10)
		}
	}
	if b.etag != "" {
		call.header["If-Match"] = b.etag
	}
	resp, err := b.s.do(b.ctx, call)
	var answer *swiftError
	if errors.As(err, &answer) && answer.status == http.StatusConflict {
		// It can't give out a segment: one that is not as its manifest says, or one
		// that is out of reach.
		return cmp.Or(b.s.damage(b.ctx, b.key, b.at), fmt.Errorf("%w: %w", ErrUnavailable, err))
	}
	if err != nil {
		return err
	}
	last, err := b.check(resp, ranged)
	if err != nil {
		resp.Body.Close()
		return fmt.Errorf("the store's answer to a range: %w", err)
	}
	b.body, b.etag, b.last, b.left = resp.Body, resp.Header.Get("ETag"), last, last-b.at+1
	return nil
}

// check returns the offset of the last byte that comes.
func (b *swiftBody) check(resp *http.Response, ranged bool) (last int64, err error) {
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return 0, fmt.Errorf("encoded as %.20q", encoding)
	}
	if b.etag != "" && resp.Header.Get("ETag") != b.etag {
		return 0, fmt.Errorf("%w: another object is there now", ErrIntegrity)
	}
	if !ranged {
		if resp.StatusCode != http.StatusOK || resp.ContentLength < 0 {
			return 0, fmt.Errorf("status %d with %d bytes, want 200 and how many there are", resp.StatusCode, resp.ContentLength)
		}
		return resp.ContentLength - 1, nil
	}
	if resp.StatusCode == http.StatusOK && resp.ContentLength == 0 && b.at == 0 {
		return -1, nil // of an empty object, some know no range
	}
	got := resp.Header.Get("Content-Range")
	text, total, ok := strings.Cut(strings.TrimPrefix(got, "bytes "), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	last = min(b.last, size-1)
	if resp.StatusCode != http.StatusPartialContent || !ok || err != nil ||
		text != fmt.Sprintf("%d-%d", b.at, last) || resp.ContentLength != last-b.at+1 {
		return 0, fmt.Errorf("status %d with %d bytes, range %.60q, want 206 and the bytes from %d", resp.StatusCode, resp.ContentLength, got, b.at)
	}
	return last, nil
}

func (b *swiftBody) Read(p []byte) (int, error) {
	if err := cmp.Or(b.ctx.Err(), b.err); err != nil {
		return 0, err
	}
	for b.left > 0 {
		n, err := b.body.Read(p[:min(int64(len(p)), b.left)])
		b.at, b.left, b.read = b.at+int64(n), b.left-int64(n), b.read+int64(n)
		if n > 0 || err == nil {
			return n, nil // what broke off says so again
		}
		if b.err = b.again(err); b.err != nil {
			return 0, b.err
		}
	}
	return 0, io.EOF
}

// again goes on after a body that ended early: swiftTries times, and once more for
// each part's length that came. Without an ETag nothing tells that it would be the
// same object.
func (b *swiftBody) again(broken error) error {
	b.body.Close()
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if broken == io.EOF {
		broken = io.ErrUnexpectedEOF
	}
	if b.tries > 0 && b.at == b.broke {
		b.stuck++
	} else {
		b.broke, b.stuck = b.at, 0
	}
	b.tries++
	if b.etag == "" || b.tries > swiftTries+int(b.read>>23) || errors.Is(broken, errStalled) {
		return fmt.Errorf("object %s, after byte %d: %w", b.key, b.at, broken)
	}
	if b.stuck == 1 {
		if err := b.s.damage(b.ctx, b.key, b.at); err != nil {
			b.body = http.NoBody
			return fmt.Errorf("object %s: %w", b.key, err)
		}
	}
	if err := b.open(); errors.As(err, new(*damagedError)) {
		b.body = http.NoBody
		return fmt.Errorf("object %s: %w", b.key, err)
	} else if err != nil {
		b.body = http.NoBody
		return fmt.Errorf("object %s, after byte %d: %w: %w", b.key, b.at, broken, err)
	}
	return nil
}

// A damagedError says that a stored object is no longer what was stored, and what
// of it. It is an [ErrIntegrity].
type damagedError struct{ segment, wrong string }

func (e *damagedError) Error() string { return "segment " + e.segment + " is " + e.wrong }

// Is maps it to the error of this package.
func (e *damagedError) Is(target error) bool { return target == ErrIntegrity }

// damage tells whether the segment of a large object that has the byte at an
// offset is lost, or another than the manifest says. The store does not: it breaks
// off there, or answers 409, as for one that is out of reach for now. It is nil
// also for what can't be told, and for objects that are not large.
func (s *Swift) damage(ctx context.Context, key string, at int64) error {
	resp, err := s.do(ctx, swiftCall{method: http.MethodGet, target: s.path(key), query: url.Values{"multipart-manifest": {"get"}}})
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var segments []struct {
		Name, Hash string
		Bytes      int64
	}
	if !strings.EqualFold(resp.Header.Get("X-Static-Large-Object"), "true") || readJSON(resp.Body, &segments) != nil {
		return nil
	}
	for _, segment := range segments {
		if segment.Bytes < 0 || at >= segment.Bytes {
			at -= max(segment.Bytes, 0)
			continue
		}
		name, ok := strings.CutPrefix(segment.Name, s.path(""))
		if !ok || !strings.HasPrefix(name, segmentsPrefix+key+"/") {
			return nil
		}
		h, err := s.head(ctx, name, true)
		switch short := path.Base(name); {
		case errors.Is(err, fs.ErrNotExist):
			return &damagedError{short, "lost in the store"}
		case err != nil:
		case h.Size != segment.Bytes:
			return &damagedError{short, fmt.Sprintf("damaged in the store: %d bytes, want %d", h.Size, segment.Bytes)}
		case segment.Hash != "" && h.etag != segment.Hash:
			return &damagedError{short, fmt.Sprintf("damaged in the store: MD5 is %.32q, want %.32q", h.etag, segment.Hash)}
		}
		return nil
	}
	return nil
}

func (b *swiftBody) Close() error {
	b.err = cmp.Or(b.err, errors.New("read of a closed object"))
	return b.body.Close()
}
