package storage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vitrine"
)

// A Finding is what an inspection of a bucket says of one thing.
type Finding struct {
	What   string `json:"what"` // "CORS", "expiry", "signed requests"
	Good   bool   `json:"good"`
	Detail string `json:"detail"`        // what was found, in words
	Fix    string `json:"fix,omitempty"` // how to set what is missing; empty where nothing is
	// Needed says that no history can be kept without it. What is not is needed
	// for some uses alone, such as --direct.
	Needed bool `json:"needed"`
}

// An Inspector is a bucket that can tell how its store is set up, beyond what its
// objects show.
type Inspector interface {
	// Inspect looks at the settings that readers and a server need: CORS for
	// ranges, expiry, and whether requests can be signed. It changes nothing.
	Inspect(ctx context.Context) []Finding
}

const (
	// maxStoreSkew is how far a store's clock may be from ours: signed requests
	// end by its clock, and a grace of days is counted by it.
	maxStoreSkew = time.Minute
	// checkTime is how long a check may take to clean up after itself.
	checkTime = 30 * time.Second
)

// Check proves a bucket by using it: it calls found with each finding, and reports
// whether all that is needed is good. What it stores, under a uuid of its own, is
// removed again, whatever happens.
func Check(ctx context.Context, b Bucket, found func(Finding)) bool {
	c := &checker{b: b, found: found, good: true}
	id := make([]byte, 16)
	rand.Read(id)
	c.uuid = hex.EncodeToString(id)
	defer c.cleanUp(context.WithoutCancel(ctx))
	if !c.objects(ctx) {
		return false // the rest would only repeat it
	}
	c.parts(ctx)
	c.requests(ctx)
	if i, ok := b.(Inspector); ok {
		for _, f := range i.Inspect(ctx) {
			found(f)
		}
	}
	return c.good
}

type checker struct {
	b     Bucket
	uuid  string
	found func(Finding)
	good  bool
}

// report reports one thing that is needed.
func (c *checker) report(what, detail, fix string, err error) bool {
	f := Finding{What: what, Good: err == nil, Detail: detail, Needed: true}
	if err != nil {
		f.Detail, f.Fix, c.good = err.Error(), fix, false
	}
	c.found(f)
	return err == nil
}

func (c *checker) key(name string) string { return vitrine.ArtifactKey(c.uuid, name) }

func optionsFor(body []byte) CreateOptions {
	return CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256(body)}
}

// objects uses single objects.
func (c *checker) objects(ctx context.Context) bool {
	body, key := []byte("0123456789"), c.key("check/object.age")
	create := func(body, claimed []byte) error {
		return c.b.Create(ctx, key, bytes.NewReader(body), optionsFor(claimed))
	}
	if !c.report("create", "an object can be stored", "let the credentials write objects, and see that there is room", create(body, body)) {
		return false
	}
	c.report("read", "it is read back as it was stored", "let the credentials read objects", c.reads(ctx, key, 0, -1, body))
	c.report("range", "a range of it is those very bytes", "a proxy before the store may drop the Range header", c.reads(ctx, key, 3, 4, body[3:7]))
	err := create(body, body)
	if err == nil {
		if err = create([]byte("9876543210"), []byte("9876543210")); errors.Is(err, fs.ErrExist) {
			err = nil
		} else if err == nil {
			err = errors.New("other bytes replaced an object that was there")
		}
	}
	c.report("no overwriting", "other bytes under its name are refused, the same again are fine",
		"the store must honour If-None-Match: *; take a version of it that does", err)
	err = c.b.Create(ctx, c.key("check/wrong.age"), bytes.NewReader([]byte("other bytes")), optionsFor([]byte("wrong bytes")))
	if errors.Is(err, ErrIntegrity) {
		err = nil
	} else if err == nil {
		err = errors.New("bytes with another SHA-256 than the declared one were stored")
	}
	c.report("integrity", "bytes that differ from their SHA-256 are refused", "", err)
	c.report("list", "it is in a listing", "let the credentials list the bucket", c.lists(ctx, key))
	o, err := c.b.Stat(ctx, key)
	if err == nil {
		if skew := time.Since(o.ModTime); skew.Abs() > maxStoreSkew {
			err = fmt.Errorf("the store's clock is %s from this machine's", skew.Abs().Round(time.Second))
		}
	}
	c.report("clock", "the store's clock agrees with this machine's", "set both by NTP", err)
	err = c.b.Delete(ctx, key)
	if err == nil {
		if _, err = c.b.Stat(ctx, key); errors.Is(err, fs.ErrNotExist) {
			err = nil
		} else if err == nil {
			err = errors.New("it is still there")
		}
	}
	c.report("delete", "it can be removed", "let the credentials delete objects: expiry needs it, publishing does not", err)
	return true
}

func (c *checker) reads(ctx context.Context, key string, off, n int64, want []byte) error {
	r, err := c.b.OpenRange(ctx, key, off, n)
	if err != nil {
		return err
	}
	defer r.Close()
	return same(r, want)
}

// same is an error if what r has is not want.
func same(r io.Reader, want []byte) error {
	got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("other bytes came than were stored: %d, want %d", len(got), len(want))
	}
	return err
}

func (c *checker) lists(ctx context.Context, key string) error {
	for o, err := range c.b.List(ctx, vitrine.ArtifactsPrefix+c.uuid+"/") {
		if err != nil {
			return err
		}
		if o.Key == key {
			return nil
		}
	}
	return errors.New("an object that was stored is not in the listing")
}

// parts makes an object of one small part.
func (c *checker) parts(ctx context.Context) {
	body, key := []byte("a part"), c.key("check/parts.age")
	part := vitrine.NewPart(1, body)
	err := c.b.PutPart(ctx, key, part, bytes.NewReader(body))
	if err == nil {
		err = cmp.Or(c.b.Complete(ctx, key, []vitrine.Part{part}, optionsFor(body)), c.reads(ctx, key, 0, -1, body))
	}
	c.report("parts", "an object can be made of parts", "let the credentials make, list and abort multipart uploads", err)
}

// requests lets a client without credentials store a part, and read it.
func (c *checker) requests(ctx context.Context) {
	signer, ok := c.b.(Signer)
	if !ok {
		c.found(Finding{What: "signing", Detail: "this kind of store can't sign requests: --direct is not for it"})
		return
	}
	err := c.signed(ctx, signer)
	f := Finding{What: "signing", Good: err == nil, Detail: "whoever has a signed request can store a part, and read an object"}
	if err != nil {
		f.Detail, f.Fix = err.Error(), "without them the server moves the bytes itself: leave --direct out"
	}
	c.found(f)
}

func (c *checker) signed(ctx context.Context, signer Signer) error {
	body, key := []byte("a part of somebody's"), c.key("check/signed.age")
	part, until := vitrine.NewPart(1, body), time.Now().Add(10*time.Minute)
	request, err := signer.SignPart(ctx, key, part, until)
	if err != nil {
		return err
	}
	if err := send(ctx, request, bytes.NewReader([]byte("A PART OF SOMEBODY'S")), nil); err == nil {
		return errors.New("a signed request stored other bytes than it was signed for")
	}
	if err := send(ctx, request, bytes.NewReader(body), nil); err != nil {
		return err
	}
	if err := c.b.Complete(ctx, key, []vitrine.Part{part}, optionsFor(body)); err != nil {
		return err
	}
	address, err := signer.SignOpen(ctx, key, "signed.age", until)
	if err != nil {
		return err
	}
	return send(ctx, Request{Method: http.MethodGet, URL: address}, nil, body)
}

// send sends a signed request, and compares what comes back. Its errors don't
// repeat the URL, which is a secret.
func send(ctx context.Context, request Request, body *bytes.Reader, want []byte) error {
	var reader io.Reader
	if body != nil {
		reader = body
	}
	req, err := http.NewRequestWithContext(ctx, request.Method, request.URL, reader)
	if err != nil {
		return errors.New("the store signed what is no request")
	}
	for name, value := range request.Header {
		req.Header.Set(name, value)
	}
	resp, err := (&http.Client{Timeout: checkTime}).Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("a signed request: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("a signed %s request was answered with %s", strings.ToLower(request.Method), resp.Status)
	}
	if want == nil {
		return nil
	}
	return same(resp.Body, want)
}

// cleanUp removes all that the check stored.
func (c *checker) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var errs []error
	for _, name := range []string{"object", "wrong", "parts", "signed"} {
		key := c.key("check/" + name + ".age")
		errs = append(errs, c.b.Abort(ctx, key), c.b.Delete(ctx, key))
	}
	if err := errors.Join(errs...); err != nil {
		c.found(Finding{What: "clean-up", Detail: fmt.Sprintf("something may be left below %s%s/: %v", vitrine.ArtifactsPrefix, c.uuid, err)})
	}
}
