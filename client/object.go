package client

import (
	"context"
	"io"
)

// An Object is one object of the history, read by ranges. It implements
// remote.Source: all ranges are of the version that the first one was of.
type Object struct {
	client *Client
	key    string
}

// Object returns the object at a key, of which nothing is known yet.
func (c *Client) Object(key string) *Object { return &Object{c, key} }

// OpenRange opens n bytes from off on, as [storage.Reader] says.
func (o *Object) OpenRange(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return o.client.OpenRange(ctx, o.key, off, n)
}
