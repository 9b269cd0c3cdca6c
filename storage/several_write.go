package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"vitrine"
)

// Create is [Writer.Create].
func (s *several) Create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	if err := checkSize(opts); err != nil {
		return fmt.Errorf("create object %s: %w", key, err)
	}
	var only *signature
	if k, err := vitrine.ParseKey(key); err == nil && k.Kind == vitrine.StartedSignatureKind && opts.Size <= vitrine.MaxSignatureSize {
		text, err := io.ReadAll(newBodyReader(ctx, body, opts))
		if err != nil {
			return fmt.Errorf("create object %s: %w", key, err)
		}
		body, only = bytes.NewReader(text), &signature{key, text, opts}
	}
	return s.write(ctx, key, only, body, func(b Bucket, body io.Reader) error { return b.Create(ctx, key, body, opts) })
}

// PutPart is [Writer.PutPart].
func (s *several) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	if _, err := partOptions(key, part); err != nil {
		return err
	}
	return s.write(ctx, key, nil, body, func(b Bucket, body io.Reader) error { return b.PutPart(ctx, key, part, body) })
}

// Complete is [Writer.Complete], in the store that has the parts.
func (s *several) Complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	i, err := s.home(ctx, key)
	if err != nil {
		return err
	}
	return s.stores[max(i, 0)].write(ctx, func(b Bucket) error { return b.Complete(ctx, key, parts, opts) })
}

// Parts is [Bucket.Parts].
func (s *several) Parts(ctx context.Context, key string) (parts []vitrine.Part, err error) {
	i, err := s.home(ctx, key)
	if err != nil || i < 0 {
		return nil, err
	}
	err = s.stores[i].read(ctx, func(b Bucket) error {
		parts, err = b.Parts(ctx, key)
		return err
	})
	return parts, err
}

// home is the store that has something of a build, or -1. Its error says that a
// store which may have is not available.
func (s *several) home(ctx context.Context, key string) (int, error) {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return -1, err
	}
	if h, known := s.recall(k.UUID); known {
		return h.store, nil
	}
	prefix := vitrine.ArtifactsPrefix + k.UUID + "/"
	if k.Kind != vitrine.ArtifactKind {
		prefix = vitrine.DayPrefix(k.Day) + k.UUID + "/"
	}
	var failed error
	begun := -1 // a store that has nothing but the signature of a started.json
	for i, m := range s.stores {
		found := false
		err := m.read(ctx, func(b Bucket) error {
			for o, err := range b.List(ctx, prefix) {
				if o.Key == vitrine.SignatureKey(vitrine.StartedKey(k.Day, k.UUID)) { // the last of a build's keys
					begun = i
					return nil
				}
				found = err == nil
				return err
			}
			if k.Kind == vitrine.ArtifactKind {
				for _, err := range b.Uploads(ctx, prefix) {
					found = err == nil
					return err
				}
			}
			return nil
		})
		switch {
		case found:
			s.found(k.UUID, i)
			return i, nil
		case ctx.Err() != nil:
			return -1, err
		case failed == nil:
			failed = err
		}
	}
	if begun >= 0 {
		return begun, nil
	}
	return -1, unknown(failed)
}

// write calls put with the store that has the build, or else with one after the
// other until one takes what it is given. Where all that was stored of a build is
// the signature of its started.json, the next store gets that first. If put stores
// such a signature, it is only.
func (s *several) write(ctx context.Context, key string, only *signature, body io.Reader, put func(b Bucket, body io.Reader) error) error {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return err
	}
	if h, known := s.recall(k.UUID); known && h.signature == nil {
		return s.stores[h.store].write(ctx, func(b Bucket) error { return put(b, body) })
	}
	s.first.Lock()
	defer s.first.Unlock()
	// What a store that is not available may have of it shows up later: the
	// index knows what to make of two builds of one uuid.
	at, err := s.home(ctx, key)
	if ctx.Err() != nil {
		return err
	}
	h, known := s.recall(k.UUID)
	if at >= 0 && h.signature == nil && (known || only == nil) {
		return s.stores[at].write(ctx, func(b Bucket) error { return put(b, body) })
	}
	again := &rewinder{body: body}
	var errs []error
	for _, i := range s.offers(at) {
		if !again.rewind() {
			break
		}
		err := s.stores[i].write(ctx, func(b Bucket) error {
			if sig := h.signature; sig != nil && i != at && only == nil {
				if err := b.Create(ctx, sig.key, bytes.NewReader(sig.text), sig.opts); err != nil {
					return err
				}
			}
			return put(b, again.reader())
		})
		if err == nil {
			s.remember(k.UUID, home{i, only})
			return nil
		}
		errs = append(errs, err)
		if isAnswer(ctx, err) {
			break
		}
	}
	return errors.Join(errs...)
}

// offers is the order in which stores are offered a build: the one where it began
// first, if one is given.
func (s *several) offers(at int) []int {
	var first, last []int
	for i, m := range s.stores {
		if i == at {
			first = slices.Insert(first, 0, i)
		} else if m.refusedLately() {
			last = append(last, i)
		} else {
			first = append(first, i)
		}
	}
	return slices.Concat(first, last)
}

// A rewinder gives out a body to one store after the other.
type rewinder struct {
	body io.Reader
	read bool
}

// rewind goes back to the body's start, if something of it was read and it can.
func (r *rewinder) rewind() bool {
	if !r.read {
		return true
	}
	seeker, ok := r.body.(io.Seeker)
	if !ok {
		return false
	}
	_, err := seeker.Seek(0, io.SeekStart)
	return err == nil
}

// reader is the body, and seeks if that does.
func (r *rewinder) reader() io.Reader {
	if seeker, ok := r.body.(io.Seeker); ok {
		return struct {
			io.Reader
			io.Seeker
		}{r, seeker}
	}
	return r
}

func (r *rewinder) Read(p []byte) (int, error) {
	r.read = true
	return r.body.Read(p)
}

// A severalSigner is several stores that all sign.
type severalSigner struct{ *several }

// SignPart is [Signer.SignPart], for the store that has the build. For one that no
// store has it is an error if any store can't sign: it could get the next build.
func (s severalSigner) SignPart(ctx context.Context, key string, part vitrine.Part, until time.Time) (r Request, err error) {
	i, err := s.home(ctx, key)
	if err != nil {
		return r, err
	}
	if i < 0 {
		i = s.offers(-1)[0]
		for other := range s.stores {
			err := s.sign(ctx, other, func(b Signer) error {
				_, err := b.SignPart(ctx, key, part, until)
				return err
			})
			if err != nil && !errors.Is(err, ErrUnavailable) {
				return r, err
			}
		}
	}
	err = s.sign(ctx, i, func(b Signer) error {
		r, err = b.SignPart(ctx, key, part, until)
		return err
	})
	return r, err
}

// SignOpen is [Signer.SignOpen], for the store that has the object.
func (s severalSigner) SignOpen(ctx context.Context, key, filename string, until time.Time) (u string, err error) {
	i, err := s.find(ctx, key, func(b Bucket) error {
		_, err := b.Stat(ctx, key)
		return err
	})
	if err != nil {
		return "", unknown(err)
	}
	err = s.sign(ctx, i, func(b Signer) error {
		u, err = b.SignOpen(ctx, key, filename, until)
		return err
	})
	return u, err
}

func (s severalSigner) sign(ctx context.Context, i int, f func(Signer) error) error {
	return s.stores[i].read(ctx, func(b Bucket) error {
		signer, ok := b.(Signer)
		if !ok { // it was opened later than the others
			return fmt.Errorf("%s: %w: it can't sign requests", s.stores[i].Name, errors.ErrUnsupported)
		}
		return f(signer)
	})
}
