package storage

import (
	"context"
	"errors"
	"net/url"
)

func openSwift(context.Context, *url.URL) (Bucket, error) { return nil, errors.ErrUnsupported }
