package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/storage"
)

const (
	// signedLife is how long a signed request is good for.
	signedLife = 15 * time.Minute
	// completeTimeout bounds the making of one object of its parts.
	completeTimeout = 10 * time.Minute
)

// signParts is POST …/builds/UUID/parts/PATH: the requests by which a runner
// sends parts of an artifact to the store itself. Of an artifact that is stored
// already there are none.
func (s *Server) signParts(c echo.Context) error {
	ctx := c.Request().Context()
	u, err := s.uploadOf(c, param(c, "*"))
	if err != nil {
		return err
	}
	if s.signer == nil {
		return refuse(http.StatusNotFound, "this server signs no requests: send the parts to it")
	}
	var request vitrine.PartsRequest
	if err := readJSON(c, &request); err != nil {
		return err
	}
	if err := s.checkParts(u, request); err != nil {
		return err
	}
	want := stored{request.Size, request.SHA256}
	published, err := s.isPublished(ctx, u, want)
	if err != nil {
		return err
	}
	grant := vitrine.PartsGrant{Requests: []vitrine.PartRequest{}, Expires: time.Now().Add(signedLife).UTC().Truncate(time.Second)}
	c.Response().Header().Set("Cache-Control", "no-store")
	there := published
	if !there {
		if there, err = s.isStored(ctx, u, want); err != nil {
			return err
		}
	}
	if there {
		return c.JSON(http.StatusOK, grant)
	}
	if err := s.checkPublic(ctx, u); err != nil {
		return err
	}
	if err := s.uploads.claim(u.build, u.path, request.Parts...); err != nil {
		return err
	}
	for _, p := range request.Parts {
		signed, err := s.signer.SignPart(ctx, u.key, p, grant.Expires)
		if err != nil {
			return fromStore(err)
		}
		grant.Requests = append(grant.Requests, vitrine.PartRequest{Number: p.Number, Method: signed.Method, URL: signed.URL, Header: signed.Header})
	}
	return c.JSON(http.StatusOK, grant)
}

// isStored reports whether this process saw that very artifact stored, and the
// store has it still: what a store loses must be sent again.
func (s *Server) isStored(ctx context.Context, u upload, want stored) (bool, error) {
	if want.sha256 == "" || s.uploads.storedAs(u.build.UUID, u.path) != want {
		return false, nil
	}
	return s.isThere(ctx, u.key, want.size)
}

// checkParts checks what a publisher says of some parts of an artifact.
func (s *Server) checkParts(u upload, request vitrine.PartsRequest) error {
	limit := s.MaxArtifactSize
	if request.Size < 0 || request.Size > limit {
		return refuse(http.StatusRequestEntityTooLarge, "%s: %d bytes, more than %d", u.path, request.Size, limit)
	}
	if request.Size > 0 {
		limit = request.Size
	}
	if request.SHA256 != "" && !validSHA256(request.SHA256) {
		return refuse(http.StatusUnprocessableEntity, "sha256 %q is not 64 lower-case hex digits", request.SHA256)
	}
	if n := len(request.Parts); n == 0 || n > vitrine.MaxParts {
		return refuse(http.StatusUnprocessableEntity, "%d parts: want 1 to %d", n, vitrine.MaxParts)
	}
	numbers := make(map[int]bool)
	for _, p := range request.Parts {
		if err := p.Check(); err != nil {
			return refuse(http.StatusUnprocessableEntity, "%s: %v", u.path, err)
		}
		if numbers[p.Number] {
			return refuse(http.StatusUnprocessableEntity, "%s: part %d is there twice", u.path, p.Number)
		}
		numbers[p.Number] = true
		if limit -= p.Size; limit < 0 {
			return refuse(http.StatusRequestEntityTooLarge, "%s: the parts have more bytes than the whole may have", u.path)
		}
	}
	return nil
}

func validSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == strings.ToLower(s)
}

// putPart is PUT …/builds/UUID/parts/NUMBER/PATH: one part of an artifact, through
// this server.
func (s *Server) putPart(c echo.Context) error {
	ctx, r := c.Request().Context(), c.Request()
	number, path, _ := strings.Cut(param(c, "*"), "/")
	u, err := s.uploadOf(c, path)
	if err != nil {
		return err
	}
	if err := s.checkLength(u, r.ContentLength); err != nil {
		return err
	}
	digest, sum, err := contentDigest(r.Header)
	if err != nil {
		return err
	}
	part := vitrine.Part{Size: r.ContentLength, SHA256: hex.EncodeToString(digest[:]), MD5: sum}
	if part.Number, err = strconv.Atoi(number); err != nil {
		return refuse(http.StatusUnprocessableEntity, "part %q: want a number", number)
	}
	if err := part.Check(); err != nil {
		return refuse(http.StatusUnprocessableEntity, "%s: %v", u.path, err)
	}
	if u.build.State == vitrine.Finished {
		return refuse(http.StatusConflict, "build %s is published: nothing can be added to it", u.build.UUID)
	}
	if err := s.checkPublic(ctx, u); err != nil {
		return err
	}
	if err := s.uploads.claim(u.build, u.path, part); err != nil {
		return err
	}
	body := patientBody(c)
	if u.isSealed() && part.Number == 1 {
		if err := checkSealed(u.path, body); err != nil {
			return err
		}
	}
	if err := s.Bucket.PutPart(ctx, u.key, part, body); err != nil {
		return fromStore(err)
	}
	return c.NoContent(http.StatusCreated)
}

// completeArtifact is the PUT of an artifact whose body is the list of its parts.
func (s *Server) completeArtifact(c echo.Context, u upload) error {
	var request vitrine.PartsRequest
	if err := readJSON(c, &request); err != nil {
		return err
	}
	if err := s.checkParts(u, request); err != nil {
		return err
	}
	if request.SHA256 == "" {
		return refuse(http.StatusUnprocessableEntity, "%s: to complete it, its sha256 is needed", u.path)
	}
	if err := vitrine.CheckParts(request.Parts, request.Size); err != nil {
		return refuse(http.StatusUnprocessableEntity, "%s: %v", u.path, err)
	}
	want := stored{request.Size, request.SHA256}
	if published, err := s.isPublished(c.Request().Context(), u, want); err != nil {
		return err
	} else if published {
		return c.NoContent(http.StatusCreated)
	}
	// The publisher may hang up now; what is begun is finished, so that nothing
	// stays which was not looked at.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), completeTimeout)
	defer cancel()
	http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(completeTimeout + requestTimeout))
	if err := s.checkPublic(ctx, u); err != nil {
		return err
	}
	if err := s.uploads.claim(u.build, u.path, request.Parts...); err != nil {
		return err
	}
	var digest [32]byte
	hex.Decode(digest[:], []byte(request.SHA256))
	if err := s.Bucket.Complete(ctx, u.key, request.Parts, u.options(want.size, digest)); err != nil {
		return fromStore(err)
	}
	if err := s.checkStored(ctx, u.key, u.path); err != nil {
		return err
	}
	if s.signer == nil {
		want.sha256 = "" // nobody has computed it: the commit does
	}
	s.uploads.done(u.build.UUID, u.path, want)
	return c.NoContent(http.StatusCreated)
}

// checkStored looks at the beginning of a sealed object whose bytes did not pass
// by here in one piece. What age did not write is removed again.
func (s *Server) checkStored(ctx context.Context, key, path string) error {
	if !strings.HasSuffix(path, vitrine.SealedRawSuffix) {
		return nil
	}
	r, err := s.Bucket.OpenRange(ctx, key, 0, int64(len(ageMagic)))
	if err != nil {
		return fromStore(err)
	}
	defer r.Close()
	head, err := io.ReadAll(io.LimitReader(r, int64(len(ageMagic))))
	if err != nil {
		return fromStore(err)
	}
	if bytes.Equal(head, []byte(ageMagic)) {
		return nil
	}
	if err := s.Bucket.Delete(ctx, key); err != nil {
		return fromStore(fmt.Errorf("remove what is not sealed: %w", err))
	}
	return refuse(http.StatusUnprocessableEntity, "%s: not an age file", path)
}

// errStore says that the store did not do what the server asked of it.
var errStore = errors.New("the store refused")

// fromStore marks an error of the bucket as one that is not the publisher's
// fault, unless it is one that means something to the one who asked.
func fromStore(err error) error {
	for _, known := range []error{errBody, storage.ErrIntegrity, storage.ErrUnavailable, fs.ErrNotExist, fs.ErrExist, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errStore, err)
}

// trialKey is that of no build.
var trialKey = vitrine.ArtifactKey(strings.Repeat("0", 32), "trial.age")

// openSigner returns a bucket as a signer that works, as far as can be told now.
func openSigner(ctx context.Context, b storage.Bucket) (storage.Signer, error) {
	signer, ok := b.(storage.Signer)
	if !ok {
		return nil, errors.New("direct: this kind of storage can't sign requests; it takes s3:// or swift://")
	}
	_, err := signer.SignPart(ctx, trialKey, vitrine.NewPart(1, []byte(ageMagic)), time.Now().Add(signedLife))
	if err == nil {
		err = b.Abort(ctx, trialKey)
	}
	// A store that is away now may be back later.
	if err != nil && !errors.Is(err, storage.ErrUnavailable) {
		return nil, fmt.Errorf("direct: %w", err)
	}
	return signer, nil
}
