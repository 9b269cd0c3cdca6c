package storage

import (
	"context"
	"errors"
	"net/url"
)

func openS3(context.Context, *url.URL) (Bucket, error) { return nil, errors.ErrUnsupported }
