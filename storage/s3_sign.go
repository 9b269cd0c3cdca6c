package storage

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"vitrine"
)

// maxSigned is the longest that S3 lets a signed request be good for.
const maxSigned = 7 * 24 * time.Hour

// SignPart is [Signer.SignPart]. Size, SHA-256 and MD5 are signed headers, so the
// store refuses a request that has others, and a body that they do not describe.
func (s *S3) SignPart(ctx context.Context, key string, part vitrine.Part, until time.Time) (Request, error) {
	opts, err := partOptions(key, part)
	if err != nil {
		return Request{}, err
	}
	what := fmt.Sprintf("sign part %d of object %s", part.Number, key)
	expires, err := signedFor(until)
	if err != nil {
		return Request{}, fmt.Errorf("%s: %w", what, err)
	}
	u, release := s.hold(key)
	defer release()
	id, err := s.uploadID(ctx, key, u, true)
	if err != nil {
		return Request{}, fmt.Errorf("%s: %w", what, err)
	}
	sum, err := hex.DecodeString(part.MD5)
	if err != nil {
		return Request{}, fmt.Errorf("%s: %w", what, err)
	}
	signed, err := s.presigner(expires).PresignUploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: s.at(key), UploadId: &id, PartNumber: aws.Int32(int32(part.Number)),
		ContentLength: aws.Int64(part.Size), ChecksumSHA256: s3Checksum(opts.SHA256[:]),
		ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum)), // for stores without the other
	})
	if err != nil {
		return Request{}, s3Error(ctx, what, err)
	}
	header := make(map[string]string)
	for name, values := range signed.SignedHeader {
		if name = http.CanonicalHeaderKey(name); name != "Host" {
			header[name] = strings.Join(values, ",")
		}
	}
	return Request{Method: signed.Method, URL: signed.URL, Header: header}, nil
}

// SignOpen is [Signer.SignOpen].
func (s *S3) SignOpen(ctx context.Context, key, filename string, until time.Time) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	if s.publicURL != "" {
		return s.publicURL + "/" + (&url.URL{Path: key}).EscapedPath(), nil
	}
	what := "sign object " + key
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": filename})
	if disposition == "" {
		return "", fmt.Errorf("%s: the file name %q can't be in a header", what, filename)
	}
	expires, err := signedFor(until)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	signed, err := s.presigner(expires).PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: s.at(key),
		ResponseContentType: aws.String("application/octet-stream"), ResponseContentDisposition: &disposition,
	})
	if err != nil {
		return "", s3Error(ctx, what, err)
	}
	return signed.URL, nil
}

func (s *S3) presigner(expires time.Duration) *s3.PresignClient {
	return s3.NewPresignClient(s.client, s3.WithPresignExpires(expires), func(o *s3.PresignOptions) {
		// In the query, where the SDK puts them, some stores don't look at checksums.
		o.Presigner = v4.NewSigner(func(o *v4.SignerOptions) {
			o.DisableHeaderHoisting = true
			o.DisableURIPathEscaping = true // as S3 wants it
		})
	})
}

func signedFor(until time.Time) (time.Duration, error) {
	d := time.Until(until).Truncate(time.Second)
	switch {
	case d < time.Second:
		return 0, errors.New("the time is past")
	case d > maxSigned:
		return 0, fmt.Errorf("for %s: S3 signs for no more than %s", d, maxSigned)
	}
	return d, nil
}
