package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"filippo.io/age"

	"vitrine"
	"vitrine/client"
	"vitrine/crypto"
	"vitrine/grep"
	"vitrine/keyring"
	"vitrine/remote"
)

// A grepper searches builds, several at once.
type grepper struct {
	client     *client.Client
	pattern    *grep.Pattern
	options    grep.Options
	form       grepForm
	artifacts  []vitrine.Glob // none: all text
	noIndex    bool
	named      bool          // the builds are those that were named
	progress   bool          // show how far it is
	cache      *remote.Cache // nil: none
	records    *recordCache
	identities func() ([]age.Identity, error) // once they are needed

	keyring   *keyring.Repository // nil: records are not checked
	keyringMu sync.Mutex

	bar                       *bar
	known, done               atomic.Int64 // builds by now
	scanned, skipped, fetched atomic.Int64 // bytes

	matched  int64
	trouble  int                 // the exit code for what went wrong, 0 if nothing did
	left     map[string][]string // builds that there is nothing to search of, by why
	opened   bool                // something that is sealed
	unopened bool                // there is a build that no identity opens
}

// An identitiesError is that of an identity file, whatever is to be opened with it.
type identitiesError struct{ error }

func (e *identitiesError) Unwrap() error { return e.error }

// A grepJob is one build to search. What is found comes as chunks of output, which
// wait for the build's turn; when as many wait as out holds, the search does too.
type grepJob struct {
	build   vitrine.Build
	out     chan []byte
	left    string // why there is nothing to search
	errs    []error
	opened  bool // something that is sealed
	matched int64

	ctx      context.Context
	buf      bytes.Buffer
	artifact string // that the last line was of
	last     int64  // its number
}

// run searches builds, and prints what is found in their order.
func (g *grepper) run(ctx context.Context, builds buildSource) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.left = make(map[string][]string)
	// What many logs leave behind is cleared away sooner than usual: most of the
	// memory would be that, and to look for it costs little where little is in use.
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(25))
	}
	if g.progress {
		g.bar = newBar("grep", 0, 0)
	}
	defer g.bar.end()

	// Some more than cores, since some wait for the network.
	workers := runtime.GOMAXPROCS(0) + 2
	order, queue := make(chan *grepJob, 2*workers), make(chan *grepJob)
	var listErr error
	go func() {
		defer close(order)
		defer close(queue)
		listErr = builds(ctx, func(b vitrine.Build) bool {
			j := &grepJob{build: b, out: make(chan []byte, 8), ctx: ctx}
			g.known.Add(1)
			for _, c := range []chan *grepJob{order, queue} {
				select {
				case c <- j:
				case <-ctx.Done():
					return false
				}
			}
			return true
		})
	}()
	for range workers {
		go func() {
			for j := range queue {
				g.search(j)
				close(j.out)
			}
		}()
	}
	for j := range order {
		if err := g.print(j); err != nil {
			return err
		}
	}
	g.bar.end()
	g.tellLeft()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case listErr != nil:
		return listErr
	case g.trouble != 0:
		return &exitError{g.trouble}
	case g.matched == 0:
		return &exitError{exitFailed}
	}
	return nil
}

// print prints what is found in a build as it comes, and what went wrong.
func (g *grepper) print(j *grepJob) error {
	for {
		select {
		case <-j.ctx.Done():
			return j.ctx.Err()
		case chunk, more := <-j.out:
			if !more {
				g.done.Add(1)
				g.matched += j.matched
				g.opened = g.opened || j.opened
				return g.tell(j)
			}
			var err error
			g.bar.aside(func() { _, err = os.Stdout.Write(chunk) })
			if err != nil {
				return err
			}
		}
	}
}

// tell says on standard error what could not be searched of a build. It returns
// what would go wrong with every other one too.
func (g *grepper) tell(j *grepJob) error {
	g.show()
	if j.left != "" {
		g.left[j.left] = append(g.left[j.left], j.build.UUID[:12])
	}
	for _, err := range j.errs {
		var asked *crypto.IdentityError
		if errors.As(err, new(*identitiesError)) || errors.As(err, &asked) {
			return err
		}
		switch code := exitCode(err); {
		case code == exitNoIdentity:
			if g.unopened = true; !g.named {
				g.left[leftUnopened] = append(g.left[leftUnopened], j.build.UUID[:12])
				continue
			}
		case code == exitUnverified:
			g.trouble = code
		case g.trouble == 0:
			g.trouble = exitIncomplete
		}
		g.bar.aside(func() { fmt.Fprintf(os.Stderr, "vitrine: build %s: %s\n", j.build.UUID[:12], err) })
	}
	return nil
}

// Why there is nothing to search of a build. In a history there are always some
// such; of a build that was named it is a failure.
const (
	leftRunning     = "still running"
	leftInterrupted = "interrupted (vitrine cat --partial reads what there is)"
	leftExpired     = "expired, and the logs removed"
	leftImported    = "imported, with logs elsewhere"
	leftLost        = "lost, without logs"
	leftUnopened    = "sealed to others: none of your identities opens the logs"
)

func leftOf(b vitrine.Build) string {
	switch {
	case b.IsImported():
		return leftImported
	case b.State == vitrine.Running:
		return leftRunning
	case b.State == vitrine.Interrupted:
		return leftInterrupted
	case b.State == vitrine.Lost:
		return leftLost
	case !b.Expired.IsZero():
		return leftExpired
	}
	return ""
}

// tellLeft says at the end which builds were not searched, a line for each reason.
func (g *grepper) tellLeft() {
	if g.unopened && g.trouble == 0 && (g.named || !g.opened) {
		g.trouble = exitNoIdentity
	}
	for _, why := range []string{leftRunning, leftInterrupted, leftExpired, leftImported, leftLost, leftUnopened} {
		uuids := g.left[why]
		if len(uuids) == 0 {
			continue
		}
		if g.named && g.trouble != exitUnverified {
			g.trouble = exitIncomplete
		}
		const most = 5
		more := ""
		if len(uuids) > most {
			more = fmt.Sprintf(" and %d more", len(uuids)-most)
		}
		fmt.Fprintf(os.Stderr, "vitrine: not searched: %s, %s: %s%s\n", count(len(uuids), "build"), why,
			strings.Join(uuids[:min(len(uuids), most)], ", "), more)
	}
}

// show shows how far the search is.
func (g *grepper) show() {
	g.bar.searched(int(g.done.Load()), int(g.known.Load()), g.scanned.Load(), g.skipped.Load(), g.fetched.Load())
}

// search searches a build.
func (g *grepper) search(j *grepJob) {
	if j.left = leftOf(j.build); j.left != "" {
		return
	}
	record, err := g.record(j.ctx, j.build)
	if err != nil {
		j.errs = append(j.errs, err)
		return
	}
	unopened := false // and so is all else that is sealed
	failed := func(err error) bool {
		if err == nil {
			return false
		}
		j.errs = append(j.errs, err)
		if exitCode(err) == exitUnverified {
			g.records.drop(g.client.BuildURL(record.UUID)) // it may be the record that is wrong
		}
		keyless := exitCode(err) == exitNoIdentity
		unopened = unopened || keyless
		return !keyless
	}
	if failed(g.reveal(j, record)) {
		return
	}
	for _, a := range record.Artifacts {
		if !g.wants(a) || a.Sealed && unopened {
			continue
		}
		if failed(g.searchArtifact(j, record, a)) && j.ctx.Err() != nil {
			break
		}
	}
	j.flush()
}

// record reads a build's record, and checks it if there is a keyring. One that was
// kept and fails is fetched once more.
func (g *grepper) record(ctx context.Context, b vitrine.Build) (*vitrine.Record, error) {
	page := g.client.BuildURL(b.UUID)
	if kept := g.records.get(page); kept.Record != "" && (g.keyring == nil || kept.Signature != "") {
		if record, err := parseRecord(g.client, b.UUID, []byte(kept.Record), vitrine.RecordKey); err == nil && g.check(ctx, record, kept) == nil {
			return record, nil
		}
	}
	record, text, err := fetchRecord(ctx, g.client, b.UUID)
	if err != nil {
		return nil, err
	}
	signed := vitrine.SignedRecord{Record: string(text)}
	if g.keyring != nil {
		if signed.Signature, err = fetchSignature(ctx, g.client, record); err != nil {
			return nil, err
		}
		if err := g.check(ctx, record, signed); err != nil {
			return nil, err
		}
	}
	g.records.put(page, signed)
	return record, nil
}

// check holds a record against the keyring, if there is one.
func (g *grepper) check(ctx context.Context, record *vitrine.Record, signed vitrine.SignedRecord) error {
	if g.keyring == nil {
		return nil
	}
	g.keyringMu.Lock()
	defer g.keyringMu.Unlock()
	return checkSigned(ctx, g.keyring, record, signed)
}

// reveal gives artifacts the names that their readers know.
func (g *grepper) reveal(j *grepJob, record *vitrine.Record) error {
	return revealNames(record, func(a vitrine.Artifact, w io.Writer) error {
		log, err := g.open(j, record, a)
		if err != nil {
			return err
		}
		defer log.Close()
		if _, err = io.Copy(w, io.NewSectionReader(log, 0, log.Size())); err != nil {
			err = log.explain(err)
		}
		return err
	})
}

func (g *grepper) open(j *grepJob, record *vitrine.Record, a vitrine.Artifact) (*remoteLog, error) {
	var ids []age.Identity
	if a.Sealed {
		var err error
		if ids, err = g.identities(); err != nil {
			return nil, &identitiesError{err}
		}
	}
	log, err := openLog(j.ctx, g.client, record, a, ids, g.cache)
	j.opened = j.opened || err == nil && a.Sealed
	return log, err
}

// wants reports whether an artifact is to be searched: without globs if it is text.
func (g *grepper) wants(a vitrine.Artifact) bool {
	if len(g.artifacts) > 0 {
		return slices.ContainsFunc(g.artifacts, func(glob vitrine.Glob) bool { return glob.Match(a.Name) })
	}
	return a.IsText()
}

func (g *grepper) searchArtifact(j *grepJob, record *vitrine.Record, a vitrine.Artifact) error {
	log, err := g.open(j, record, a)
	if err != nil {
		return err
	}
	defer log.Close()
	o := g.options
	if log.sealed != nil && !g.noIndex {
		spans, ok, err := log.sealed.MayHold(g.pattern.Query())
		if err != nil {
			return log.explain(err)
		}
		if ok {
			left := log.Size()
			o.Within = []grep.Span{}
			for _, s := range spans {
				o.Within = append(o.Within, grep.Span(s))
				left -= s.N
			}
			g.skipped.Add(left)
		}
	}
	var counted int64
	fetched := func() {
		_, n := log.stored.Fetched()
		g.fetched.Add(n - counted)
		counted = n
	}
	defer fetched()
	o.Progress = func(n int64) {
		g.scanned.Add(n)
		fetched()
		g.show()
		if len(j.out) < cap(j.out) {
			j.flush() // what was found is not held back, where that makes nobody wait
		}
	}
	found, err := g.pattern.Search(j.ctx, log.Log, o, func(l grep.Line) error {
		g.form.line(j, a.Name, l)
		if j.buf.Len() >= chunkSize {
			return j.flush()
		}
		return nil
	})
	j.matched += found
	if err != nil {
		return log.explain(err) // what was counted until then is no count
	}
	if found > 0 {
		g.form.total(j, a.Name, found)
	}
	return nil
}

// chunkSize is about how much output is handed on at once.
const chunkSize = 32 << 10

// flush hands on what was found, and waits if it must.
func (j *grepJob) flush() error {
	if j.buf.Len() == 0 {
		return nil
	}
	select {
	case j.out <- bytes.Clone(j.buf.Bytes()):
		j.buf.Reset()
		return nil
	case <-j.ctx.Done():
		return j.ctx.Err()
	}
}
