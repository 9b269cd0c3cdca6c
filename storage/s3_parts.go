package storage

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"vitrine"
)

// PutPart is [Writer.PutPart].
func (s *S3) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	opts, err := partOptions(key, part)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return err
	}
	u, release := s.hold(key)
	defer release()
	if err := s.putPart(ctx, key, part, body, opts, u); err != nil {
		s.dropEmpty(ctx, key, u)
		return fmt.Errorf("part %d of object %s: %w", part.Number, key, err)
	}
	return nil
}

func (s *S3) putPart(ctx context.Context, key string, part vitrine.Part, body io.Reader, opts CreateOptions, u *s3Upload) error {
	sent, again := newSentBody(ctx, body, opts)
	for first := true; ; first = false {
		id, err := s.uploadID(ctx, key, u, false)
		if err != nil {
			return err
		}
		_, err = s.uploadPart(ctx, key, id, part, sent, again)
		if s3Code(err) != codeNoUpload {
			return s3Error(ctx, "send", err)
		}
		// Completed or aborted by somebody else since we saw it.
		if err := u.forget(ctx); err != nil {
			return err
		}
		if !first || !again {
			return fmt.Errorf("%w: its upload was aborted meanwhile; the part has to be sent again", ErrUnavailable)
		}
		if _, err := sent.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

// Complete is [Writer.Complete]. The object keeps the media type that its upload
// began with, application/octet-stream.
func (s *S3) Complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	if err := checkComplete(ctx, key, parts, opts); err != nil {
		return err
	}
	// One call after the other: some stores put two objects in turn where two
	// completions meet, and for an instant none.
	u, release := s.hold(key)
	defer release()
	err := u.with(ctx, func() error {
		return completeAgain(func() error { return s.complete(ctx, key, parts, opts) })
	})
	if err != nil {
		return fmt.Errorf("complete object %s: %w", key, err)
	}
	return s.Abort(ctx, key) // what else there is of it
}

func (s *S3) complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	if there, err := s.same(ctx, key, opts, parts); there || err != nil {
		return err
	}
	ids, err := s.uploadsOf(ctx, key)
	if err != nil {
		return err
	}
	// More than one is what a writer that died has left, or of two servers that
	// began at the same instant.
	missing := fmt.Errorf("%w: no parts are there", ErrIntegrity)
	for _, id := range ids {
		stored, err := s.listParts(ctx, key, id)
		if err != nil {
			return err
		}
		chosen, err := chooseParts(parts, stored)
		if err == nil {
			return s.completeUpload(ctx, key, id, chosen, opts, parts)
		}
		missing = err
	}
	return missing
}

// chooseParts finds the wanted parts among the stored ones, as a completion names them.
func chooseParts(want []vitrine.Part, stored []types.Part) ([]types.CompletedPart, error) {
	byNumber := make(map[int]types.Part, len(stored))
	for _, p := range stored {
		byNumber[int(aws.ToInt32(p.PartNumber))] = p
	}
	var chosen []types.CompletedPart
	for _, w := range want {
		p, ok := byNumber[w.Number]
		if !ok {
			return nil, fmt.Errorf("%w: part %d is not there", ErrIntegrity, w.Number)
		}
		got := describedPart(p)
		switch {
		case got.Size != w.Size:
			return nil, fmt.Errorf("%w: part %d has %d bytes, want %d", ErrIntegrity, w.Number, got.Size, w.Size)
		case got.SHA256 != "" && w.SHA256 != "":
			if got.SHA256 != w.SHA256 {
				return nil, fmt.Errorf("%w: part %d has SHA-256 %s, want %s", ErrIntegrity, w.Number, got.SHA256, w.SHA256)
			}
		case got.MD5 != "" && w.MD5 != "" && got.MD5 != w.MD5:
			return nil, fmt.Errorf("%w: part %d has MD5 %s, want %s", ErrIntegrity, w.Number, got.MD5, w.MD5)
		}
		chosen = append(chosen, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag, ChecksumSHA256: p.ChecksumSHA256})
	}
	return chosen, nil
}

// describedPart is a part as the store tells it: with its SHA-256 if the store keeps
// checksums, and its MD5 if the ETag has the form of one.
func describedPart(p types.Part) vitrine.Part {
	part := vitrine.Part{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size)}
	if sum, err := base64.StdEncoding.DecodeString(aws.ToString(p.ChecksumSHA256)); err == nil && len(sum) == 32 {
		part.SHA256 = hex.EncodeToString(sum)
	}
	if etag := strings.Trim(aws.ToString(p.ETag), `"`); vitrine.ValidUUID(etag) { // of the same form
		part.MD5 = etag
	}
	return part
}

// Parts is [Bucket.Parts].
func (s *S3) Parts(ctx context.Context, key string) ([]vitrine.Part, error) {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return nil, err
	}
	ids, err := s.uploadsOf(ctx, key)
	if err != nil || len(ids) == 0 {
		return nil, s3Wrap("parts of object "+key, err)
	}
	stored, err := s.listParts(ctx, key, ids[0])
	if err != nil {
		return nil, s3Wrap("parts of object "+key, err)
	}
	var parts []vitrine.Part
	for _, p := range stored {
		parts = append(parts, describedPart(p))
	}
	slices.SortFunc(parts, func(a, b vitrine.Part) int { return a.Number - b.Number })
	return parts, nil
}

// uploadYoung is how old an upload is before anybody asks when it last grew.
const uploadYoung = time.Minute

// Uploads is [Bucket.Uploads].
func (s *S3) Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Upload{}, err)
			return
		}
		found := make(map[string][]types.MultipartUpload) // a key may have several
		err := s.listUploads(ctx, "", func(key string, u types.MultipartUpload) {
			if strings.HasPrefix(key, prefix) {
				found[key] = append(found[key], u)
			}
		})
		for key, uploads := range found {
			if err != nil {
				break
			}
			u := Upload{Key: key}
			if u.ModTime, err = s.grew(ctx, key, uploads); err == nil && !yield(u, nil) {
				return
			}
		}
		if err != nil {
			yield(Upload{}, err)
		}
	}
}

// grew is when the uploads of a key began, or got their newest part.
func (s *S3) grew(ctx context.Context, key string, uploads []types.MultipartUpload) (time.Time, error) {
	var newest time.Time
	later := func(at *time.Time) {
		if t := aws.ToTime(at).UTC(); t.After(newest) {
			newest = t
		}
	}
	for _, u := range uploads {
		later(u.Initiated)
	}
	if time.Since(newest) < uploadYoung {
		return newest, nil
	}
	for _, u := range uploads {
		parts, err := s.listParts(ctx, key, *u.UploadId)
		if err != nil {
			return newest, err
		}
		for _, p := range parts {
			later(p.LastModified)
		}
	}
	return newest, nil
}

// Abort is [Bucket.Abort].
func (s *S3) Abort(ctx context.Context, key string) error {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	u, release := s.hold(key)
	defer release()
	err := u.forget(ctx)
	if err == nil {
		var ids []string
		ids, err = s.uploadsOf(ctx, key)
		for _, id := range ids {
			err = errors.Join(err, s.abortUpload(ctx, key, id))
		}
	}
	return s3Wrap("abort object "+key, err)
}

func s3Wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
