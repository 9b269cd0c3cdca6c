package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"time"

	"vitrine"
	"vitrine/storage"
)

const (
	maxSignedHeaders = 32       // of one signed request
	maxStoreAnswer   = 64 << 10 // bytes that are read of an answer to an upload
)

// toStore sends a part to the store, by a request that the server has signed:
// without our token, and nowhere else.
func (c *Client) toStore(ctx context.Context, signed vitrine.PartRequest, part vitrine.Part, body io.ReadSeeker) error {
	at, err := url.Parse(signed.URL)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil ||
		signed.Method != http.MethodPut || len(signed.Header) > maxSignedHeaders {
		return &permanentError{errors.New("the server's answer is not a request that uploads a part")}
	}
	header := make(http.Header)
	for name, value := range signed.Header {
		switch name := textproto.CanonicalMIMEHeaderKey(name); name {
		case "Host", "Content-Length": // follow from the address and the part
		default:
			header.Set(name, value)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.roundTrip(ctx, cancel, at, request{method: signed.Method, header: header, body: body, size: part.Size})
	if err != nil {
		return err
	}
	resp.Body = &impatientBody{resp.Body, ctx, cancel, c.StallAfter}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return storeAnswer(at, resp)
	}
	// To its end, so that the connection can be used again.
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxStoreAnswer))
	return nil
}

// A storeError is an answer, no success, of whoever the server sent us to. It has
// nothing of the address but the host, and of the answer's body nothing but S3's
// code: both may hold a signature.
type storeError struct {
	host, status, code string
	number             int
	upload             bool
	retryAfter         time.Duration
}

var storeCode = regexp.MustCompile(`<Code>([A-Za-z0-9]{1,64})</Code>`)

func storeAnswer(at *url.URL, resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxStoreAnswer))
	e := &storeError{host: at.Host, number: resp.StatusCode, status: http.StatusText(resp.StatusCode),
		upload: resp.Request.Method == http.MethodPut, retryAfter: retryAfterOf(resp)}
	if code := storeCode.FindSubmatch(text); code != nil {
		e.code = " " + string(code[1])
	}
	return e
}

func (e *storeError) Error() string {
	said := fmt.Sprintf("%s, where the server sent us, answered %d %s%s", e.host, e.number, e.status, e.code)
	switch {
	case e.number == http.StatusUnauthorized || e.number == http.StatusForbidden:
		said += ": the server's credentials for it, or the clock of one of the two, may be wrong"
	case e.damaged():
		said += ": a part of it is lost or damaged there, or out of reach"
	}
	return said
}

// Is maps the status to the error that it stands for. That the store refuses a
// signed request is the server's fault, so never [ErrRefused].
func (e *storeError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return !e.upload && (e.number == http.StatusNotFound || e.number == http.StatusGone)
	case storage.ErrIntegrity:
		return e.damaged()
	}
	return false
}

// damaged reports whether the store can't give out what it has: so Swift says that
// it does not find a segment of a large object as its manifest has it.
func (e *storeError) damaged() bool { return !e.upload && e.number == http.StatusConflict }

// temporary reports whether the same may succeed later. Of uploads everything
// may, with another signed request: also what a bad line has damaged.
func (e *storeError) temporary() bool {
	switch e.number {
	case http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable:
		return e.upload
	}
	return true
}
