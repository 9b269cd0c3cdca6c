// Package server shows a history to everybody over HTTP, and lets publishers
// add builds to it.
//
// It holds no key that opens a log and never sees the plaintext of a sealed
// file: it must not depend on package crypto. What it serves from a bucket was
// named by a record that it checked; what it refuses, it refuses with a reason.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/keyring"
	"vitrine/server/index"
	"vitrine/storage"
)

// Config says what a server serves. All fields but those with a default are needed.
type Config struct {
	// Tenant is the name of the history, as it stands in records and addresses.
	Tenant string
	// Bucket holds the objects: the truth.
	Bucket storage.Bucket
	// Index is the cache that the lists are made from.
	Index *index.Index
	// Keyring says who may read and who may publish.
	Keyring *keyring.Repository
	// PublicURL is the address that people reach the server at, such as
	// https://vitrine.example.org.
	PublicURL string
	// Log takes one line a request and what goes wrong. It never holds a token.
	Log *slog.Logger
	// Direct has bytes go from and to the store itself, by signed requests. Bucket
	// must be a [storage.Signer].
	Direct bool
	// Collect has the server remove, every few hours, the artifacts of builds that
	// have expired, and orphans.
	Collect bool
	// MaxArtifactSize bounds an uploaded artifact, in bytes. Default
	// [vitrine.MaxArtifactSize].
	MaxArtifactSize int64
	// MaxBuildSize bounds what one build may bring, complete or in parts, in bytes.
	// Default twice MaxArtifactSize.
	MaxBuildSize int64
	// MaxPending bounds what all builds of a service that are not published yet
	// may have brought, in bytes. Default eight times MaxArtifactSize.
	MaxPending int64
	// InterruptedAfter is how long nothing is heard of a build before what came of
	// it is made readable, and the build shown as interrupted. Default 5 minutes.
	InterruptedAfter time.Duration
}

const (
	// refreshEvery is the time between looks for new commits in the keyring and
	// for records that others put into the bucket.
	refreshEvery = time.Minute
	// syncBack is how far back from now the bucket is looked through each time:
	// a build's records lie under the day of its start.
	syncBack = 48 * time.Hour
	// A build may come days after its start. So the bucket is looked through as
	// far as lookBack every lookBackEvery, and when the server starts.
	lookBack      = vitrine.MaxBuildAge + 24*time.Hour
	lookBackEvery = 15 * time.Minute

	// lookAgainAfter is the least time between looks for a newer keyring that
	// requests ask for.
	lookAgainAfter = 2 * time.Second

	requestTimeout = 30 * time.Second // to read a request or write an answer that is no artifact
	stallTimeout   = time.Minute      // an artifact's transfer may pause this long
	stopTimeout    = 20 * time.Second // for requests under way when the server stops
	maxHeaderBytes = 64 << 10
)

// A Server is one tenant's history on the web.
type Server struct {
	Config
	echo   *echo.Echo
	tokens tokens
	signer storage.Signer // nil unless Direct
	// uploads says what this process saw stored: the hash of an object need not
	// be computed again at commit.
	uploads uploads

	mu     sync.Mutex
	keys   *keyring.Keyring // last good one
	looked time.Time        // when a request last had the keyring refreshed
	synced bool
	// lookedBack is when the bucket was last looked through as far as lookBack.
	lookedBack time.Time
	health     map[string]error // of the parts of a refresh, by name

	beginning sync.Mutex // one build begins at a time: see takeUUID

	namesMu   sync.Mutex
	lastNames index.Names
	namesAt   time.Time // when they were read

	listeners listeners
	peeks     *peeks

	words        words
	interrupting sync.Mutex // one build is given up, or taken back, at a time
}

// New checks the configuration and returns a server that has not yet looked at
// its keyring or its bucket.
func New(c Config) (*Server, error) {
	if !vitrine.ValidName(c.Tenant) {
		return nil, fmt.Errorf("tenant %q: want lower-case letters, digits and . _ -", c.Tenant)
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("public URL %q: want one such as https://vitrine.example.org", c.PublicURL)
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if c.MaxArtifactSize == 0 {
		c.MaxArtifactSize = vitrine.MaxArtifactSize
	}
	if c.MaxBuildSize == 0 {
		c.MaxBuildSize = 2 * c.MaxArtifactSize
	}
	if c.MaxPending == 0 {
		c.MaxPending = 8 * c.MaxArtifactSize
	}
	if c.InterruptedAfter <= 0 {
		c.InterruptedAfter = interruptedAfter
	}
	s := &Server{Config: c, health: make(map[string]error), words: words{builds: make(map[string]*word)}, peeks: newPeeks()}
	s.uploads = uploads{maxBuild: c.MaxBuildSize, maxService: c.MaxPending, builds: make(map[string]*buildUploads)}
	if c.Direct {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		if s.signer, err = openSigner(ctx, c.Bucket); err != nil {
			return nil, err
		}
	}
	s.listeners = listeners{by: make(map[string]int), wake: make(map[chan struct{}]bool), stopped: make(chan struct{})}
	rand.Read(s.tokens.secret[:])
	s.echo = s.routes()
	return s, nil
}

// Handler is the server as an HTTP handler.
func (s *Server) Handler() http.Handler { return s.echo }

// Refresh looks for a new keyring and for records that the index does not have.
// It keeps what was good before on failure.
func (s *Server) Refresh(ctx context.Context) error {
	keyringErr := s.refreshKeyring(ctx)
	now := time.Now()
	s.mu.Lock()
	far := now.Sub(s.lookedBack) > lookBackEvery
	s.mu.Unlock()
	since := now.Add(-syncBack)
	if far {
		since = now.Add(-lookBack)
	}
	if s.Index.Rebuilt() {
		since = time.Time{}
	}
	report, indexErr := s.Index.Sync(ctx, s.Bucket, since)
	for _, p := range report.Problems {
		s.Log.Warn("record not shown", "problem", p)
	}
	if report.Added > 0 {
		s.Log.Info("index synced", "added", report.Added)
	}
	s.note("keyring", keyringErr)
	s.note("bucket", indexErr)
	// One record that the store does not give out must not stop all others, nor
	// one store of several; it is tried again at each refresh.
	incomplete := errors.Is(indexErr, storage.ErrIncomplete)
	if indexErr == nil || incomplete || errors.Is(indexErr, index.ErrUnreadable) {
		s.mu.Lock()
		s.synced = true
		if far && !incomplete {
			s.lookedBack = now
		}
		s.mu.Unlock()
	}
	return errors.Join(keyringErr, indexErr)
}

func (s *Server) refreshKeyring(ctx context.Context) error {
	refreshErr := s.Keyring.Refresh(ctx)
	k, err := s.Keyring.Head(ctx)
	if err != nil {
		return errors.Join(refreshErr, err)
	}
	s.mu.Lock()
	s.keys = k
	s.mu.Unlock()
	return refreshErr
}

// lookNow looks for a newer keyring because a request seems to know one. One that
// comes right after another is told to come again: the look may be under way.
func (s *Server) lookNow(ctx context.Context) error {
	s.mu.Lock()
	early := time.Since(s.looked) < lookAgainAfter
	if !early {
		s.looked = time.Now()
	}
	s.mu.Unlock()
	if early {
		return errUnavailable("a newer keyring is being looked for")
	}
	s.note("keyring", s.refreshKeyring(ctx))
	return nil
}

// note keeps the outcome of a part of the refresh for /readyz, and logs it when
// it changes.
func (s *Server) note(part string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.health[part]
	s.health[part] = err
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.Log.Error("refresh failed, the last good state stays in use", "part", part, "error", err)
	case err == nil && before != nil:
		s.Log.Info("refresh works again", "part", part)
	}
}

// keyringNow is the last good keyring, or an error before there was one.
func (s *Server) keyringNow() (*keyring.Keyring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return nil, errUnavailable("the keyring could not be read yet")
	}
	return s.keys, nil
}

// Serve answers on l until ctx ends, then lets requests under way finish.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	h.RegisterOnShutdown(s.listeners.stop) // they would never finish
	refreshing, stopRefresh := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() { s.refreshLoop(refreshing) })
	loop.Go(func() { s.changesLoop(refreshing) })
	loop.Go(func() { s.interruptLoop(refreshing) })
	if s.Collect {
		loop.Go(func() { s.collectLoop(refreshing) })
	}
	defer loop.Wait() // it uses the index, which the caller closes
	defer stopRefresh()

	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err := h.Shutdown(grace)
		if err != nil {
			err = errors.Join(fmt.Errorf("requests still under way were cut: %w", err), h.Close())
		}
		stopped <- err
	}()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func (s *Server) refreshLoop(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		s.Refresh(ctx) // what fails is noted
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
