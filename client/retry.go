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
	"vitrine/remote"
	"vitrine/storage"
)

// The pauses between tries double from the first to the longest.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 20 * time.Second
)

// ErrRefused says that the server will not let this publisher do this.
var ErrRefused = errors.New("the server refused")

// A StatusError is an answer of the server that is no success. It matches
// [fs.ErrNotExist], [fs.ErrExist], [ErrRefused] or, of what was to be read,
// [storage.ErrIntegrity] where the status says so.
type StatusError struct {
	Problem    vitrine.Problem
	RetryAfter time.Duration
	reading    bool
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
	case http.StatusUnprocessableEntity: // what the server found in its store
		return target == storage.ErrIntegrity && e.reading
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

// A request is one that may be sent several times. Its body, which may be nil, is
// read from the start each time, and not after the return.
type request struct {
	method, address string
	header          http.Header
	body            io.ReadSeeker
	size            int64   // of the body
	object          *Object // a range of which it asks for; nil: of none
}

// do sends a request until it is answered with a success or with an error that
// trying again can't mend. The caller closes the response.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	var resp *http.Response
	err := c.retry(ctx, r.method, func() (err error) {
		resp, err = c.once(ctx, r)
		if r.method == http.MethodGet && errors.Is(err, errStalled) {
			// It took StallAfter to know, and somebody waits before the terminal.
			err = &permanentError{fmt.Errorf("%w: nothing came for %s", err, c.StallAfter)}
		}
		return err
	})
	return resp, err
}

// retry calls try until it succeeds or fails in a way that does not pass.
func (c *Client) retry(ctx context.Context, what string, try func() error) error {
	waited, pause := time.Duration(0), firstPause
	for {
		err := try()
		if err == nil || ctx.Err() != nil || !mayPass(err) {
			return err
		}
		wait := pause/2 + rand.N(pause/2)
		if after := retryAfter(err); after > 0 {
			wait = min(after, maxPause)
		}
		if waited += wait; waited > c.RetryFor {
			return err
		}
		slog.Debug("trying again", "what", what, "error", err, "after", wait)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		pause = min(2*pause, maxPause)
	}
}

// maxRedirects bounds how often one answer may send us on.
const maxRedirects = 3

// once sends a request to the server, or of an object to where the server sent us
// before, as long as that is good.
func (c *Client) once(ctx context.Context, r request) (*http.Response, error) {
	if at := r.object.store(); at != nil {
		resp, err := c.send(ctx, r, at, 1)
		if err == nil || ctx.Err() != nil || errors.Is(err, remote.ErrChanged) {
			return resp, err
		}
		r.object.goneOn(nil) // the server may know another, or one that is good for longer
	}
	at, err := url.Parse(r.address)
	if err != nil {
		return nil, withoutURL(err)
	}
	return c.send(ctx, r, at, 0)
}

// send sends a request to an address to which so many answers have sent us. A GET
// follows it to where it is sent on: a store, with nothing that the server alone
// may see.
func (c *Client) send(ctx context.Context, r request, at *url.URL, hop int) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	if r.method == http.MethodGet { // what is sent, and checked then, may take longer
		timer := time.AfterFunc(c.StallAfter, func() { cancel(errStalled) })
		defer timer.Stop()
	}
	for ; ; hop++ {
		resp, err := c.roundTrip(ctx, cancel, at, r.object.condition(r, at))
		if err != nil {
			cancel(nil)
			return nil, err
		}
		resp.Body = &impatientBody{resp.Body, ctx, cancel, c.StallAfter}
		if err := r.object.check(at, resp); err != nil {
			resp.Body.Close()
			return nil, err
		}
		if resp.StatusCode < 300 {
			if hop > 0 {
				r.object.goneOn(at)
			}
			return resp, nil
		}
		next := resp.Header.Get("Location")
		if !isRedirect(resp.StatusCode) || next == "" {
			defer resp.Body.Close()
			if hop > 0 {
				return nil, storeAnswer(at, resp)
			}
			return nil, statusError(resp)
		}
		// Its body is not read: without that the connection is not used again.
		at, err = follow(at, next)
		if err == nil && (r.method != http.MethodGet || hop == maxRedirects) {
			err = fmt.Errorf("%s: it sends this request elsewhere, to %s://%s: give the server's own address", c.base.Host, at.Scheme, at.Host)
		}
		if err != nil {
			resp.Body.Close()
			return nil, &permanentError{err}
		}
		resp.Body.(*impatientBody).ReadCloser.Close()
	}
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow is where an answer sends us. Its error does not repeat what may be secret.
func follow(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" || to.User != nil {
		return nil, fmt.Errorf("%s: it sends us to what is no http or https address", from.Host)
	}
	if from.Scheme == "https" && to.Scheme == "http" { // who is on the way would see the answer, and could change it
		return nil, fmt.Errorf("%s: it sends us from https to %s, which is not encrypted: the server has to give an https address of it", from.Host, "http://"+to.Host)
	}
	return to, nil
}

// roundTrip sends a request to an address, once; cancel ends ctx. Its errors name
// the host alone: a whole address may be signed, and so a secret.
func (c *Client) roundTrip(ctx context.Context, cancel context.CancelCauseFunc, at *url.URL, r request) (*http.Response, error) {
	var reader io.Reader
	if r.body != nil {
		if _, err := r.body.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read the body again: %w", err)
		}
		// A slow line may take a while for what is in its buffers.
		pause := 4 * c.StallAfter
		lent := &loan{body: io.LimitReader(r.body, r.size), pause: pause, stalled: time.AfterFunc(pause, func() { cancel(errStalled) })}
		defer lent.end()
		reader = lent
		if r.size == 0 {
			reader = http.NoBody
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, at.String(), reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at.Host, withoutURL(err))
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	req.ContentLength = r.size
	req.Header.Set("User-Agent", "vitrine")
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			err = cause
		}
		return nil, fmt.Errorf("%s: %w", at.Host, withoutURL(err))
	}
	return resp, nil
}

// withoutURL takes the address off an error: *url.Error prints it whole.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
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
	mu      sync.Mutex
	body    io.Reader     // nil once it is over
	pause   time.Duration // how long nobody may take anything of it
	stalled *time.Timer   // goes off then
}

func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil {
		return 0, io.EOF // if that is too early the transport notices
	}
	n, err := l.body.Read(p)
	if err != nil {
		l.stalled.Stop() // all is sent; the answer may take longer
	} else {
		l.stalled.Reset(l.pause)
	}
	return n, err
}

// end takes the body back, after a read that is going on.
func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body = nil
	l.stalled.Stop()
}

func statusError(resp *http.Response) error {
	e := &StatusError{reading: resp.Request.Method == http.MethodGet}
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
	e.RetryAfter = retryAfterOf(resp)
	return e
}

func retryAfterOf(resp *http.Response) time.Duration {
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		return time.Duration(min(s, 3600)) * time.Second
	}
	return 0
}

// A permanentError is one that trying again can't mend.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// mayPass reports whether the failure of a request may pass by itself.
func mayPass(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Temporary()
	}
	var store *storeError
	if errors.As(err, &store) {
		return store.temporary()
	}
	var permanent *permanentError
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &permanent) && !errors.As(err, &certificate)
}

// retryAfter is how long whoever answered wants us to wait.
func retryAfter(err error) time.Duration {
	var status *StatusError
	var store *storeError
	switch {
	case errors.As(err, &status):
		return status.RetryAfter
	case errors.As(err, &store):
		return store.retryAfter
	}
	return 0
}
