package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"vitrine"
)

// beginUpload starts a multipart upload and returns its id.
func (s *S3) beginUpload(ctx context.Context, key string, mediaType *string, metadata map[string]string) (string, error) {
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: s.at(key), ContentType: mediaType, Metadata: metadata,
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeComposite,
	})
	if err != nil {
		return "", s3Error(ctx, "begin parts", err)
	}
	if aws.ToString(out.UploadId) == "" {
		return "", errors.New("begin parts: the store gives no upload id")
	}
	return *out.UploadId, nil
}

// uploadPart stores one part. A body that can't be read again is sent once.
func (s *S3) uploadPart(ctx context.Context, key, id string, part vitrine.Part, body io.Reader, again bool) (types.CompletedPart, error) {
	var want [32]byte
	if _, err := hex.Decode(want[:], []byte(part.SHA256)); err != nil {
		return types.CompletedPart{}, err
	}
	options := []func(*s3.Options){s3Payload(want)}
	if !again {
		options = append(options, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	}
	number := aws.Int32(int32(part.Number))
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: s.at(key), UploadId: &id, PartNumber: number,
		Body: body, ContentLength: aws.Int64(part.Size), ChecksumSHA256: s3Checksum(want[:]),
	}, options...)
	if err != nil {
		return types.CompletedPart{}, err
	}
	if sum := out.ChecksumSHA256; sum != nil && *sum != *s3Checksum(want[:]) {
		return types.CompletedPart{}, &bodyError{fmt.Errorf("%w: the store took other bytes", ErrIntegrity)}
	}
	return types.CompletedPart{PartNumber: number, ETag: out.ETag, ChecksumSHA256: out.ChecksumSHA256}, nil
}

// completeUpload makes an object of an upload's parts.
func (s *S3) completeUpload(ctx context.Context, key, id string, stored []types.CompletedPart, opts CreateOptions, parts []vitrine.Part) error {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: s.at(key), UploadId: &id, IfNoneMatch: s.condition(),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: stored},
	}
	if in.IfNoneMatch == nil { // then all we can do is look, as late as possible
		if there, err := s.same(ctx, key, opts, parts); there || err != nil {
			return err
		}
	}
	out, err := s.client.CompleteMultipartUpload(ctx, in, s.patient)
	if in.IfNoneMatch != nil && s.refusesConditions(err) {
		return s.completeUpload(ctx, key, id, stored, opts, parts)
	} else if err != nil {
		return s.settle(ctx, key, opts, parts, "", err)
	}
	return s.settle(ctx, key, opts, parts, aws.ToString(out.ETag), nil)
}

// abortUpload removes an upload with its parts. One that is gone is no error.
func (s *S3) abortUpload(ctx context.Context, key, id string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: s.at(key), UploadId: &id})
	if s3Status(err) == 404 {
		return nil
	}
	return s3Error(ctx, "abort", err)
}

// dropUpload removes an upload of ours. After a cancelled call the store may still
// be at work on parts, and such a part may bring the upload back, so it is removed
// some times more. Should that fail, the bucket's lifecycle, or gc, removes it.
func (s *S3) dropUpload(ctx context.Context, key, id string) {
	const first, last = 50 * time.Millisecond, 800 * time.Millisecond
	cancelled := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s3CleanUpTime)
	defer cancel()
	for wait := first; s.abortUpload(ctx, key, id) == nil && cancelled && wait <= last; wait *= 2 {
		time.Sleep(wait)
	}
}

// listUploads calls each for every upload of a key below the bucket's prefix, or
// for those of one key. Some stores find nothing under a prefix that is no whole
// key, so without one all are asked for: there are few.
func (s *S3) listUploads(ctx context.Context, key string, each func(key string, u types.MultipartUpload)) error {
	in := &s3.ListMultipartUploadsInput{Bucket: &s.bucket}
	if key != "" {
		in.Prefix = s.at(key)
	}
	for {
		out, err := s.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return s3Error(ctx, "list uploads", err)
		}
		for _, u := range out.Uploads {
			k, ours := strings.CutPrefix(aws.ToString(u.Key), s.prefix)
			if ours && checkKey(k) == nil && (key == "" || k == key) && aws.ToString(u.UploadId) != "" {
				each(k, u)
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		if aws.ToString(out.NextKeyMarker)+aws.ToString(out.NextUploadIdMarker) == aws.ToString(in.KeyMarker)+aws.ToString(in.UploadIdMarker) {
			return errors.New("list uploads: the store tells the same page again")
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

// uploadsOf returns the ids of the uploads of one key, the oldest first.
func (s *S3) uploadsOf(ctx context.Context, key string) ([]string, error) {
	var found []types.MultipartUpload
	if err := s.listUploads(ctx, key, func(_ string, u types.MultipartUpload) { found = append(found, u) }); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b types.MultipartUpload) int {
		if c := aws.ToTime(a.Initiated).Compare(aws.ToTime(b.Initiated)); c != 0 {
			return c
		}
		return strings.Compare(*a.UploadId, *b.UploadId)
	})
	var ids []string
	for _, u := range found {
		ids = append(ids, *u.UploadId)
	}
	return ids, nil
}

// listParts returns the parts of an upload. One that is gone has none.
func (s *S3) listParts(ctx context.Context, key, id string) ([]types.Part, error) {
	var parts []types.Part
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.bucket, Key: s.at(key), UploadId: &id},
		func(o *s3.ListPartsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if s3Code(err) == codeNoUpload {
			return nil, nil
		} else if err != nil {
			return nil, s3Error(ctx, "list parts", err)
		}
		for _, p := range page.Parts {
			if n := aws.ToInt32(p.PartNumber); n >= 1 && n <= vitrine.MaxParts {
				parts = append(parts, p)
			}
		}
	}
	return parts, nil
}
