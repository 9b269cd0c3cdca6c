package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"vitrine"
)

// Stat is [Reader.Stat].
func (s *S3) Stat(ctx context.Context, key string) (Object, error) {
	o, _, err := s.head(ctx, key)
	return o, err
}

// head describes an object, and has the whole answer beside it.
func (s *S3) head(ctx context.Context, key string) (Object, *s3.HeadObjectOutput, error) {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return Object{}, nil, err
	}
	what := "object " + key
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.at(key), ChecksumMode: "ENABLED"})
	if err != nil {
		return Object{}, nil, s3Error(ctx, what, err)
	}
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return Object{}, nil, fmt.Errorf("%s: the store does not say how large it is", what)
	}
	return Object{Key: key, Size: *out.ContentLength, ModTime: aws.ToTime(out.LastModified).UTC()}, out, nil
}

// Delete is [Bucket.Delete].
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.at(key)})
	if err = s3Error(ctx, "delete object "+key, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// List is [Reader.List].
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Object{}, err)
			return
		}
		if !startsKeys(prefix) {
			return
		}
		what := fmt.Sprintf("list %q", prefix)
		pages := s3.NewListObjectsV2Paginator(s.client,
			&s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.at(prefix)},
			func(o *s3.ListObjectsV2PaginatorOptions) { o.StopOnDuplicateToken = true })
		last := ""
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Object{}, s3Error(ctx, what, err))
				return
			}
			for _, o := range page.Contents {
				key, ours := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
				if !ours || checkKey(key) != nil || !strings.HasPrefix(key, prefix) {
					continue // somebody else's
				}
				if key <= last {
					yield(Object{}, fmt.Errorf("%s: the store puts %s behind %s, which is not the order of their bytes", what, key, last))
					return
				}
				last = key
				if !yield(Object{Key: key, Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified).UTC()}, nil) {
					return
				}
			}
		}
	}
}

var s3KeyBytes = regexp.MustCompile(`^[A-Za-z0-9._+@=,/-]*$`)

// startsKeys reports whether a key of vitrine's may start with prefix. Others are
// kept from the store, which may take them for a path.
func startsKeys(prefix string) bool {
	const longest = 1024 // bytes of a key in S3
	return len(prefix) <= longest && s3KeyBytes.MatchString(prefix) &&
		!strings.Contains(prefix, "//") && !strings.Contains(prefix, "/.") &&
		(strings.HasPrefix(prefix, vitrine.RecordsPrefix) || strings.HasPrefix(vitrine.RecordsPrefix, prefix) ||
			strings.HasPrefix(prefix, vitrine.ArtifactsPrefix) || strings.HasPrefix(vitrine.ArtifactsPrefix, prefix))
}

// Open is [Reader.Open].
func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return s.OpenRange(ctx, key, 0, -1)
}

// OpenRange is [Reader.OpenRange]. A stream that breaks off goes on where it was,
// as long as the object is the same.
func (s *S3) OpenRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return nil, err
	}
	r := &s3Stream{s: s, ctx: ctx, key: key, off: off, left: n, tries: s3Resumes}
	if off < 0 || off > vitrine.MaxArtifactSize || n == 0 {
		return r.empty()
	}
	if n > vitrine.MaxArtifactSize {
		r.left = -1
	}
	err := r.open()
	if errors.Is(err, errPastEnd) {
		return r.empty()
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

var errPastEnd = errors.New("no byte of it is in that range")

const (
	s3Resumes     = 5       // of a stream that does not get on
	s3ResumeAfter = 8 << 20 // bytes of progress give it all attempts back
)

// An s3Stream is an object, or a range of one, that is read.
type s3Stream struct {
	s    *S3
	ctx  context.Context
	key  string
	off  int64 // of the next byte
	left int64 // bytes to come; until the first answer -1 is to the end
	etag *string
	body io.ReadCloser // nil where nothing is to come

	tries int   // at resuming that are left
	since int64 // bytes since the last
}

// empty is the stream of no bytes at r.off, if the object has such an offset.
func (r *s3Stream) empty() (io.ReadCloser, error) {
	o, err := r.s.Stat(r.ctx, r.key)
	if err == nil {
		err = checkRange(r.key, r.off, o.Size)
	}
	if err != nil {
		return nil, err
	}
	return &s3Stream{ctx: r.ctx}, nil
}

// open asks for what is left, and checks that this is what comes.
func (r *s3Stream) open() error {
	what := "open object " + r.key
	in := &s3.GetObjectInput{Bucket: &r.s.bucket, Key: r.s.at(r.key), IfMatch: r.etag}
	if r.left >= 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.off, r.off+r.left-1))
	} else if r.off > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.off))
	}
	out, err := r.s.client.GetObject(r.ctx, in)
	if s3Status(err) == 412 {
		return fmt.Errorf("%s: it changed while it was read", what)
	} else if s3Status(err) == 416 {
		return fmt.Errorf("%s: %w", what, errPastEnd)
	} else if err != nil {
		return s3Error(r.ctx, what, err)
	}
	n, err := checkAnswer(out, r.off, r.left)
	if err == nil && r.etag != nil && aws.ToString(out.ETag) != *r.etag {
		err = errors.New("it changed while it was read")
	}
	if err != nil {
		out.Body.Close()
		return fmt.Errorf("%s: %w", what, err)
	}
	r.body, r.left, r.etag = out.Body, n, out.ETag
	return nil
}

// checkAnswer returns how many bytes an answer has, if it is what was asked for:
// n bytes from off, or with -1 all of them.
func checkAnswer(out *s3.GetObjectOutput, off, n int64) (int64, error) {
	length := aws.ToInt64(out.ContentLength)
	if e := aws.ToString(out.ContentEncoding); e != "" && e != "identity" {
		return 0, fmt.Errorf("the store sends it with the content encoding %s, and so other bytes", s3Printable(e))
	}
	if out.ContentLength == nil || length < 0 || length > vitrine.MaxArtifactSize {
		return 0, errors.New("the store does not say how many bytes come, or that it is too many")
	}
	got := aws.ToString(out.ContentRange)
	if off == 0 && n < 0 && got == "" || off == 0 && length == 0 && got == "" { // whole
		return length, nil
	}
	if got == "" {
		return 0, errors.New("the store sends all of it, not the range that was asked for")
	}
	var first, last, size int64
	if k, err := fmt.Sscanf(got, "bytes %d-%d/%d", &first, &last, &size); err != nil || k != 3 {
		return 0, fmt.Errorf("the store sends a range that can't be read: %s", s3Printable(got))
	}
	end := size
	if n >= 0 {
		end = min(off+n, size)
	}
	if first != off || last != end-1 || length != end-off || got != fmt.Sprintf("bytes %d-%d/%d", first, last, size) {
		return 0, fmt.Errorf("the store sends %s in %d bytes, not the range that was asked for", s3Printable(got), length)
	}
	return length, nil
}

// Read gives out no more than what was asked for, and io.EOF only after all of it.
func (r *s3Stream) Read(p []byte) (int, error) {
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if r.left == 0 {
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
		r.off, r.left, r.since = r.off+int64(n), r.left-int64(n), r.since+int64(n)
		if n > 0 {
			return n, nil // an error comes again with the next read
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			if err := r.resume(err); err != nil {
				return 0, err
			}
		}
	}
}

// resume opens a stream again that broke off with an error.
func (r *s3Stream) resume(cause error) error {
	if r.since >= s3ResumeAfter {
		r.tries = s3Resumes
	}
	r.since = 0
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		what := fmt.Sprintf("read object %s: %d bytes before its end", r.key, r.left)
		if stalled(cause) || r.tries == 0 || r.etag == nil {
			if errors.Is(cause, io.ErrUnexpectedEOF) {
				return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, io.ErrUnexpectedEOF)
			}
			return fmt.Errorf("%s: %w: %s", what, ErrUnavailable, s3Plain(cause))
		}
		select {
		case <-r.ctx.Done():
			continue
		case <-time.After(s3Jitter(s3Resumes-r.tries, r.s.times.backoff)):
		}
		r.tries--
		r.body.Close()
		r.body = io.NopCloser(strings.NewReader(""))
		err := r.open()
		if err == nil || !errors.Is(err, ErrUnavailable) {
			return err
		}
		cause = err
	}
}

// stalled reports whether nothing moved for so long that trying again would
// only double the wait.
func stalled(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// Close ends the stream.
func (r *s3Stream) Close() error {
	if r.body != nil {
		return r.body.Close()
	}
	return nil
}
