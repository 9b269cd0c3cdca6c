package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// List is [Reader.List]. What several stores have under one key is in it once.
func (s *several) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		lists := make([]*listing, len(s.stores))
		for i, m := range s.stores {
			next, stop := iter.Pull2(m.list(ctx, prefix))
			defer stop()
			lists[i] = &listing{next: next}
			lists[i].advance()
		}
		for ctx.Err() == nil {
			var least *listing
			for _, l := range lists {
				if !l.ended && (least == nil || l.at.Key < least.at.Key) {
					least = l
				}
			}
			if least == nil {
				break
			}
			o := least.at
			for _, l := range lists {
				if !l.ended && l.at.Key == o.Key {
					l.advance()
				}
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Object{}, err)
			return
		}
		var errs []error
		for _, l := range lists {
			if l.err != nil {
				errs = append(errs, l.err)
			}
		}
		if err := s.incomplete(errs); err != nil {
			yield(Object{}, err)
		}
	}
}

// incomplete is what the errors of some stores mean for what all have.
func (s *several) incomplete(errs []error) error {
	if len(errs) == 0 || len(errs) == len(s.stores) {
		return errors.Join(errs...)
	}
	return fmt.Errorf("%w: %w", ErrIncomplete, errors.Join(errs...))
}

// A listing is one store's list under way.
type listing struct {
	next  func() (Object, error, bool)
	at    Object
	ended bool
	err   error
}

func (l *listing) advance() {
	o, err, ok := l.next()
	l.at, l.err, l.ended = o, err, !ok || err != nil
}

// list lists one store, or says why it can't.
func (m *member) list(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		err := m.read(ctx, func(b Bucket) error {
			for o, err := range b.List(ctx, prefix) {
				if err != nil {
					return err
				}
				if !yield(o, nil) {
					return errStop
				}
			}
			return nil
		})
		if err != nil && err != errStop {
			yield(Object{}, err)
		}
	}
}

// Uploads is [Bucket.Uploads].
func (s *several) Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		var errs []error
		for _, m := range s.stores {
			err := m.read(ctx, func(b Bucket) error {
				for u, err := range b.Uploads(ctx, prefix) {
					if err != nil {
						return err
					}
					if !yield(u, nil) {
						return errStop
					}
				}
				return nil
			})
			if err == errStop {
				return
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
		if err := s.incomplete(errs); err != nil {
			yield(Upload{}, err)
		}
	}
}
