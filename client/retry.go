package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"vitrine"
)

// The pauses between tries double from the first to the longest.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 20 * time.Second
)

// ErrRefused says that the server will not let this publisher do this.
var ErrRefused = errors.New("the server refused")

// A StatusError is an answer of the server that is no success. It matches
// [fs.ErrNotExist], [fs.ErrExist] or [ErrRefused] where the status says so.
type StatusError struct {
	Problem    vitrine.Problem
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	if e.Problem.Detail != "" {
		return e.Problem.Detail
	}
	return fmt.Sprintf("the server answered %d %s", e.Problem.Status, e.Problem.Title)
}

// Is maps the status to the error that it stands for.
func (e *StatusError) Is(target error) bool {
	switch e.Problem.Status {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusConflict:
		return target == fs.ErrExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == ErrRefused
	}
	return false
}

// Temporary reports whether the same request may succeed later.
func (e *StatusError) Temporary() bool {
	switch e.Problem.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// do sends a request until it is answered with a success or with an error that
// trying again can't mend. body, which may be nil, is read from its start each
// time, and not after the return. The caller closes the response.
func (c *Client) do(ctx context.Context, method, address string, header http.Header, body io.ReadSeeker, size int64) (*http.Response, error) {
	waited, pause := time.Duration(0), firstPause
	for {
		resp, err := c.once(ctx, method, address, header, body, size)
		if err == nil || ctx.Err() != nil || !mayPass(err) {
			return resp, err
		}
		wait := pause/2 + rand.N(pause/2)
		var status *StatusError
		if errors.As(err, &status) && status.RetryAfter > 0 {
			wait = min(status.RetryAfter, maxPause)
		}
		if waited += wait; waited > c.RetryFor {
			return nil, err
		}
		slog.Debug("trying again", "method", method, "error", err, "after", wait)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
		}
		pause = min(2*pause, maxPause)
	}
}

func (c *Client) once(ctx context.Context, method, address string, header http.Header, body io.ReadSeeker, size int64) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read the body again: %w", err)
		}
		lent := &loan{body: io.LimitReader(body, size)}
		defer lent.end()
		reader = lent
		if size == 0 {
			reader = http.NoBody
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if header != nil {
		req.Header = header.Clone()
	}
	req.ContentLength = size
	req.Header.Set("User-Agent", "vitrine")
	if method == http.MethodGet { // what is sent, and checked then, may take longer
		timer := time.AfterFunc(c.StallAfter, func() { cancel(errStalled) })
		defer timer.Stop()
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			err = cause
		}
		cancel(nil)
		// *url.Error prints the whole address, which may carry a signature.
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return nil, fmt.Errorf("%s: %w", c.base.Host, err)
	}
	resp.Body = &impatientBody{resp.Body, ctx, cancel, c.StallAfter}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, statusError(resp)
	}
	return resp, nil
}

var errStalled = errors.New("the server stopped answering")

// An impatientBody gives an answer up that pauses for too long.
type impatientBody struct {
	io.ReadCloser
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
	pause  time.Duration
}

func (b *impatientBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.pause, func() { b.cancel(errStalled) })
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	if err != nil && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (b *impatientBody) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

// A loan is a body lent to the transport, which goes on reading when the answer
// is there before it has sent all.
type loan struct {
	mu   sync.Mutex
	body io.Reader // nil once it is over
}

func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil {
		return 0, io.EOF // if that is too early the transport notices
	}
	return l.body.Read(p)
}

// end takes the body back, after a read that is going on.
func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body = nil
}

func statusError(resp *http.Response) error {
	e := &StatusError{}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(text, &e.Problem) != nil || e.Problem.Title == "" {
		e.Problem = vitrine.Problem{Title: http.StatusText(resp.StatusCode)}
	}
	for _, s := range []*string{&e.Problem.Title, &e.Problem.Detail} {
		if vitrine.ValidText(*s, len(text)) != nil {
			*s = strconv.Quote(*s) // it is shown, and must not speak to a terminal
		}
	}
	e.Problem.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(min(s, 3600)) * time.Second
	}
	return e
}

// mayPass reports whether the failure of a request may pass by itself.
func mayPass(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Temporary()
	}
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &certificate)
}
