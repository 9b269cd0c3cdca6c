package client

import (
	"context"
	"errors"
	"io"

	"vitrine"
	"vitrine/storage"
)

// PutPart is [storage.Writer.PutPart].
func (p *Publisher) PutPart(context.Context, string, vitrine.Part, io.Reader) error {
	return errors.ErrUnsupported
}

// Complete is [storage.Writer.Complete].
func (p *Publisher) Complete(context.Context, string, []vitrine.Part, storage.CreateOptions) error {
	return errors.ErrUnsupported
}
