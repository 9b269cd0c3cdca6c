package storage

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"vitrine"
)

// keyAge is how long a TempURL key is used before it is looked up again.
const keyAge = time.Minute

// A tempURLKey is the key by which requests are signed.
type tempURLKey struct {
	mu   sync.Mutex
	key  string
	read time.Time
}

// SignPart is [Signer.SignPart]. Swift can't sign a length: Complete looks at it.
func (s *Swift) SignPart(ctx context.Context, key string, part vitrine.Part, until time.Time) (Request, error) {
	if _, err := partOptions(key, part); err != nil {
		return Request{}, err
	}
	u, err := s.sign(ctx, http.MethodPut, uploadName(key, part.Number), "", until)
	if err != nil {
		return Request{}, fmt.Errorf("sign a request for part %d of object %s: %w", part.Number, key, err)
	}
	header := partHeader(part)
	header["Content-Type"] = "application/octet-stream"
	return Request{Method: http.MethodPut, URL: u, Header: header}, nil
}

// SignOpen is [Signer.SignOpen].
func (s *Swift) SignOpen(ctx context.Context, key, filename string, until time.Time) (string, error) {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return "", err
	}
	if s.public != "" {
		return s.public + "/" + (&url.URL{Path: key}).EscapedPath(), nil
	}
	u, err := s.sign(ctx, http.MethodGet, key, filename, until)
	if err != nil {
		return "", fmt.Errorf("sign a URL of object %s: %w", key, err)
	}
	return u, nil
}

// sign makes a TempURL.
func (s *Swift) sign(ctx context.Context, method, name, filename string, until time.Time) (string, error) {
	if !until.After(time.Now()) {
		return "", errors.New("it would have ended already")
	}
	secret, err := s.tempURLKey(ctx)
	if err != nil {
		return "", err
	}
	if secret == "" {
		return "", fmt.Errorf("the container has no TempURL key; set one: %s", s.tempURLFix())
	}
	storage, _, err := s.session.enter(ctx, "")
	if err != nil {
		return "", err
	}
	u := *storage
	u.Path += s.path(name)
	u.RawPath = ""
	expires := strconv.FormatInt(until.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s\n%s\n%s", method, expires, u.Path)
	query := url.Values{"temp_url_sig": {hex.EncodeToString(mac.Sum(nil))}, "temp_url_expires": {expires}}
	if filename != "" {
		query.Set("filename", filename)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// tempURLFix is the command that sets a key.
func (s *Swift) tempURLFix() string {
	return "swift post " + s.container + ` -m "Temp-URL-Key:$(openssl rand -hex 32)"`
}

// tempURLKey finds the key: of the environment, the container or the account. It
// is empty where there is none.
func (s *Swift) tempURLKey(ctx context.Context) (string, error) {
	for _, name := range []string{"SWIFT_TEMP_URL_KEY", "OS_TEMP_URL_KEY"} {
		if key := os.Getenv(name); key != "" {
			return key, nil
		}
	}
	s.tempKey.mu.Lock()
	defer s.tempKey.mu.Unlock()
	if s.tempKey.key != "" && time.Since(s.tempKey.read) < keyAge {
		return s.tempKey.key, nil
	}
	for _, place := range []struct{ target, header string }{
		{s.containerPath(), "X-Container-Meta-Temp-Url-Key"}, {"", "X-Account-Meta-Temp-Url-Key"},
	} {
		resp, err := s.do(ctx, swiftCall{method: http.MethodHead, target: place.target})
		var answer *swiftError
		if errors.As(err, &answer) && place.target == "" && (answer.status == http.StatusForbidden || errors.Is(err, fs.ErrNotExist)) {
			continue // who may use the container need not see the account
		} else if err != nil {
			return "", err
		}
		resp.Body.Close()
		if key := cmp.Or(resp.Header.Get(place.header), resp.Header.Get(place.header+"-2")); key != "" {
			s.tempKey.key, s.tempKey.read = key, time.Now()
			return key, nil
		}
	}
	return "", nil
}
