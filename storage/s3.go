package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"vitrine"
)

// An S3 is a bucket in S3 or in a store that speaks its protocol. Each object is
// the S3 object that its key names, below a prefix.
type S3 struct {
	client  *s3.Client
	patient func(*s3.Options) // of requests that a store may think about for long
	times   s3Times

	endpoint  string // a URL, or empty for Amazon's own
	bucket    string
	prefix    string // of every key: empty, or ends in a slash
	publicURL string // of the place that prefix names, without a slash at its end; or empty

	// conditions says whether the store honours If-None-Match, once it is known.
	conditions atomic.Int32
	refused    atomic.Int64 // when it last said that it knows no such header, in Unix seconds

	mu      sync.Mutex
	uploads map[string]*s3Upload // by key; see hold
}

const (
	conditionsUnknown int32 = iota
	conditionsHeld          // a write over an object was refused
	conditionsMissing       // such a header is refused, or ignored
)

// conditionsTime is how long a refusal of such headers is believed: it may have
// been that of something on the way, or of a store that is renewed since.
const conditionsTime = 10 * time.Minute

// s3Location is what a storage URL says.
type s3Location struct {
	bucket, prefix, endpoint, region, publicURL string
	pathStyle                                   bool
}

var (
	s3BucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$`)
	s3Region     = regexp.MustCompile(`^[A-Za-z0-9-]{1,63}$`)
)

// parseS3 reads a storage URL. Its errors repeat no value but the bucket's name:
// somebody may have put a secret into one.
func parseS3(u *url.URL) (s3Location, error) {
	l := s3Location{bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if !s3BucketName.MatchString(l.bucket) {
		return l, errors.New("storage s3://: want s3://bucket/prefix, a bucket's name having 3 to 63 letters, digits, dots, dashes")
	}
	fail := func(format string, args ...any) (s3Location, error) {
		return l, fmt.Errorf("storage s3://"+l.bucket+": "+format, args...)
	}
	if l.prefix != "" {
		if err := vitrine.ValidPath(l.prefix); err != nil {
			return fail("prefix %w", err)
		}
		l.prefix += "/"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("what follows the ? is not NAME=VALUE&NAME=VALUE")
	}
	for name, values := range query {
		value, good := values[0], len(values) == 1
		switch name {
		case "endpoint":
			l.endpoint = strings.TrimRight(value, "/")
			good = good && isWebURL(value)
		case "public_url":
			l.publicURL = strings.TrimRight(value, "/")
			good = good && isWebURL(value)
		case "region":
			l.region = value
			good = good && s3Region.MatchString(value)
		case "path_style":
			l.pathStyle = value == "true"
			good = good && (value == "true" || value == "false")
		default:
			return fail("unknown parameter %.40q; want endpoint, region, path_style, public_url; credentials come from the environment", name)
		}
		if !good {
			return fail("parameter %s: want endpoint=http://HOST:PORT, region=NAME, path_style=true or false, public_url=https://HOST/PATH, each once", name)
		}
	}
	return l, nil
}

// isWebURL reports whether s is a URL to which a path may be joined.
func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// openS3 opens the bucket that a URL names, and makes sure that it is there.
func openS3(ctx context.Context, u *url.URL) (Bucket, error) {
	s, err := newS3(ctx, u, s3DefaultTimes)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func newS3(ctx context.Context, u *url.URL, times s3Times) (*S3, error) {
	l, err := parseS3(u)
	if err != nil {
		return nil, err
	}
	s := &S3{
		endpoint: l.endpoint, bucket: l.bucket, prefix: l.prefix, publicURL: l.publicURL,
		times: times, uploads: make(map[string]*s3Upload),
	}
	what := "storage s3://" + l.bucket
	var options []func(*config.LoadOptions) error
	if l.region != "" {
		options = append(options, config.WithRegion(l.region))
	}
	// The SDK's warnings go to standard error, in its own words.
	options = append(options, config.WithLogger(logging.Nop{}))
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, s3Error(ctx, what, err)
	}
	if cfg.Region == "" {
		if l.endpoint == "" && cfg.BaseEndpoint == nil {
			return nil, fmt.Errorf("%s: no region; say region=NAME behind the ?, or set AWS_REGION", what)
		}
		cfg.Region = "us-east-1" // what stores take that have none
	}
	s.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.HTTPClient = s3HTTPClient(cfg.HTTPClient, times.stall)
		if l.endpoint != "" {
			o.BaseEndpoint = aws.String(l.endpoint)
		}
		o.UsePathStyle = l.pathStyle
		o.Retryer = newRetryer(times.backoff)
		o.RetryMaxAttempts = 0 // ours counts
		// We send the SHA-256 ourselves. The SDK's own choice is a CRC in a
		// trailer, which older stores don't know.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	patient := s3HTTPClient(cfg.HTTPClient, times.patience)
	s.patient = func(o *s3.Options) { o.HTTPClient = patient }
	return s, s.checkBucket(ctx)
}

// checkBucket is an error, with what to do about it, if the bucket is not there.
func (s *S3) checkBucket(ctx context.Context) error {
	what := "storage s3://" + s.bucket
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket})
	switch status := s3Status(err); {
	case status == 404:
		return fmt.Errorf("%s: there is no such bucket; if a history is to begin there, make it: aws s3api create-bucket --bucket %s%s",
			what, s.bucket, s.endpointFlag())
	case status == 301 || status == 307 || status == 400:
		return fmt.Errorf("%w; if the bucket is in another region, say region=NAME", s3Error(ctx, what, err))
	case err != nil:
		return s3Error(ctx, what, err)
	}
	return nil
}

// endpointFlag is what a command of Amazon's client needs to reach this store.
func (s *S3) endpointFlag() string {
	if s.endpoint == "" {
		return ""
	}
	return " --endpoint-url " + s.endpoint
}

// at is the name of a key's object in the store.
func (s *S3) at(key string) *string { return aws.String(s.prefix + key) }

// s3Times bound how long a store may take.
type s3Times struct {
	stall    time.Duration // without a byte in either direction, while one is awaited
	patience time.Duration // the same, where the store joins what is large
	backoff  time.Duration // the longest wait between two attempts
}

var s3DefaultTimes = s3Times{stall: time.Minute, patience: 10 * time.Minute, backoff: 5 * time.Second}
