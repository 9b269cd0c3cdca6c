package zuul

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine"
)

const (
	pageBuilds   = 500      // builds that are asked for at once
	minPage      = 2        // one of a page is the last of the page before
	maxPage      = 32 << 20 // bytes of an answer
	maxRedirects = 5

	tries         = 6
	firstPause    = time.Second // between tries; it doubles
	maxPause      = 5 * time.Minute
	answerTimeout = 2 * time.Minute // of one request, its answer read to the end
)

var (
	errTooLarge = fmt.Errorf("an answer of more than %d bytes", maxPage)
	// ErrPaging says that a source gives the same builds again and again.
	ErrPaging = errors.New("the source does not page: it gives builds again that it gave before")
)

// A Client reads the history of one tenant of a Zuul, one request at a time.
type Client struct {
	api       *url.URL // of the tenant
	transport *http.Transport
	page      int // builds
	pause     time.Duration
}

// NewClient returns a client for the address of a Zuul: its web root, its API, or
// any address in a tenant. tenant may be empty where the address has it.
func NewClient(address, tenant string) (*Client, error) {
	if !vitrine.ValidLink(address) {
		return nil, fmt.Errorf("%q: want the address of a Zuul, such as https://zuul.example.org, without a user", address)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	for i := range parts {
		inAPI := parts[i] == "api" && len(parts) > i+2 && parts[i+1] == "tenant"
		if !inAPI && (parts[i] != "t" || len(parts) == i+1) {
			continue
		}
		named := parts[i+1]
		if inAPI {
			named = parts[i+2]
		}
		if tenant != "" && tenant != named {
			return nil, fmt.Errorf("%q is the address of tenant %q, not of %q", address, named, tenant)
		}
		tenant, parts = named, parts[:i]
		break
	}
	if n := len(parts); n > 0 && parts[n-1] == "api" {
		parts = parts[:n-1]
	}
	if err := vitrine.ValidText(tenant, vitrine.MaxString); err != nil || tenant == "" || tenant == "." || tenant == ".." || strings.Contains(tenant, "/") {
		return nil, fmt.Errorf("tenant %q: not the name of one", tenant)
	}
	u.Path, u.RawPath = "/", ""
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTimeout
	return &Client{api: u.JoinPath(append(slices.Clone(parts), "api", "tenant", url.PathEscape(tenant))...), transport: transport,
		page: pageBuilds, pause: firstPause}, nil
}

// URL is the address of the tenant's API.
func (c *Client) URL() string { return c.api.String() }

// A Page is a part of the list of builds.
type Page struct {
	Builds []Build
	Broken []error // what stands in the list and is no build
}

// Builds yields the builds that have ended, newest first, in pages: of some jobs,
// in whose names * stands for anything, or of all. None comes twice in a row, but
// one may come again that moved while the list was read. The first error ends it.
func (c *Client) Builds(ctx context.Context, jobs []string) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		p := pager{client: c, jobs: jobs, limit: c.page}
		for {
			page, more, err := p.next(ctx)
			if err != nil {
				err = fmt.Errorf("read builds from %s: %w", c.api, err)
			}
			if !yield(page, err) || err != nil || !more {
				return
			}
		}
	}
}

// A pager is a walk through a list. By the ids of builds, where they have any: the
// list grows meanwhile, and a database counts through all that is skipped.
type pager struct {
	client *Client
	jobs   []string
	limit  int

	pages  int
	byID   bool
	oldest int64 // id of the last page's oldest build: the next page begins there
	idle   bool  // that page brought nothing new
	skip   int
	last   map[string]bool // uuids of the last page, or hashes of what is no build
	mark   string          // the first new one of some page before: it must not come again
}

// next reads a page; more is false at the list's end.
func (p *pager) next(ctx context.Context) (page Page, more bool, err error) {
	var items []json.RawMessage
	for {
		items, err = p.client.list(ctx, p.query(), p.limit)
		if !errors.Is(err, errTooLarge) || p.limit == minPage {
			break
		}
		p.limit = max(p.limit/2, minPage)
	}
	if err != nil || len(items) == 0 {
		return page, false, err
	}
	seen := make(map[string]bool, len(items))
	first, oldest := "", int64(0)
	for n, item := range items {
		b, err := parseBuild(item)
		id, key := b.ID, b.UUID
		if err != nil {
			id, key = idOf(item), fmt.Sprintf("%x", sha256.Sum256(item))
		}
		if p.byID && id > p.oldest {
			return page, false, fmt.Errorf("%w (asked for _id up to %d, got %d)", ErrPaging, p.oldest, id)
		}
		if id > 0 && (oldest == 0 || id < oldest) {
			oldest = id
		}
		isNew := !p.last[key] && !seen[key]
		seen[key] = true
		switch {
		case !isNew:
			continue
		case first == "":
			first = key
		}
		if err != nil {
			page.Broken = append(page.Broken, fmt.Errorf("build %d of page %d: %w", n+1, p.pages+1, err))
			continue
		}
		page.Builds = append(page.Builds, b)
	}
	p.last = seen
	p.skip += len(items)
	if p.pages == 0 {
		p.byID = oldest > 0
	}
	switch {
	case p.byID && oldest == 0:
		return page, false, errors.New("builds without _id follow on some that have it")
	case first == "" && (!p.byID || p.idle), !p.byID && first == p.mark:
		return page, false, ErrPaging
	case first == "": // all of this id have come, as far as can be known
		oldest--
	}
	p.oldest, p.idle = oldest, first == ""
	p.pages++
	// However long a circle is, at some power of two its mark is in it.
	if bits.OnesCount(uint(p.pages)) == 1 {
		p.mark = first
	}
	return page, !p.byID || p.oldest > 0, nil // ids are from 1 on
}

func (p *pager) query() url.Values {
	q := url.Values{"complete": {"true"}, "limit": {strconv.Itoa(p.limit)}, "job_name": p.jobs}
	switch {
	case p.byID:
		q.Set("idx_max", strconv.FormatInt(p.oldest, 10))
	case p.skip > 0:
		q.Set("skip", strconv.Itoa(p.skip))
	}
	return q
}

// list asks for one page, as often as it takes.
func (c *Client) list(ctx context.Context, q url.Values, limit int) ([]json.RawMessage, error) {
	for n, pause := 1, c.pause; ; n, pause = n+1, pause*2 {
		body, wait, err := c.get(ctx, q)
		if err == nil {
			return parseList(body, limit)
		}
		var passes *passingError
		if !errors.As(err, &passes) || n == tries || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-time.After(min(max(wait, pause), maxPause)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// A passingError is one that may not come again.
type passingError struct{ error }

func (e *passingError) Unwrap() error { return e.error }

// get sends one request. wait is how long the source asks to be left alone.
func (c *Client) get(ctx context.Context, q url.Values) (body []byte, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	at := c.api.JoinPath("builds")
	at.RawQuery = q.Encode()
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return nil, 0, err
		}
		req.Header.Set("User-Agent", "vitrine/import")
		req.Header.Set("Accept", "application/json")
		resp, err := c.transport.RoundTrip(req)
		if err != nil {
			return nil, 0, &passingError{err}
		}
		next := resp.Header.Get("Location")
		if resp.StatusCode/100 != 3 || next == "" {
			defer resp.Body.Close()
			return c.answer(resp)
		}
		resp.Body.Close()
		to, err := at.Parse(next)
		if err != nil || to.Host != at.Host || to.Scheme != at.Scheme && to.Scheme != "https" || to.User != nil {
			return nil, 0, fmt.Errorf("it sends us elsewhere, to %.200q: give the address itself", next)
		}
		at = to
	}
	return nil, 0, fmt.Errorf("more than %d redirects", maxRedirects)
}

// answer reads the answer that is no redirect.
func (c *Client) answer(resp *http.Response) (body []byte, wait time.Duration, err error) {
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
		if err != nil {
			return nil, 0, &passingError{fmt.Errorf("the answer breaks off: %w", err)}
		}
		if len(body) > maxPage {
			return nil, 0, errTooLarge
		}
		return body, 0, nil
	case status == http.StatusNotFound:
		return nil, 0, fmt.Errorf("it answers 404: is there such a tenant, and is this the address of a Zuul?")
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return nil, retryAfter(resp, time.Now()), &passingError{fmt.Errorf("it answers %d %s", status, http.StatusText(status))}
	default:
		return nil, 0, fmt.Errorf("it answers %d %s", status, http.StatusText(status))
	}
}

// retryAfter is how long an answer asks to wait, in seconds or until a date; 0 if
// it does not.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	v := resp.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return t.Sub(now)
	}
	return 0
}

// parseList splits a JSON array of not many more elements than were asked for.
func parseList(body []byte, limit int) ([]json.RawMessage, error) {
	const what = "the answer is not a list of builds (is this the address of a Zuul?)"
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return nil, errors.New(what)
	}
	var items []json.RawMessage
	for dec.More() {
		var item json.RawMessage
		if err := dec.Decode(&item); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if items = append(items, item); len(items) > 2*limit {
			return nil, fmt.Errorf("asked for %d builds, got more than %d", limit, 2*limit)
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New(what)
	}
	return items, nil
}

// idOf is the id of what is no build in other ways; 0, if it has none.
func idOf(item json.RawMessage) int64 {
	var b struct {
		ID int64 `json:"_id"`
	}
	if json.Unmarshal(item, &b) != nil {
		return 0
	}
	return b.ID
}

// parseBuild reads one build. Before 2024 the ref was not an object: its fields
// were the build's, and "ref" the name alone.
func parseBuild(item json.RawMessage) (Build, error) {
	// What older versions do not say.
	b := Build{Voting: true, Final: true}
	w := struct {
		*Build
		Ref json.RawMessage `json:"ref"`
	}{Build: &b}
	if err := json.Unmarshal(item, &w); err != nil {
		return Build{}, err
	}
	ref := w.Ref
	if len(ref) == 0 || ref[0] != '{' {
		ref = item
	}
	if err := json.Unmarshal(ref, &b.Ref); err != nil {
		return Build{}, err
	}
	if b.UUID == "" {
		return Build{}, errors.New("it has no uuid")
	}
	return b, nil
}
