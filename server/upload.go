package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/storage"
)

const (
	ageMagic = "age-encryption.org/v1\n" // age-encryption.org/v1, "Header"

	octetStream = "application/octet-stream"
)

// An upload is the artifact that a request may bring bytes of.
type upload struct {
	build     vitrine.Build
	path, key string
}

// uploadOf checks that a request may write to an artifact.
func (s *Server) uploadOf(c echo.Context, path string) (upload, error) {
	u := upload{path: path}
	uuid := param(c, "uuid")
	if err := s.authorize(c.Request(), uuid); err != nil {
		return u, err
	}
	u.key = vitrine.ArtifactKey(uuid, u.path)
	if _, err := vitrine.ParseKey(u.key); err != nil {
		return u, refuse(http.StatusUnprocessableEntity, "%v", err)
	}
	var err error
	u.build, _, err = s.Index.Build(c.Request().Context(), uuid)
	return u, err
}

// isPublished reports whether the record of a published build names that very
// artifact, and the store has it: what a store lost may be sent again. To such a
// build nothing else can be added.
func (s *Server) isPublished(ctx context.Context, u upload, want stored) (bool, error) {
	if u.build.State != vitrine.Finished {
		return false, nil
	}
	for _, a := range u.build.Artifacts {
		if a.Path == u.path && (stored{a.Size, a.SHA256}) == want {
			return s.isThere(ctx, u.key, want.size)
		}
	}
	return false, refuse(http.StatusConflict, "build %s is published: nothing can be added to it", u.build.UUID)
}

// isThere reports whether the store has an object of that size.
func (s *Server) isThere(ctx context.Context, key string, size int64) (bool, error) {
	object, err := s.Bucket.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fromStore(err)
	}
	return object.Size == size, nil
}

func (u upload) isSealed() bool { return strings.HasSuffix(u.path, vitrine.SealedRawSuffix) }

// options describe the object that is to be made.
func (u upload) options(size int64, digest [32]byte) storage.CreateOptions {
	opts := storage.CreateOptions{Size: size, SHA256: digest, MediaType: octetStream}
	if !u.build.Expires.IsZero() {
		opts.Expires = u.build.Expires.Add(vitrine.ExpiryGrace)
	}
	return opts
}

// putArtifact is PUT …/builds/UUID/artifacts/PATH: one stored file of a build
// that has begun, or the list of the parts that it came in.
func (s *Server) putArtifact(c echo.Context) error {
	ctx, r := c.Request().Context(), c.Request()
	u, err := s.uploadOf(c, param(c, "*"))
	if err != nil {
		return err
	}
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType == vitrine.PartsMediaType {
		return s.completeArtifact(c, u)
	}
	if err := s.checkLength(u, r.ContentLength); err != nil {
		return err
	}
	digest, _, err := contentDigest(r.Header)
	if err != nil {
		return err
	}
	want := stored{r.ContentLength, hex.EncodeToString(digest[:])}
	if published, err := s.isPublished(ctx, u, want); err != nil {
		return err
	} else if published {
		return c.NoContent(http.StatusCreated)
	}
	if err := s.checkPublic(ctx, u); err != nil {
		return err
	}
	if err := s.uploads.claim(u.build, u.path, vitrine.Part{Number: wholePart, Size: want.size}); err != nil {
		return err
	}
	body := patientBody(c)
	if u.isSealed() {
		if err := checkSealed(u.path, body); err != nil {
			return err
		}
	}
	if err := s.Bucket.Create(ctx, u.key, body, u.options(want.size, digest)); err != nil {
		return fromStore(err)
	}
	s.uploads.done(u.build.UUID, u.path, want)
	return c.NoContent(http.StatusCreated)
}

func (s *Server) checkLength(u upload, size int64) error {
	if size < 0 {
		return refuse(http.StatusLengthRequired, "the upload needs a Content-Length")
	}
	if size > s.MaxArtifactSize {
		return refuse(http.StatusRequestEntityTooLarge, "%s: %d bytes, more than %d", u.path, size, s.MaxArtifactSize)
	}
	return nil
}

// checkPublic refuses a file that is neither sealed nor declared public by the
// keyring, before a byte of it is taken.
func (s *Server) checkPublic(ctx context.Context, u upload) error {
	if u.isSealed() {
		return nil
	}
	k, err := s.Keyring.At(ctx, u.build.Keyring.Commit)
	if err != nil {
		return err
	}
	service, err := k.ServiceOf(u.build.JobName)
	if err != nil {
		return err
	}
	if !service.IsPublic(u.path) {
		return refuse(http.StatusForbidden, "%s: service %s does not declare this file public, so it must be sealed", u.path, service.Name)
	}
	return nil
}

// checkSealed refuses the beginning of a file that age did not write, before a
// byte of it is stored.
func checkSealed(path string, body *bufio.Reader) error {
	head, err := body.Peek(len(ageMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(head, []byte(ageMagic)) {
		return refuse(http.StatusUnprocessableEntity, "%s: not an age file", path)
	}
	return nil
}

// contentDigest reads a Content-Digest header (RFC 9530). The SHA-256 must be in
// it; md5 is empty if that is not.
func contentDigest(h http.Header) (sha [32]byte, sum string, err error) {
	found := false
	for member := range strings.SplitSeq(strings.Join(h.Values("Content-Digest"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
		b, ok := byteSequence(value)
		switch {
		case name == "sha-256" && ok && len(b) == sha256.Size && !found:
			sha, found = [32]byte(b), true
		case name == "md5" && ok && len(b) == md5.Size && sum == "":
			sum = hex.EncodeToString(b)
		case name == "sha-256", name == "md5":
			return sha, "", refuse(http.StatusBadRequest, "Content-Digest: %s stands there twice, or is not :BASE64: of a hash", name)
		}
	}
	if !found {
		return sha, "", refuse(http.StatusBadRequest, "the upload needs a Content-Digest: sha-256=:BASE64:")
	}
	return sha, sum, nil
}

// byteSequence reads bytes as a structured field (RFC 9651) has them.
func byteSequence(s string) ([]byte, bool) {
	s, ok1 := strings.CutPrefix(s, ":")
	s, ok2 := strings.CutSuffix(s, ":")
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, ok1 && ok2 && err == nil && !strings.ContainsAny(s, "\r\n")
}

// patientBody is a request's body, which may take as long as it needs.
func patientBody(c echo.Context) *bufio.Reader {
	return bufio.NewReaderSize(&patientReader{c.Request().Body, http.NewResponseController(c.Response())}, 64<<10)
}

// A patientReader lets an upload take as long as it needs while bytes still come.
type patientReader struct {
	io.Reader
	deadlines *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	until := time.Now().Add(stallTimeout)
	p.deadlines.SetReadDeadline(until)
	p.deadlines.SetWriteDeadline(until.Add(requestTimeout))
	n, err := p.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err
}

// errBody says that a request's body could not be read to its end.
var errBody = errors.New("the upload broke off")
