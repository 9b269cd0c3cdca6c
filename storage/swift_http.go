package storage

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	swiftTries    = 6                // of one request, while the store is not available
	maxRetryAfter = 30 * time.Second // what a store may ask us to wait
	maxErrorBody  = 64 << 10         // bytes that are read of an error's text, to use the connection again
	expectAbove   = 1 << 20          // bytes of a body that waits for the store's word
)

// A swiftCall is one request, that may be sent several times.
type swiftCall struct {
	method string
	target string // path in the account, unescaped: "", "/container" or "/container/object"
	query  url.Values
	header map[string]string
	body   []byte
	// stream is the body where it is not in memory, of size bytes; it is called for
	// each try, and fails where the body can't be read again.
	stream func() (io.Reader, error)
	size   int64
	wait   time.Duration // for the answer, after the body; 0 is as long as for a byte
}

// A swiftError is an answer that is not a success. It repeats nothing that the
// store or we have sent.
type swiftError struct {
	status int
	header http.Header
}

func (e *swiftError) Error() string {
	text := "the store answers " + strconv.Itoa(e.status)
	if t := http.StatusText(e.status); t != "" {
		text += " " + t
	}
	switch e.status {
	case http.StatusUnauthorized:
		text += ": it does not take the credentials; were they changed?"
	case http.StatusForbidden:
		text += ": the credentials do not allow this; were they changed, or do they lack a role?"
	case http.StatusRequestEntityTooLarge:
		text += ": over its limit, or a quota is used up"
	case http.StatusUnprocessableEntity:
		text += ": what arrived has another MD5"
	}
	return text
}

// Is maps answers to the errors of this package.
func (e *swiftError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.status == http.StatusNotFound
	case ErrIntegrity:
		return e.status == http.StatusUnprocessableEntity
	case ErrUnavailable:
		return e.status >= 500 || e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests || e.status == 498
	}
	return false
}

// do sends a request until the store has an answer, which is a success, or there
// is no use in trying. The caller closes the body.
func (s *Swift) do(ctx context.Context, call swiftCall) (*http.Response, error) {
	refused := ""
	var last error
	for try := 1; ; try++ {
		resp, token, err := s.once(ctx, call, refused)
		if err == nil {
			return resp, nil
		}
		if errors.Is(err, errNotAgain) {
			return nil, last
		}
		last = err
		var answer *swiftError
		if errors.As(err, &answer) && answer.status == http.StatusUnauthorized && token != "" && refused == "" {
			refused = token // it may have ended: once more, with a new one
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, ErrUnavailable) || try == swiftTries {
			return nil, err
		}
		pause := s.backoff<<(try-1) + rand.N(s.backoff)
		if answer != nil {
			pause = max(pause, retryAfter(answer.header))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return min(time.Until(t), maxRetryAfter)
	}
	return 0
}

// once sends a request once, with a token other than the refused one. It returns
// the token.
func (s *Swift) once(ctx context.Context, call swiftCall, refused string) (*http.Response, string, error) {
	storage, token, err := s.session.enter(ctx, refused)
	if err != nil {
		return nil, "", err
	}
	ctx, watch := newWatch(ctx, s.idle)
	resp, err := s.send(ctx, call, storage, token, watch)
	if err != nil {
		err = watch.explain(err)
		watch.end()
		return nil, token, err
	}
	watch.pause()
	body := &watchedBody{body: resp.Body, watch: watch}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		io.CopyN(io.Discard, body, maxErrorBody)
		body.Close()
		return nil, token, &swiftError{resp.StatusCode, resp.Header}
	}
	resp.Body = body
	return resp, token, nil
}

func (s *Swift) send(ctx context.Context, call swiftCall, storage *url.URL, token string, watch *watch) (*http.Response, error) {
	var body io.Reader = bytes.NewReader(call.body)
	size := int64(len(call.body))
	if call.stream != nil {
		var err error
		if body, err = call.stream(); err != nil {
			return nil, &sourceError{err}
		}
		size = call.size
	}
	if size == 0 {
		body = http.NoBody
	} else {
		source := &watchedSource{body: body, watch: watch, wait: max(call.wait, s.idle)}
		defer source.end()
		body = source
	}
	if call.wait > 0 && size == 0 {
		watch.restart(call.wait)
	}
	u := *storage
	u.Path += call.target
	u.RawPath = ""
	u.RawQuery = call.query.Encode()
	req, err := http.NewRequestWithContext(ctx, call.method, u.String(), body)
	if err != nil {
		return nil, errors.New("the store's address is not one")
	}
	req.ContentLength = size
	for name, value := range call.header {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "vitrine")
	req.Header.Set("X-Auth-Token", token)
	if size > expectAbove {
		// A refusal then comes as an answer, not as a broken connection.
		req.Header.Set("Expect", "100-continue")
	}
	return s.client.Do(req)
}

// A watch ends a request when nothing moves.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
}

var errStalled = fmt.Errorf("%w: it stalls", ErrUnavailable)

func newWatch(ctx context.Context, idle time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{ctx, cancel, time.AfterFunc(idle, func() { cancel(errStalled) }), idle}
}

func (w *watch) restart(wait time.Duration) { w.timer.Reset(wait) }
func (w *watch) pause()                     { w.timer.Stop() }
func (w *watch) end()                       { w.timer.Stop(); w.cancel(nil) }

// explain says what a failure of the connection means, without the URL, in which
// there may be a signature.
func (w *watch) explain(err error) error {
	if cause := context.Cause(w.ctx); cause != nil {
		return cause
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(*sourceError)) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// errNotAgain says that a body can't be sent a second time.
var errNotAgain = errors.New("the body can't be read again")

// A sourceError is that of a body which is sent: not the store's.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// A watchedSource is a body that is sent. An answer may come before its end, and
// the connection read on: so it is only lent, and then the next try's.
type watchedSource struct {
	watch *watch
	wait  time.Duration // for the answer

	mu   sync.Mutex
	body io.Reader // nil when it was taken back
}

var errTakenBack = errors.New("the body was taken back")

func (r *watchedSource) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, errTakenBack
	}
	r.watch.pause() // the body's own slowness is not the store's
	n, err := r.body.Read(p)
	r.watch.restart(r.wait)
	if err != nil && err != io.EOF {
		err = &sourceError{err}
	}
	return n, err
}

// end takes the body back. It waits for a read that is under way.
func (r *watchedSource) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body = nil
}

// A watchedBody is a body that comes.
type watchedBody struct {
	body  io.ReadCloser
	watch *watch
}

func (r *watchedBody) Read(p []byte) (int, error) {
	r.watch.restart(r.watch.idle)
	n, err := r.body.Read(p)
	r.watch.pause()
	if err != nil && err != io.EOF {
		err = r.watch.explain(err)
	}
	return n, err
}

func (r *watchedBody) Close() error {
	r.watch.end()
	return r.body.Close()
}
