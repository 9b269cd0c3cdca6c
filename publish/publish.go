// Package publish seals the files of a build to its readers and stores them
// with the build's signed record, through a [storage.Writer]: a bucket or a
// server, it does not know which.
//
// It must never let plaintext leave the runner, or lie in a file that it
// writes, unless the keyring declares that file public. When anything about
// keys is wrong it fails before anything is sent. It never seals to fewer
// readers than the record names.
//
// What is sealed goes to a spool folder first and is sent from there, so that a
// store that can't be reached loses nothing: see [Resume].
package publish

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/crypto"
	"vitrine/keyring"
	"vitrine/signature"
	"vitrine/storage"
	"vitrine/summary"
)

// A Job is what the CI, or flags, say of a build.
type Job struct {
	Tenant    string
	Name      string
	UUID      string // 32 lower-case hex digits; empty: a random one
	Buildset  string // 32 lower-case hex digits; empty: a random one
	Pipeline  string
	EventID   string
	Ref       vitrine.Ref
	Nodeset   string
	Voting    bool
	StartTime time.Time // zero: now
}

// Options say what [Start] starts, and where to.
type Options struct {
	Job      Job
	Keyring  *keyring.Keyring
	Signer   ssh.Signer // of the publisher
	Writer   storage.Writer
	Spool    string       // the folder that builds wait in; empty: [DefaultSpool]
	Progress func(Totals) // called often, by one goroutine at a time; may be nil
	// SendEvery is the time between two looks for what is new in an artifact of
	// [Build.Create] that still grows. Sending it takes up to 64 KiB of its size
	// each time. Zero: 30 seconds.
	SendEvery time.Duration
	// NoSearchIndex leaves out the index that is sealed with each text for those
	// who search it.
	NoSearchIndex bool
	// Summarize seals a summary of the texts with them: what failed, and where.
	Summarize bool
	// Failures are patterns of lines that the summary counts as failures, beside
	// those that package outline knows.
	Failures []*regexp.Regexp
}

// A Build is a build that is being published. Its methods may be called from
// several goroutines, but for Finish and Close, which end it.
type Build struct {
	service    *keyring.Service
	recipients []age.Recipient
	signer     ssh.Signer
	searchable bool // texts are sealed with a search index
	summarize  bool
	patterns   []*regexp.Regexp // of failures
	started    *signedRecord
	final      *signedRecord // of an earlier publish that could not send it; mostly nil
	folder     *folder
	upload     *uploader
	meter      *meter

	mu        sync.Mutex
	spooled   map[string]artifact // by source, what an earlier publish left
	artifacts map[string]artifact // by source, those of this build
	names     names
	summary   summary.Summary
	scanned   int  // logs that the summary is of
	named     bool // the summary's name is in names
	open      int  // writers that are not closed
}

// Start checks everything about keys, signs the record of a started build and
// begins to send it. Sending goes on in the background until ctx ends; that the
// store does not answer is for [Build.Finish] to say.
//
// A build of the same uuid that lies unfinished in the spool is gone on with:
// what is sealed there is not sealed again, since other bytes may be stored
// already.
func Start(ctx context.Context, o Options) (_ *Build, err error) {
	if o.Spool == "" {
		if o.Spool, err = DefaultSpool(); err != nil {
			return nil, err
		}
	}
	if o.Job.UUID == "" {
		o.Job.UUID = randomID()
	}
	if !vitrine.ValidUUID(o.Job.UUID) {
		return nil, fmt.Errorf("uuid %q: want 32 lower-case hex digits", o.Job.UUID)
	}
	earlier, err := readSigned(o.Spool, o.Job.UUID, startedFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if earlier != nil {
		o.Job.StartTime, o.Job.Buildset = earlier.record.StartTime, earlier.record.Buildset
	}
	service, recipients, record, err := newRecord(o)
	if err != nil {
		return nil, err
	}
	b := &Build{
		service: service, recipients: recipients, signer: o.Signer, searchable: !o.NoSearchIndex, meter: &meter{report: o.Progress},
		summarize: o.Summarize, patterns: o.Failures, artifacts: make(map[string]artifact),
	}
	if b.started, err = sign(record, o.Signer); err != nil {
		return nil, err
	}
	if b.folder, err = openFolder(o.Spool, o.Job.UUID, true); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.folder.close()
		}
	}()
	if err := b.goOn(); err != nil {
		return nil, err
	}
	if b.service.HidesNames {
		if err := b.names.add(vitrine.ContentsPath, false); err != nil {
			return nil, err
		}
	}
	b.upload = newUploader(ctx, o.Writer, b.folder, b.started, b.meter, max(o.SendEvery, 0))
	return b, nil
}

// newRecord makes the record of a started build, and with it checks all that
// can be wrong about keys.
func newRecord(o Options) (*keyring.Service, []age.Recipient, *vitrine.Record, error) {
	fail := func(err error) (*keyring.Service, []age.Recipient, *vitrine.Record, error) { return nil, nil, nil, err }
	if o.Keyring.Commit == "" {
		return fail(errors.New("the keyring is a plain directory: a record names the commit that said who may read, so keep the keyring in git"))
	}
	if o.Job.Name == "" {
		return fail(errors.New("the job has no name"))
	}
	service, err := o.Keyring.ServiceOf(o.Job.Name)
	if err != nil {
		return fail(fmt.Errorf("keyring at %.12s: %w", o.Keyring.Commit, err))
	}
	publisher, err := publisherOf(o.Keyring, service.Name, o.Signer.PublicKey())
	if err != nil {
		return fail(err)
	}
	start := o.Job.StartTime
	if start.IsZero() {
		start = time.Now()
	}
	start = start.UTC().Truncate(time.Second)
	readers, err := o.Keyring.Recipients(service.Name, start)
	if err != nil {
		return fail(err)
	}
	// Sealing nothing to them shows now whether age takes these keys together.
	if _, err := crypto.Seal(io.Discard, readers.Age...); err != nil {
		return fail(fmt.Errorf("readers of service %s: %w", service.Name, err))
	}
	record := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: o.Job.Tenant, Service: service.Name, UUID: o.Job.UUID,
		JobName: o.Job.Name, Voting: o.Job.Voting, Pipeline: o.Job.Pipeline, EventID: o.Job.EventID,
		Buildset: o.Job.Buildset, Ref: o.Job.Ref, Nodeset: o.Job.Nodeset, StartTime: start,
		Keyring: vitrine.Keyring{Commit: o.Keyring.Commit, URL: o.Keyring.URL},
		Readers: readers.Readers, SkippedReaders: readers.Skipped, Publisher: publisher,
		Expires: service.Expires(start),
	}
	if record.Buildset == "" {
		record.Buildset = randomID()
	}
	return service, readers.Age, record, nil
}

// publisherOf returns the name under which a key may publish for a service.
func publisherOf(k *keyring.Keyring, service string, key ssh.PublicKey) (string, error) {
	keys := k.PublisherKeys(service)
	publishers := slices.Sorted(maps.Keys(keys))
	for _, name := range publishers {
		for _, candidate := range keys[name] {
			if bytes.Equal(candidate.Marshal(), key.Marshal()) {
				return name, nil
			}
		}
	}
	who := strings.Join(publishers, ", ")
	if who == "" {
		who = "nobody"
	}
	return "", fmt.Errorf("key %s may not publish for service %s: the keyring lets %s",
		ssh.FingerprintSHA256(key), service, who)
}

// goOn takes over what lies in the spool folder, or makes it this build's.
func (b *Build) goOn() error {
	r := b.started.record
	earlier, err := readSigned(b.folder.spool, r.UUID, startedFile)
	if errors.Is(err, fs.ErrNotExist) {
		// A folder without started.json is rubbish: it is written before
		// anything is sent, and removed first when all is stored.
		if err := b.folder.clear(); err != nil {
			return err
		}
		return b.folder.writeSigned(startedFile, b.started)
	}
	if err != nil {
		return err
	}
	e := earlier.record
	if e.Tenant != r.Tenant || e.JobName != r.JobName {
		return fmt.Errorf("uuid %s is that of job %s in tenant %s, which waits in %s", r.UUID, e.JobName, e.Tenant, b.folder.dir)
	}
	b.final, err = readSigned(b.folder.spool, r.UUID, finalFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if b.final == nil {
		if e.Keyring.Commit != r.Keyring.Commit {
			return fmt.Errorf("build %s was begun with the keyring at commit %s, which is at %s now: go on with that commit, or publish under another uuid and remove %s",
				r.UUID, e.Keyring.Commit, r.Keyring.Commit, b.folder.dir)
		}
		if e.Service != r.Service || e.Publisher != r.Publisher || e.StartTime != r.StartTime ||
			!sameList(e.Readers, r.Readers) || !sameList(e.SkippedReaders, r.SkippedReaders) {
			return fmt.Errorf("build %s was begun by another publisher or for other readers: publish under another uuid and remove %s", r.UUID, b.folder.dir)
		}
	}
	b.started = earlier
	b.spooled, err = b.folder.artifacts()
	// What was made when the build was to be signed is made anew.
	maps.DeleteFunc(b.spooled, func(_ string, a artifact) bool { return a.IsSummary() })
	return err
}

// sameList compares lists of which an empty one may be nil.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

// UUID is the build's id.
func (b *Build) UUID() string { return b.started.record.UUID }

// Record is the signed record of the started build: who may read it, who is
// skipped. It must not be changed.
func (b *Build) Record() *vitrine.Record { return b.started.record }

// IsPublic reports whether a file of that path is published unsealed.
func (b *Build) IsPublic(path string) bool { return b.service.IsPublic(path) }

// A signedRecord is a record with the bytes that were signed.
type signedRecord struct {
	record          *vitrine.Record
	text, signature []byte
}

func sign(r *vitrine.Record, signer ssh.Signer) (*signedRecord, error) {
	text, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	armored, err := signature.Sign(text, vitrine.RecordNamespace, signer)
	if err != nil {
		return nil, err
	}
	return &signedRecord{r, text, armored}, nil
}

// randomID is a new uuid.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
