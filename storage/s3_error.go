package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Codes of S3's errors that decisions hang on.
const (
	codePrecondition = "PreconditionFailed"
	codeConflict     = "ConditionalRequestConflict"
	codeNoUpload     = "NoSuchUpload"
)

// s3Error makes the SDK's error ours. what names the operation and the key. The
// SDK's text has the URL of the request in it, and so, of a signed one, a secret:
// ours has what the store said, and no URL.
func s3Error(ctx context.Context, what string, err error) error {
	var body *bodyError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case errors.As(err, &body):
		return fmt.Errorf("%s: %w", what, body.err)
	}
	said, status, code := s3Plain(err), s3Status(err), s3Code(err)
	if s3NoCredentials(err) {
		return fmt.Errorf("%s: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role: %s", what, said)
	}
	if status != 0 || code != "" {
		said = s3Answer(status, code, err)
	}
	switch kind := s3Kind(status, code, err); kind {
	case nil:
		return fmt.Errorf("%s: %s", what, said)
	case fs.ErrNotExist:
		return fmt.Errorf("%s: %w", what, kind)
	default:
		return fmt.Errorf("%s: %w: %s", what, kind, said)
	}
}

// s3NoCredentials reports whether a request was not even sent. The SDK has no type
// for that.
func s3NoCredentials(err error) bool {
	return strings.Contains(err.Error(), "get credentials: ")
}

// s3Answer is an error answer in words.
func s3Answer(status int, code string, err error) string {
	said := "the store answered"
	if status != 0 {
		said += fmt.Sprintf(" %d", status)
	}
	if code != "" {
		said += " " + s3Printable(code)
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" && api.ErrorMessage() != code {
		said += ": " + s3Printable(api.ErrorMessage())
	}
	if status == 403 {
		said += "; look at the credentials, and at what the bucket's policy lets them do"
	}
	return said
}

// s3Kind is the error by which callers decide, or nil.
func s3Kind(status int, code string, err error) error {
	switch code {
	case "NoSuchKey", "NotFound":
		return fs.ErrNotExist
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidPart", "InvalidPartOrder":
		return ErrIntegrity
	case "SlowDown", "RequestTimeout", "IncompleteBody", "OperationAborted", codeConflict:
		return ErrUnavailable
	case "NotImplemented":
		return nil
	}
	switch {
	case status == 429, status >= 500 && status != 501:
		return ErrUnavailable
	case status != 0 || code != "":
		return nil
	}
	var sent *smithyhttp.RequestSendError
	var network net.Error
	if errors.As(err, &sent) || errors.As(err, &network) {
		return ErrUnavailable
	}
	return nil
}

// s3Status is the HTTP status of an error answer, or 0.
func s3Status(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// s3Code is S3's code of an error answer, or empty.
func s3Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// s3Lacks reports whether a store says that it can't do such a thing at all.
func s3Lacks(err error) bool {
	switch s3Code(err) {
	case "NotImplemented", "MethodNotAllowed", "XNotImplemented":
		return true
	}
	return s3Status(err) == 501 || s3Status(err) == 405
}

// urlTail is what may be secret in a URL inside a message.
var urlTail = regexp.MustCompile(`\?[^\s"']+`)

// s3Plain is the text of an error that is no answer of a store, without URLs.
func s3Plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return s3Printable(urlTail.ReplaceAllString(err.Error(), "?…"))
}

// s3Printable bounds what came from outside, and quotes it if it could do
// something to a terminal.
func s3Printable(s string) string {
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
