// Package client speaks vitrine's HTTP API: the command reads a history and
// publishes to a server through it.
//
// It moves bytes and never opens a log. It trusts nothing that a server says
// about a build's content: who reads must check the record's signature and the
// artifacts' hashes.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"vitrine"
	"vitrine/storage"
)

// maxReply bounds a JSON reply: a page of builds, or one with its artifacts.
const maxReply = 4 * vitrine.MaxRecordSize

// A Client talks to one tenant of one server.
type Client struct {
	// RetryFor is how long, in sum, to wait between tries of a request while its
	// failure is one that may pass. New sets five seconds.
	RetryFor time.Duration
	// StallAfter is how long an answer may pause before it counts as broken off;
	// what is read is given up if it does not begin by then. New sets half a minute.
	StallAfter time.Duration
	// OnStall, if it is not nil, is called when what is read has stalled and is asked
	// for again. It must be safe for concurrent use.
	OnStall func()

	base   *url.URL // of the server, without a trailing slash
	tenant string
	// No http.Client: that keeps cookies, follows redirects with all headers, and
	// names whole addresses in its errors.
	transport *http.Transport
}

// New returns a client for a server's URL and a tenant.
func New(server, tenant string) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("server %q: want a URL such as https://vitrine.example.org", server)
	}
	if !vitrine.ValidName(tenant) {
		return nil, fmt.Errorf("tenant %q: want lower-case letters, digits and . _ -", tenant)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// A commit may have the server read back all it stored, and making an object of
	// its parts may take a store the ten minutes that the server gives it.
	transport.ResponseHeaderTimeout = 11 * time.Minute
	transport.MaxIdleConnsPerHost = 16
	// Transparent decompression would hide what was sent.
	transport.DisableCompression = true
	return &Client{RetryFor: 5 * time.Second, StallAfter: 30 * time.Second, base: u, tenant: tenant, transport: transport}, nil
}

// BuildURL is the address of a build's page.
func (c *Client) BuildURL(uuid string) string {
	return c.base.String() + "/t/" + c.tenant + "/build/" + uuid
}

// ErrAmbiguous says that more than one build's uuid starts with a prefix.
var ErrAmbiguous = errors.New("more than one build starts with it")

// ErrNoBuild says that what was written can't mean a build, whatever there is.
var ErrNoBuild = errors.New("want a uuid (32 hex digits), the start of one, or the address of a build's page")

// Resolve turns what a person writes for a build (a uuid, a unique prefix of
// one, or the address of a build's page) into its uuid.
func (c *Client) Resolve(ctx context.Context, build string) (string, error) {
	id := build
	if u, err := url.Parse(build); err == nil && u.Host != "" {
		id = path.Base(u.Path)
	}
	if vitrine.ValidUUID(id) {
		return id, nil
	}
	if strings.Trim(id, "0123456789abcdef") != "" || id == "" || len(id) > 32 {
		return "", fmt.Errorf("build %q: %w", build, ErrNoBuild)
	}
	page, err := c.Builds(ctx, url.Values{"uuid": {id + "*"}, "limit": {"2"}})
	if err != nil {
		return "", err
	}
	switch len(page.Builds) {
	case 0:
		return "", fmt.Errorf("build %s: %w", build, fs.ErrNotExist)
	case 1:
		return page.Builds[0].UUID, nil
	}
	return "", fmt.Errorf("build %s: %w: %s and %s are two", build, ErrAmbiguous, page.Builds[0].UUID, page.Builds[1].UUID)
}

// url joins the tenant's API address and the parts of a path.
func (c *Client) url(parts ...string) string {
	var b strings.Builder
	b.WriteString(c.base.String() + "/api/v1/tenant/" + c.tenant)
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// objectURL is where the API shows the object at a bucket's key.
func (c *Client) objectURL(key string) (string, error) {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return "", err
	}
	if k.Kind == vitrine.ArtifactKind {
		return c.artifactURL(k, "artifacts"), nil
	}
	return c.url("builds", k.UUID, key[strings.LastIndexByte(key, '/')+1:]), nil
}

// artifactURL is where the API takes something about an artifact of a build:
// below, such as "artifacts", and its path.
func (c *Client) artifactURL(k vitrine.Key, below ...string) string {
	parts := append([]string{"builds", k.UUID}, below...)
	return c.url(append(parts, strings.Split(k.Path, "/")...)...)
}

func (c *Client) getJSON(ctx context.Context, address string, into any) error {
	resp, err := c.do(ctx, request{method: http.MethodGet, address: address, header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return err
	}
	return decodeReply(resp, into)
}

// decodeReply reads a bounded JSON reply, all of which may be printed, and closes it.
func decodeReply(resp *http.Response, into any) error {
	body, err := readReply(resp, into)
	if err != nil {
		return err
	}
	return checkTexts(body)
}

// readReply reads a bounded JSON reply and closes it.
func readReply(resp *http.Response, into any) ([]byte, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	if len(body) > maxReply {
		return nil, fmt.Errorf("the server's answer has more than %d bytes", maxReply)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, fmt.Errorf("the server's answer is not what vitrine's API gives (is this a vitrine server?): %w", err)
	}
	return body, nil
}

// checkTexts looks at every string of a JSON reply, wherever it stands: they are
// printed, and a server must not speak to a terminal.
func checkTexts(reply []byte) error {
	for dec := json.NewDecoder(bytes.NewReader(reply)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if s, ok := token.(string); err == nil && ok {
			err = vitrine.ValidText(s, vitrine.MaxText)
		}
		if err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
	}
}

var _ interface {
	Open(context.Context, string) (io.ReadCloser, error)
	OpenRange(context.Context, string, int64, int64) (io.ReadCloser, error)
} = (*Client)(nil)

var _ storage.Writer = (*Publisher)(nil)

// Tenant is the name of the history that the client reads.
func (c *Client) Tenant() string { return c.tenant }
