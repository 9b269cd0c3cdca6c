package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"vitrine"
)

const (
	// restTime is how long a store that was not available is not read again, so
	// that not every request waits for it.
	restTime = 5 * time.Second
	// patience is how long it may take to show that it is back.
	patience = 2 * time.Second
	// refusedTime is how long a store that took no object is offered builds last.
	refusedTime = 30 * time.Second
	// maxHomes bounds how many builds' stores are remembered; twice as many, at times.
	maxHomes = 1 << 15
)

// ErrIncomplete says that a listing of several stores lacks what those hold that
// are not available.
var ErrIncomplete = errors.New("the list may be incomplete")

// A Store is one of several that hold a history together.
type Store struct {
	Name string // for people; see [PlaceName]
	// Open is called when the store is first needed, and again until it succeeds.
	Open func(ctx context.Context) (Bucket, error)
}

// PlaceName is a storage URL without its parameters: fit for people to see.
func PlaceName(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		name, _, _ := strings.Cut(rawURL, "?")
		return name
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// OpenSeveral opens the buckets that URLs name, see [OpenBucket], as one: that of
// one URL, or [Several]. Of several, one that is not available now is opened when
// it is back.
func OpenSeveral(ctx context.Context, rawURLs []string) (Bucket, error) {
	if len(rawURLs) == 1 {
		return OpenBucket(ctx, rawURLs[0])
	}
	var stores []Store
	var down []error
	for _, place := range rawURLs {
		st := Store{Name: PlaceName(place), Open: func(ctx context.Context) (Bucket, error) { return OpenBucket(ctx, place) }}
		if slices.ContainsFunc(stores, func(o Store) bool { return o.Name == st.Name }) {
			return nil, fmt.Errorf("storage %s is given twice", st.Name)
		}
		b, err := st.Open(ctx)
		switch {
		case errors.Is(err, ErrUnavailable):
			down = append(down, err)
		case err != nil:
			return nil, err
		default:
			st.Open = func(context.Context) (Bucket, error) { return b, nil }
		}
		stores = append(stores, st)
	}
	if len(stores) == len(down) {
		return nil, errors.Join(down...)
	}
	return Several(ctx, stores...), nil
}

// Several makes one bucket of several. A build goes as a whole to the first store
// that takes its first object; an object is read from wherever it is. The bucket
// is a [Locator], an [Expirer], and a [Signer] if all stores are that can be
// opened now.
//
// While a store is not available, what is in no other is [ErrUnavailable], never
// fs.ErrNotExist, and a listing ends in an [ErrIncomplete] after all that the
// others have.
func Several(ctx context.Context, stores ...Store) Bucket {
	s := &several{recent: make(map[string]home)}
	signs := true
	for _, st := range stores {
		s.stores = append(s.stores, &member{Store: st})
		if b, err := s.stores[len(s.stores)-1].get(ctx); err == nil {
			_, ok := b.(Signer)
			signs = signs && ok
		}
	}
	if signs {
		return severalSigner{s}
	}
	return s
}

// A Locator is a bucket that can tell which of several stores has an object.
type Locator interface {
	// Locate returns the name of the store that has the object at key.
	Locate(ctx context.Context, key string) (string, error)
}

type several struct {
	stores []*member
	// first is held while a build's first object is stored: of two, the second
	// goes where the first went.
	first sync.Mutex

	mu               sync.Mutex
	recent, previous map[string]home // by uuid
}

// A home is the store that a build is in.
type home struct {
	store int
	// signature is all that is there of the build, if it is not nil. That tells
	// nobody of a build: with it, another store may still take the build.
	signature *signature
}

// A signature is that of a started.json which is not stored yet.
type signature struct {
	key  string
	text []byte
	opts CreateOptions
}

// A member is one of several stores, and how it did of late.
type member struct {
	Store

	mu      sync.Mutex
	bucket  Bucket    // nil: not opened yet
	suspect bool      // it was not available when it was last read
	rest    time.Time // until then it is not tried
	refused time.Time // when it last took no object
	cause   error     // why it was not available
}

// get returns the store's bucket, once that is open and answers. One of several
// callers finds out; the others are told at once that it is not available.
func (m *member) get(ctx context.Context) (Bucket, error) {
	m.mu.Lock()
	b, now := m.bucket, time.Now()
	if b != nil && !m.suspect {
		m.mu.Unlock()
		return b, nil
	}
	if now.Before(m.rest) {
		err := cmp.Or(m.cause, ErrUnavailable)
		m.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	m.rest = now.Add(restTime)
	m.mu.Unlock()

	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if b == nil {
		b, err = m.Open(short)
	} else if _, err = b.Stat(short, probeKey); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.bucket, m.suspect, m.rest = b, false, time.Time{}
		return b, nil
	case ctx.Err() != nil: // the caller gave up: that says nothing of the store
		m.rest = time.Time{}
	case short.Err() != nil:
		err = fmt.Errorf("no answer within %s: %w", patience, ErrUnavailable)
	}
	if errors.Is(err, ErrUnavailable) {
		m.cause = err
	}
	return nil, fmt.Errorf("%s: %w", m.Name, err)
}

// probeKey is one that no build has.
var probeKey = vitrine.StartedKey(time.Unix(0, 0), strings.Repeat("0", 32))

// read calls f with the store's bucket, and takes note of a store that is down.
func (m *member) read(ctx context.Context, f func(Bucket) error) error {
	b, err := m.get(ctx)
	if err != nil {
		return err
	}
	if err = f(b); errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		m.mu.Lock()
		m.suspect, m.rest, m.cause = true, time.Now().Add(restTime), err
		m.mu.Unlock()
	}
	return err
}

// write calls f with the store's bucket, and takes note of one that takes nothing.
func (m *member) write(ctx context.Context, f func(Bucket) error) error {
	b, err := m.get(ctx)
	if err == nil {
		err = f(b)
	}
	if err != nil && !isAnswer(ctx, err) {
		m.mu.Lock()
		m.refused = time.Now()
		m.mu.Unlock()
	}
	return err
}

// isAnswer reports whether an error would be the same of every store.
func isAnswer(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, fs.ErrExist) || errors.Is(err, ErrIntegrity)
}

// refusedLately reports whether the store is one to offer builds last.
func (m *member) refusedLately() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.suspect || time.Since(m.refused) < refusedTime
}

// order is that in which stores are asked: the one that has the build, then as
// they were given.
func (s *several) order(uuid string) []int {
	h, known := s.recall(uuid)
	var list []int
	if known {
		list = append(list, h.store)
	}
	for i := range s.stores {
		if !known || i != h.store {
			list = append(list, i)
		}
	}
	return list
}

func (s *several) recall(uuid string) (home, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.recent[uuid]
	if !ok {
		if h, ok = s.previous[uuid]; ok {
			s.keep(uuid, h)
		}
	}
	return h, ok
}

// found remembers a store that has something of a build.
func (s *several) found(uuid string, i int) {
	if h, known := s.recall(uuid); !known || h.store != i {
		s.remember(uuid, home{store: i})
	}
}

func (s *several) remember(uuid string, h home) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(uuid, h)
}

// keep remembers a build's store. s.mu is held.
func (s *several) keep(uuid string, h home) {
	if len(s.recent) >= maxHomes {
		s.recent, s.previous = make(map[string]home), s.recent
	}
	s.recent[uuid] = h
}

// find calls f with one store after the other, until one has what is looked for.
// A store that fails does not keep the next from having it.
func (s *several) find(ctx context.Context, key string, f func(Bucket) error) (int, error) {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return 0, err
	}
	var missing, failed error
	for _, i := range s.order(k.UUID) {
		err := s.stores[i].read(ctx, f)
		switch {
		case err == nil:
			s.found(k.UUID, i)
			return i, nil
		case ctx.Err() != nil:
			return 0, err
		case errors.Is(err, fs.ErrNotExist):
			missing = err
		case failed == nil:
			failed = err
		}
	}
	if failed != nil {
		return 0, failed
	}
	return 0, missing
}

// unknown makes the error of a store that did not say whether it has an object
// one by which callers can tell.
func unknown(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnavailable) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Open is [Reader.Open].
func (s *several) Open(ctx context.Context, key string) (r io.ReadCloser, err error) {
	_, err = s.find(ctx, key, func(b Bucket) (err error) {
		r, err = b.Open(ctx, key)
		return err
	})
	return r, unknown(err)
}

// OpenRange is [Reader.OpenRange].
func (s *several) OpenRange(ctx context.Context, key string, off, n int64) (r io.ReadCloser, err error) {
	_, err = s.find(ctx, key, func(b Bucket) (err error) {
		r, err = b.OpenRange(ctx, key, off, n)
		return err
	})
	return r, err // which may say that the offset is wrong
}

// Stat is [Reader.Stat].
func (s *several) Stat(ctx context.Context, key string) (o Object, err error) {
	_, err = s.find(ctx, key, func(b Bucket) (err error) {
		o, err = b.Stat(ctx, key)
		return err
	})
	return o, unknown(err)
}

// Locate is [Locator.Locate].
func (s *several) Locate(ctx context.Context, key string) (string, error) {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return "", err
	}
	h, known := s.recall(k.UUID)
	i := h.store
	if !known {
		i, err = s.find(ctx, key, func(b Bucket) error {
			_, err := b.Stat(ctx, key)
			return err
		})
	}
	if err != nil {
		return "", unknown(err)
	}
	return s.stores[i].Name, nil
}

// Delete is [Bucket.Delete], in every store.
func (s *several) Delete(ctx context.Context, key string) error {
	return s.all(ctx, func(b Bucket) error { return b.Delete(ctx, key) })
}

// Abort is [Bucket.Abort], in every store.
func (s *several) Abort(ctx context.Context, key string) error {
	return s.all(ctx, func(b Bucket) error { return b.Abort(ctx, key) })
}

// Expire is [Expirer.Expire], in every store that has the object and removes
// objects by itself.
func (s *several) Expire(ctx context.Context, key string, at time.Time) error {
	return s.all(ctx, func(b Bucket) error {
		e, ok := b.(Expirer)
		if !ok {
			return nil
		}
		if err := e.Expire(ctx, key, at); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func (s *several) all(ctx context.Context, f func(Bucket) error) error {
	var errs []error
	for _, m := range s.stores {
		if err := m.read(ctx, f); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
