package storage

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	s3Attempts       = 6                // at each request
	s3ConnectTimeout = 10 * time.Second // to connect, and again for TLS
	s3MaxRetryAfter  = 30 * time.Second // of what a store asks for
)

// s3HTTPClient is a client like base whose connections end when nothing moves on
// them for the time stall. Requests have no time-out as a whole: a body may be large.
func s3HTTPClient(base aws.HTTPClient, stall time.Duration) *awshttp.BuildableClient {
	client, ok := base.(*awshttp.BuildableClient) // with AWS_CA_BUNDLE, if that is set
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	dialer := net.Dialer{Timeout: s3ConnectTimeout, KeepAlive: 30 * time.Second}
	return client.WithTransportOptions(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return stallConn{c, stall}, nil
		}
		t.TLSHandshakeTimeout = s3ConnectTimeout
		t.ResponseHeaderTimeout = stall
		t.MaxIdleConnsPerHost = 32
	})
}

// A stallConn times out when no byte comes or goes for a while. A read pends
// during a whole upload, so writing puts its deadline off too.
type stallConn struct {
	net.Conn
	stall time.Duration
}

func (c stallConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c stallConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// newRetryer makes what decides which requests are sent again, and when.
func newRetryer(backoff time.Duration) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = s3Attempts
		o.RateLimiter = ratelimit.None // a bad hour must not make later requests fail at once
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, err error) (time.Duration, error) {
			return max(s3Jitter(attempt, backoff), s3RetryAfter(err)), nil
		})
		notOurs := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if b := (*bodyError)(nil); errors.As(err, &b) { // the store is not to blame
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{notOurs}, o.Retryables...)
		o.Retryables = append(o.Retryables,
			retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{429: {}}},
			retry.RetryableErrorCode{Codes: map[string]struct{}{codeConflict: {}, "OperationAborted": {}, "IncompleteBody": {}}})
	})
}

// s3Jitter is a random wait that grows with each attempt, up to a longest.
func s3Jitter(attempt int, longest time.Duration) time.Duration {
	return rand.N(min(100*time.Millisecond<<min(attempt, 10), longest)) + time.Millisecond
}

// s3RetryAfter is how long an answer asks us to wait, if it does.
func s3RetryAfter(err error) time.Duration {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return 0
	}
	seconds, err := strconv.Atoi(answer.Response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds), s3MaxRetryAfter/time.Second) * time.Second
}
