package storage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"vitrine"
)

// s3MetaSHA256 is the name of the metadata that has an object's SHA-256 in hex.
const s3MetaSHA256 = "sha256"

// s3CleanUpTime bounds the removal of what a failed call leaves in the store.
const s3CleanUpTime = 30 * time.Second

// Create is [Writer.Create]. Expires of opts means nothing to S3, which has no
// such thing for one object.
func (s *S3) Create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	err := checkSize(opts)
	if err == nil && opts.Size <= vitrine.MinPartSize {
		err = s.createSmall(ctx, key, newBodyReader(ctx, body, opts), opts)
	} else if err == nil {
		err = s.createLarge(ctx, key, newBodyReader(ctx, body, opts), opts)
	}
	if err != nil {
		return fmt.Errorf("create object %s: %w", key, err)
	}
	return nil
}

// createSmall stores a body that fits into memory with one request.
func (s *S3) createSmall(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	b := make([]byte, opts.Size)
	if err := readWhole(body, b); err != nil {
		return err
	}
	if s.conditions.Load() != conditionsHeld {
		if there, err := s.same(ctx, key, opts, nil); there || err != nil {
			return err
		}
	}
	etag, err := s.put(ctx, key, b, opts)
	if err == nil && s.conditions.Load() == conditionsUnknown {
		// The store may have ignored the condition. Then it takes the same
		// again; if not, the second answer is the right one.
		etag, err = s.put(ctx, key, b, opts)
		if err == nil {
			s.conditions.CompareAndSwap(conditionsUnknown, conditionsMissing)
		}
	}
	return s.settle(ctx, key, opts, nil, etag, err)
}

// put stores an object with one request, under the condition that nothing is
// there, unless the store is known to have none. It returns the object's ETag.
func (s *S3) put(ctx context.Context, key string, b []byte, opts CreateOptions) (string, error) {
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: s.at(key),
		Body: bytes.NewReader(b), ContentLength: aws.Int64(opts.Size),
		ContentType: s3MediaType(opts), Metadata: s3Metadata(opts),
		ChecksumSHA256: s3Checksum(opts.SHA256[:]), IfNoneMatch: s.condition(),
	}
	out, err := s.client.PutObject(ctx, in, s3Payload(opts.SHA256))
	if in.IfNoneMatch != nil && s.refusesConditions(err) {
		return s.put(ctx, key, b, opts)
	} else if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// condition is that nothing is there, for stores that may know it.
func (s *S3) condition() *string {
	if refused := s.refused.Load(); refused != 0 && time.Since(time.Unix(refused, 0)) > conditionsTime && s.refused.CompareAndSwap(refused, 0) {
		s.conditions.CompareAndSwap(conditionsMissing, conditionsUnknown)
	}
	if s.conditions.Load() == conditionsMissing {
		return nil
	}
	return aws.String("*")
}

// refusesConditions reports whether a store says that it knows no conditions, and
// takes note of it. No other answer says so: it may come from something between.
func (s *S3) refusesConditions(err error) bool {
	if s3Status(err) != 501 || s3Code(err) != "NotImplemented" {
		return false
	}
	s.refused.Store(time.Now().Unix())
	s.conditions.Store(conditionsMissing)
	return true
}

// settle says how a write ended whose request ended with an object's ETag or err.
// A write that was refused, or whose answer was lost, may have been done before.
func (s *S3) settle(ctx context.Context, key string, opts CreateOptions, parts []vitrine.Part, etag string, err error) error {
	code := s3Code(err)
	if code == codePrecondition {
		s.conditions.Store(conditionsHeld)
	}
	refused := code == codePrecondition || code == codeConflict || code == codeNoUpload || s3Status(err) == 412
	if err != nil && !refused {
		return s3Error(ctx, "send", err)
	}
	lost := fmt.Errorf("%w: the store took it, and has it no more", ErrUnavailable)
	if err == nil && s.conditions.Load() == conditionsHeld {
		// Nothing else can be there; but what a store has taken it may have lost.
		_, _, err := s.head(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			return lost
		}
		return err
	}
	// Either something stood in the way, or nothing could have, so that we have
	// to see whose bytes stayed.
	if err == nil && etag != "" {
		if _, head, err := s.head(ctx, key); err == nil && aws.ToString(head.ETag) == etag {
			return nil
		}
	}
	there, wrong := s.same(ctx, key, opts, parts)
	switch {
	case wrong != nil:
		return wrong
	case there:
		return nil
	case err == nil:
		return lost
	case code == codeNoUpload:
		return fmt.Errorf("%w: its upload was aborted meanwhile", ErrUnavailable)
	}
	return fmt.Errorf("%w: something stood in the way, and is gone", ErrUnavailable)
}

// same reports whether an object is at key. It is an error if that has other
// bytes than opts, or where they name no hash the parts, describe.
func (s *S3) same(ctx context.Context, key string, opts CreateOptions, parts []vitrine.Part) (bool, error) {
	o, head, err := s.head(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	other := fmt.Errorf("other bytes are there: %w", fs.ErrExist)
	known := opts.SHA256 != [32]byte{}
	switch sum := head.Metadata[s3MetaSHA256]; {
	case o.Size != opts.Size:
		return true, other
	case known && sum == hex.EncodeToString(opts.SHA256[:]):
		return true, nil
	case known && sum != "":
		return true, other
	case len(parts) > 0 && aws.ToString(head.ChecksumSHA256) == compositeChecksum(parts):
		return true, nil
	}
	r, err := s.Open(ctx, key)
	if err != nil {
		return true, err
	}
	defer r.Close()
	if known {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return true, err
		}
		if !bytes.Equal(h.Sum(nil), opts.SHA256[:]) {
			return true, other
		}
		return true, nil
	}
	for _, p := range parts {
		sha, sum := sha256.New(), md5.New()
		if _, err := io.CopyN(io.MultiWriter(sha, sum), r, p.Size); err != nil {
			return true, err
		}
		// A store without checksums told us the MD5 alone.
		got := vitrine.Part{Number: p.Number, Size: p.Size, SHA256: hex.EncodeToString(sha.Sum(nil)), MD5: hex.EncodeToString(sum.Sum(nil))}
		if got.SHA256 != p.SHA256 && (p.SHA256 != "" || got.MD5 != p.MD5) {
			return true, other
		}
	}
	return true, nil
}

// compositeChecksum is what S3 calls the SHA-256 of an object in parts: that of
// the hashes of its parts, and their number.
func compositeChecksum(parts []vitrine.Part) string {
	h := sha256.New()
	for _, p := range parts {
		b, err := hex.DecodeString(p.SHA256)
		if err != nil || len(b) != sha256.Size {
			return "unknown"
		}
		h.Write(b)
	}
	return *s3Checksum(h.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

// createLarge stores a body part by part. Nothing of it is seen before the last.
func (s *S3) createLarge(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	// Nobody wants to send gigabytes to learn that they are there.
	if there, err := s.same(ctx, key, opts, nil); there || err != nil {
		return err
	}
	id, err := s.beginUpload(ctx, key, s3MediaType(opts), s3Metadata(opts))
	if err != nil {
		return err
	}
	defer s.dropUpload(ctx, key, id) // also after a success, which may be another writer's
	done := make([]types.CompletedPart, vitrine.MaxParts)
	parts, err := sendParts(ctx, body, opts.Size, func(_ context.Context, part vitrine.Part, b []byte) error {
		// Not by the context that ends when another part fails: nothing should
		// be under way when the upload is dropped.
		stored, err := s.uploadPart(ctx, key, id, part, bytes.NewReader(b), true)
		done[part.Number-1] = stored
		if s3Code(err) == codeNoUpload {
			return err
		}
		return s3Error(ctx, "send", err)
	})
	if s3Code(err) == codeNoUpload { // perhaps dropped by the writer who was first
		return s.settle(ctx, key, opts, parts, "", err)
	} else if err != nil {
		return err
	}
	return s.completeUpload(ctx, key, id, done[:len(parts)], opts, parts)
}

func s3MediaType(opts CreateOptions) *string {
	return aws.String(cmp.Or(opts.MediaType, "application/octet-stream"))
}

func s3Metadata(opts CreateOptions) map[string]string {
	return map[string]string{s3MetaSHA256: hex.EncodeToString(opts.SHA256[:])}
}

// s3Checksum is a hash as S3 writes it.
func s3Checksum(sum []byte) *string {
	return aws.String(base64.StdEncoding.EncodeToString(sum))
}

// s3Payload signs a body's known SHA-256 with its request. The SDK would read the
// body once more for it, or over TLS leave it out.
func s3Payload(sum [32]byte) func(*s3.Options) {
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("PayloadSHA256",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(v4.SetPayloadHash(ctx, hex.EncodeToString(sum[:])), in)
			}), middleware.Before)
	})
}
