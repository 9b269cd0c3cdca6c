package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"vitrine"
	"vitrine/remote"
	"vitrine/storage"
)

// Open opens the object at key as the server serves it, or the store that it
// sends us to. It is the Open of [storage.Reader]. A transfer that breaks off is
// gone on with from where it was.
func (c *Client) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, size, err := c.open(ctx, key, 0, -1, nil)
	if err != nil {
		return nil, err
	}
	return &resumingBody{ReadCloser: r, client: c, reopen: func(off int64) (io.ReadCloser, error) {
		// Whoever answers now may not be who did before. That the object is the
		// same one its reader sees by its hash; here its size must do.
		again, now, err := c.open(ctx, key, off, -1, nil)
		if err == nil && size >= 0 && now != size {
			again.Close()
			err = fmt.Errorf("open %s: it had %d bytes and has %d now", key, size, now)
		}
		return again, err
	}}, nil
}

// maxReopens bounds how often one transfer is gone on with before another progress
// bytes of it have come: a proxy may cut each answer, but a server that breaks off
// and gives nothing does not keep its reader.
//
// To see that it stalls takes StallAfter each time, so of that there may be less
// before progressStalled bytes have come.
const (
	maxReopens      = 20
	progress        = 16 << 10
	maxStalls       = 3
	progressStalled = 1 << 20
)

// A resumingBody is the body of an answer that is asked for again, from the byte
// that was not reached, when it breaks off.
type resumingBody struct {
	io.ReadCloser
	client        *Client
	reopen        func(off int64) (io.ReadCloser, error)
	off           int64
	from, stalled int64 // reopens and stalls count from these bytes on
	reopens       int
	stalls        int
}

func (b *resumingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.off += int64(n)
	if b.off-b.from >= progress {
		b.from, b.reopens = b.off, 0
	}
	if b.off-b.stalled >= progressStalled {
		b.stalled, b.stalls = b.off, 0
	}
	if err == nil || errors.Is(err, io.EOF) || b.reopens == maxReopens {
		return n, err
	}
	b.reopens++
	if errors.Is(err, errStalled) {
		if b.stalls++; b.stalls == maxStalls {
			return n, fmt.Errorf("%w, %d times before another MiB had come", err, maxStalls)
		}
		if b.client.OnStall != nil {
			b.client.OnStall()
		}
	}
	again, openErr := b.reopen(b.off)
	if errors.Is(openErr, storage.ErrIntegrity) || errors.Is(openErr, remote.ErrChanged) {
		return n, openErr // this is why it broke off
	} else if openErr != nil {
		return n, errors.Join(err, openErr)
	}
	b.ReadCloser.Close()
	b.ReadCloser = again
	return n, nil
}

// OpenRange opens n bytes of an object from off, as [storage.Reader] says; but
// for no bytes nothing is asked, not even whether the object is there.
func (c *Client) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if _, err := vitrine.ParseKey(key); err != nil {
		return nil, err
	}
	if n == 0 { // which HTTP can't ask for
		return http.NoBody, nil
	}
	r, _, err := c.open(ctx, key, off, n, nil)
	return r, err
}

// open also returns the size of the whole object, or -1 where that is not known.
// The object, if it is one that is read by ranges, may be nil.
func (c *Client) open(ctx context.Context, key string, off, n int64, object *Object) (io.ReadCloser, int64, error) {
	address, err := c.objectURL(key)
	if err != nil {
		return nil, 0, err
	}
	r := request{method: http.MethodGet, address: address, header: make(http.Header), object: object}
	ranged := off > 0 || n >= 0
	if ranged {
		last := ""
		if n >= 0 {
			last = strconv.FormatInt(off+n-1, 10)
		}
		r.header.Set("Range", fmt.Sprintf("bytes=%d-%s", off, last))
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", key, err)
	}
	body, size := io.ReadCloser(resp.Body), resp.ContentLength
	switch coding := resp.Header.Get("Content-Encoding"); {
	case coding != "" && coding != "identity":
		err = fmt.Errorf("the answer is coded, by %q, and must not be", coding)
	case !ranged && resp.StatusCode != http.StatusOK:
		err = fmt.Errorf("the answer is %s, want 200", resp.Status)
	case ranged:
		var length int64
		length, size, err = checkRange(resp, off, n)
		body = &exactBody{resp.Body, length}
	}
	if err != nil {
		resp.Body.Close()
		return nil, 0, fmt.Errorf("open %s: %w", key, err)
	}
	return body, size, nil
}

// checkRange checks that an answer is the range that was asked for, as far as the
// object has it, and returns how long it is, and the whole.
func checkRange(resp *http.Response, off, n int64) (length, size int64, err error) {
	if resp.StatusCode != http.StatusPartialContent {
		return 0, 0, fmt.Errorf("the answer to a range is %s, want 206", resp.Status)
	}
	first, last, size, ok := parseContentRange(resp.Header.Get("Content-Range"))
	want := size - 1
	if n >= 0 && n <= size-off {
		want = off + n - 1
	}
	length = last - first + 1
	if !ok || first != off || last != want || resp.ContentLength >= 0 && resp.ContentLength != length {
		return 0, 0, fmt.Errorf("the answer is %d bytes and claims to be the range %.80q: not what was asked for", resp.ContentLength, resp.Header.Get("Content-Range"))
	}
	return length, size, nil
}

// parseContentRange reads the range of an answer, "bytes FIRST-LAST/SIZE", with
// FIRST ≤ LAST < SIZE.
func parseContentRange(s string) (first, last, size int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, whole, ok2 := strings.Cut(s, "/")
	from, to, ok3 := strings.Cut(span, "-")
	first, err1 := parseDigits(from)
	last, err2 := parseDigits(to)
	size, err3 := parseDigits(whole)
	return first, last, size, ok && ok2 && ok3 && errors.Join(err1, err2, err3) == nil && first <= last && last < size
}

// parseDigits is ParseInt without a sign.
func parseDigits(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// An exactBody gives out as many bytes as were announced, and says so if there
// are less.
type exactBody struct {
	io.ReadCloser
	left int64
}

func (b *exactBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.left == 0 {
		err = io.EOF // whatever comes after it
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
