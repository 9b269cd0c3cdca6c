package storage

import (
	"context"
	"fmt"
	"time"
)

const (
	uploadTrust = time.Minute // before we ask the store whether an upload is still there
	uploadsKept = 10_000      // in memory; they are found again
)

// An s3Upload is what we know of the upload that takes the parts of a key.
type s3Upload struct {
	users int // calls that hold it; guarded by S3.mu

	lock   chan struct{} // guards the rest; whoever waits for it can be cancelled
	id     string        // empty: unknown
	seen   time.Time     // when the store had it last
	ours   bool          // this process began it
	signed bool          // somebody may be sending a part without us
}

// hold returns what is known of a key's upload, and a function to let go of it.
func (s *S3) hold(key string) (*s3Upload, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[key]
	if u == nil {
		if len(s.uploads) >= uploadsKept {
			for k, other := range s.uploads {
				if other.users == 0 {
					delete(s.uploads, k)
				}
			}
		}
		u = &s3Upload{lock: make(chan struct{}, 1)}
		s.uploads[key] = u
	}
	u.users++
	return u, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		u.users--
		if u.users == 0 && u.id == "" {
			delete(s.uploads, key)
		}
	}
}

// with calls f while nobody else looks at u.
func (u *s3Upload) with(ctx context.Context, f func() error) error {
	select {
	case u.lock <- struct{}{}:
		defer func() { <-u.lock }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget drops what is known of an upload that is gone.
func (u *s3Upload) forget(ctx context.Context) error {
	return u.with(ctx, func() error {
		u.id, u.ours, u.signed = "", false, false
		return nil
	})
}

// uploadID returns the id of the upload that takes the parts of a key, and begins
// one if there is none.
func (s *S3) uploadID(ctx context.Context, key string, u *s3Upload, signed bool) (id string, err error) {
	err = u.with(ctx, func() error {
		u.signed = u.signed || signed
		if u.id == "" || time.Since(u.seen) >= uploadTrust {
			if err := s.findUpload(ctx, key, u); err != nil {
				return err
			}
		}
		id = u.id
		return nil
	})
	return id, err
}

// findUpload sets u to the upload of a key that is there, or begins one. It keeps
// its own only if it sees no other afterwards: of two that begin at once, at least
// one sees the other and gives up. When they began would not tell who is first,
// for some stores say when an upload changed.
func (s *S3) findUpload(ctx context.Context, key string, u *s3Upload) error {
	const tries = 8
	for try := range tries {
		ids, err := s.uploadsOf(ctx, key)
		if err != nil {
			return err
		}
		begun := ""
		if len(ids) == 0 {
			if begun, err = s.beginUpload(ctx, key, s3MediaType(CreateOptions{}), nil); err != nil {
				return err
			}
			ids, err = s.uploadsOf(ctx, key)
			if err != nil || len(ids) != 1 || ids[0] != begun {
				s.abortUpload(context.WithoutCancel(ctx), key, begun)
				ids = nil
			}
			if err != nil {
				return err
			}
		}
		// Several stay where a writer has died: then any will do.
		if len(ids) == 1 || len(ids) > 1 && try >= tries/2 {
			u.ours = u.ours && u.id == ids[0] || begun == ids[0]
			u.id, u.seen = ids[0], time.Now()
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s3Jitter(try, s.times.backoff)):
		}
	}
	return fmt.Errorf("%w: others begin to store it all the time", ErrUnavailable)
}

// dropEmpty removes an upload that a failed call leaves without a part, if nobody
// else can be about to send one.
func (s *S3) dropEmpty(ctx context.Context, key string, u *s3Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s3CleanUpTime)
	defer cancel()
	u.with(ctx, func() error {
		s.mu.Lock()
		alone := u.users == 1 // others that come now wait for the lock
		s.mu.Unlock()
		if !alone || !u.ours || u.signed || u.id == "" {
			return nil
		}
		parts, err := s.listParts(ctx, key, u.id)
		if err == nil && len(parts) == 0 && s.abortUpload(ctx, key, u.id) == nil {
			u.id, u.ours = "", false
		}
		return err
	})
}
