package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"vitrine"
	"vitrine/keyring"
	"vitrine/server/index"
	"vitrine/signature"
	"vitrine/storage"
	"vitrine/web"
)

const (
	// maxClockSkew is how far a runner's clock may be from the server's.
	maxClockSkew = 5 * time.Minute
	// maxKeyringAge is how long a keyring commit may still be used after a later
	// one replaced it.
	maxKeyringAge = 24 * time.Hour

	// maxSubmission bounds a request that holds a record: each byte of it may
	// take two in a JSON string.
	maxSubmission = 2*vitrine.MaxRecordSize + 8*vitrine.MaxSignatureSize

	checksAtOnce = 8 // of objects, when a build is committed
)

// beginBuild is POST …/builds: a publisher shows a signed started.json, and
// proves that it holds the key now, and gets an upload token.
func (s *Server) beginBuild(c echo.Context) error {
	ctx, now := c.Request().Context(), time.Now()
	var request vitrine.UploadRequest
	if err := readJSON(c, &request); err != nil {
		return err
	}
	record, err := vitrine.ParseRecord([]byte(request.Record))
	if err != nil {
		return err
	}
	if !record.IsStarted() {
		return refuse(http.StatusUnprocessableEntity, "a build begins with a record that has no result")
	}
	keys, err := s.checkPublisher(ctx, record, request.SignedRecord)
	if err != nil {
		return err
	}
	if skew := now.Sub(request.Time).Abs(); skew > maxClockSkew {
		return refuse(http.StatusForbidden, "the runner's clock says %s and the server's %s: more than %s apart",
			request.Time.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), maxClockSkew)
	}
	digest := sha256.Sum256([]byte(request.Record))
	proof := vitrine.UploadProof(record.Tenant, record.UUID, hex.EncodeToString(digest[:]), request.Time)
	signer, err := signature.Verify(proof, []byte(request.Proof), vitrine.UploadNamespace, keys)
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	if signer != record.Publisher {
		return refuse(http.StatusForbidden, "the record is signed by %s, the request by %s: send it with the key of %s", record.Publisher, signer, record.Publisher)
	}
	if err := s.checkStart(ctx, record, request.SignedRecord, now); err != nil {
		return err
	}
	if err := s.takeUUID(ctx, record, request.SignedRecord); err != nil {
		return err
	}
	if err := s.takeBack(c, record); err != nil {
		return err
	}
	s.words.begun(record.UUID)
	token, expires := s.tokens.make(record.UUID, now)
	return c.JSON(http.StatusCreated, vitrine.UploadGrant{Token: token, Expires: expires, MaxArtifactSize: s.MaxArtifactSize, Direct: s.signer != nil})
}

// takeUUID stores the started record of a build whose uuid is new. That of the
// same build again is fine.
func (s *Server) takeUUID(ctx context.Context, record *vitrine.Record, signed vitrine.SignedRecord) error {
	// Only the index knows a build of the same uuid on another day: it must have
	// read the whole bucket, and one build is looked at at a time.
	s.beginning.Lock()
	defer s.beginning.Unlock()
	s.mu.Lock()
	synced := s.synced
	s.mu.Unlock()
	if !synced {
		return errUnavailable("the history is still being read from the bucket")
	}
	known, err := s.startedRecord(ctx, record.StartTime, record.UUID)
	switch {
	case err == nil && string(known) != signed.Record:
		return refuse(http.StatusConflict, "there is another build %s already", record.UUID)
	case err == nil: // begun before, and perhaps not indexed then
		s.addToIndex(ctx, signed)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return s.store(ctx, vitrine.StartedKey(record.StartTime, record.UUID), signed)
	case errors.Is(err, storage.ErrUnavailable):
		// Another store may take it: what one that is down has, the index knows.
		known, _, unknown := s.Index.Build(ctx, record.UUID)
		if errors.Is(unknown, fs.ErrNotExist) || unknown == nil && known.IsImported() {
			return s.store(ctx, vitrine.StartedKey(record.StartTime, record.UUID), signed)
		}
	}
	return err
}

// checkPublisher checks by the server's own keyring, as it is now, that the
// record's publisher may publish this job and signed the record: what the
// request claims counts for nothing. It returns the keys that may sign.
func (s *Server) checkPublisher(ctx context.Context, record *vitrine.Record, signed vitrine.SignedRecord) (map[string][]ssh.PublicKey, error) {
	if record.Tenant != s.Tenant {
		return nil, refuse(http.StatusForbidden, "this is tenant %s, the record is for %s", s.Tenant, record.Tenant)
	}
	k, err := s.keyringNow()
	if err != nil {
		return nil, err
	}
	keys, err := publisherKeys(k, record, signed)
	if err != nil && record.Keyring.Commit != k.Commit {
		// The runner's keyring may be newer than the server's last look.
		if err := s.lookNow(ctx); err != nil {
			return nil, err
		}
		if k, err = s.keyringNow(); err != nil {
			return nil, err
		}
		keys, err = publisherKeys(k, record, signed)
	}
	if err != nil {
		return nil, fmt.Errorf("by the keyring at %.12s: %w", k.Commit, err)
	}
	return keys, nil
}

// publisherKeys returns the keys that may sign for the record's service, one of
// which did.
func publisherKeys(k *keyring.Keyring, record *vitrine.Record, signed vitrine.SignedRecord) (map[string][]ssh.PublicKey, error) {
	service, err := k.ServiceOf(record.JobName)
	if err != nil {
		return nil, err
	}
	if service.Name != record.Service {
		return nil, refuse(http.StatusForbidden, "job %s belongs to service %s, not to %s", record.JobName, service.Name, record.Service)
	}
	keys := k.PublisherKeys(service.Name)
	return keys, signature.VerifyRecord(record, signed, keys)
}

// checkStart checks a started record against the clock and against the keyring
// at the commit it names.
func (s *Server) checkStart(ctx context.Context, record *vitrine.Record, signed vitrine.SignedRecord, now time.Time) error {
	if record.StartTime.After(now.Add(maxClockSkew)) || record.StartTime.Before(now.Add(-vitrine.MaxBuildAge)) {
		return refuse(http.StatusForbidden, "start_time %s: a build is taken from %s after its start to %s before it (by this server's clock, %s)",
			record.StartTime.Format(time.RFC3339), vitrine.MaxBuildAge, maxClockSkew, now.UTC().Format(time.RFC3339))
	}
	k, err := s.Keyring.At(ctx, record.Keyring.Commit)
	if errors.Is(err, keyring.ErrUnknownCommit) {
		// It may be newer than the last look.
		if err := s.lookNow(ctx); err != nil {
			return err
		}
		k, err = s.Keyring.At(ctx, record.Keyring.Commit)
	}
	if errors.Is(err, keyring.ErrUnknownCommit) {
		return refuse(http.StatusForbidden, "keyring commit %s is not in the history that this server follows: update the runner's keyring", record.Keyring.Commit)
	} else if err != nil {
		return err
	}
	replaced, err := s.Keyring.Superseded(ctx, record.Keyring.Commit)
	if err != nil {
		return err
	}
	if !replaced.IsZero() && record.StartTime.Sub(replaced) > maxKeyringAge {
		return refuse(http.StatusForbidden, "keyring commit %s was replaced on %s, more than %s before the build: update the runner's keyring",
			record.Keyring.Commit, replaced.UTC().Format(time.RFC3339), maxKeyringAge)
	}
	if err := k.CheckRecord(record); err != nil {
		return err
	}
	return signature.VerifyRecord(record, signed, k.PublisherKeys(record.Service))
}

// startedRecord returns the stored started.json of a build.
func (s *Server) startedRecord(ctx context.Context, start time.Time, uuid string) ([]byte, error) {
	// The index knows a build of another day with this uuid; the bucket is asked
	// since the index may be behind it. One that was imported gives way.
	if known, _, err := s.Index.Build(ctx, uuid); err == nil {
		if !known.IsImported() {
			start = known.StartTime
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s.read(ctx, vitrine.StartedKey(start, uuid), vitrine.MaxRecordSize)
}

// read returns an object of at most limit bytes.
func (s *Server) read(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, err := s.Bucket.Open(ctx, key)
	if err != nil {
		return nil, fromStore(err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fromStore(err)
	}
	if int64(len(b)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", key, limit)
	}
	return b, err
}

// store puts a signed record into the bucket, the signature first: once the
// record is there, the build is. Then it tells the index, which may fail: the
// next sync heals that.
func (s *Server) store(ctx context.Context, key string, signed vitrine.SignedRecord) error {
	// The publisher may hang up now; what is begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	for _, o := range []struct{ key, text, mediaType string }{
		{vitrine.SignatureKey(key), signed.Signature, "text/plain; charset=utf-8"},
		{key, signed.Record, "application/json"},
	} {
		opts := storage.CreateOptions{Size: int64(len(o.text)), SHA256: sha256.Sum256([]byte(o.text)), MediaType: o.mediaType}
		if err := s.Bucket.Create(ctx, o.key, strings.NewReader(o.text), opts); err != nil {
			return fromStore(err)
		}
	}
	s.addToIndex(ctx, signed)
	return nil
}

// addToIndex tells the index of a record that is stored. Where that fails, the
// next refresh looks further back than usual.
func (s *Server) addToIndex(ctx context.Context, signed vitrine.SignedRecord) {
	err := s.Index.Add(ctx, index.Entry{Record: []byte(signed.Record), Signature: []byte(signed.Signature)})
	if err != nil {
		s.Log.Error("a stored record is not indexed until the next refresh", "error", err)
		s.mu.Lock()
		s.lookedBack = time.Time{}
		s.mu.Unlock()
	}
}

// authorize checks that a request may write to a build.
func (s *Server) authorize(r *http.Request, uuid string) error {
	if err := s.tokens.check(r, uuid, time.Now()); err != nil {
		return err
	}
	if s.words.isGivenUp(uuid) {
		return errGivenUp(uuid)
	}
	return nil
}

// commitBuild is PUT …/builds/UUID: the signed build.json, whose creation in the
// bucket publishes the build.
func (s *Server) commitBuild(c echo.Context) error {
	ctx, uuid := c.Request().Context(), param(c, "uuid")
	if err := s.authorize(c.Request(), uuid); err != nil {
		return err
	}
	var signed vitrine.SignedRecord
	if err := readJSON(c, &signed); err != nil {
		return err
	}
	record, err := vitrine.ParseRecord([]byte(signed.Record))
	if err != nil {
		return err
	}
	if record.UUID != uuid || record.IsStarted() || record.IsImported() {
		return refuse(http.StatusUnprocessableEntity, "not the final record of build %s", uuid)
	}
	if _, err := s.checkPublisher(ctx, record, signed); err != nil {
		return err
	}
	if err := s.checkSameBuild(ctx, record); err != nil {
		return err
	}
	if now := time.Now(); record.EndTime.After(now.Add(maxClockSkew)) {
		return refuse(http.StatusForbidden, "end_time %s lies ahead of the server's clock, %s", record.EndTime.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	// From here on the time it takes depends on what was uploaded.
	deadlines := http.NewResponseController(c.Response())
	deadlines.SetWriteDeadline(time.Time{})
	if err := s.checkArtifacts(ctx, record); err != nil {
		return err
	}
	if err := s.store(ctx, vitrine.RecordKey(record.StartTime, uuid), signed); err != nil {
		return err
	}
	s.uploads.forget(uuid)
	address := s.PublicURL + web.BuildPath(s.Tenant, uuid)
	c.Response().Header().Set("Location", address)
	return c.JSON(http.StatusCreated, vitrine.Published{URL: address})
}

// checkSameBuild checks that a final record says the same as the started one,
// whose readers and times were checked when the build began.
func (s *Server) checkSameBuild(ctx context.Context, record *vitrine.Record) error {
	known, err := s.startedRecord(ctx, record.StartTime, record.UUID)
	if err != nil {
		return err
	}
	started := *record
	started.Result, started.EndTime, started.ErrorDetail, started.Artifacts = "", time.Time{}, "", nil
	text, err := started.Marshal()
	if err != nil {
		return err
	}
	if !bytes.Equal(text, known) {
		return refuse(http.StatusConflict, "the record differs from the started.json of build %s in more than its end", record.UUID)
	}
	return nil
}

// checkArtifacts checks that the bucket holds what the record names, and that
// what is not sealed may be public.
func (s *Server) checkArtifacts(ctx context.Context, record *vitrine.Record) error {
	k, err := s.Keyring.At(ctx, record.Keyring.Commit)
	if err != nil {
		return err
	}
	if err := k.CheckRecord(record); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(checksAtOnce)
	for _, a := range record.Artifacts {
		group.Go(func() error { return s.checkObject(ctx, record.UUID, a) })
	}
	return group.Wait()
}

// checkObject checks one object's presence and size, and its hash too, unless
// this process has seen it stored. With signed requests the store has checked
// the hash of each part, and no bytes pass by here: readers check that of the
// whole against the record. But a record that contradicts what was seen is not
// believed.
func (s *Server) checkObject(ctx context.Context, uuid string, a vitrine.Artifact) error {
	key := vitrine.ArtifactKey(uuid, a.Path)
	object, err := s.Bucket.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(http.StatusUnprocessableEntity, "%s: not uploaded yet", a.Path)
	} else if err != nil {
		return fromStore(err)
	}
	otherBytes := refuse(http.StatusConflict, "%s: other bytes were uploaded than the record names", a.Path)
	if object.Size != a.Size {
		return otherBytes
	}
	seen := s.uploads.storedAs(uuid, a.Path)
	if seen == (stored{a.Size, a.SHA256}) {
		return nil
	}
	if err := s.checkStored(ctx, key, a.Path); err != nil || s.signer != nil && seen.sha256 == "" {
		return err
	}
	r, err := s.Bucket.Open(ctx, key)
	if err != nil {
		return fromStore(err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fromStore(err)
	}
	if hex.EncodeToString(h.Sum(nil)) != a.SHA256 {
		return otherBytes
	}
	return nil
}

// readJSON reads a bounded request body, one JSON value with no field unknown.
func readJSON(c echo.Context, into any) error {
	body := http.MaxBytesReader(c.Response(), c.Request().Body, maxSubmission)
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return refuse(http.StatusBadRequest, "the body is not the JSON that is wanted here: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, "the body has more than one JSON value")
	}
	return nil
}
