// Package vitrine holds the words that every other package speaks: the record
// of a build, its artifacts, the results a build may have, and the keys of the
// objects in a bucket.
//
// It uses the standard library alone, does no input or output, and must never
// hold a key, a secret or a piece of a log. What it parses comes from outside
// and is checked in full before it is returned.
package vitrine

import (
	"fmt"
	"time"
)

// Limits of a record. A record beyond one of them is refused by [ParseRecord]
// and by [Record.Marshal].
const (
	MaxRecordSize   = 4 << 20 // bytes of a record's JSON
	MaxArtifacts    = 10_000  // artifacts of one build
	MaxReaders      = 256     // readers, and skipped readers, of one build
	MaxString       = 255     // bytes of a name; Zuul's database has the same bound
	MaxText         = 2048    // bytes of a URL or of an error detail
	MaxPath         = 200     // bytes of an artifact's path without the sealing suffix
	MaxArtifactSize = 1 << 40 // bytes of one stored artifact
)

// MaxSignatureSize bounds an armored signature, in bytes. An sk-ssh-ed25519
// signature takes less than 600.
const MaxSignatureSize = 8 << 10

// MaxBuildAge is how long after its start a build may still be published: a
// runner keeps what a dead server could not take.
const MaxBuildAge = 7 * 24 * time.Hour

// Namespaces of the SSHSIG signatures (OpenSSH PROTOCOL.sshsig, "namespace").
const (
	// RecordNamespace is that of the signature beside a record in the bucket.
	RecordNamespace = "vitrine-record@v1"
	// UploadNamespace is that of the proof by which a publisher asks a server
	// for an upload token.
	UploadNamespace = "vitrine-upload@v1"
)

// UploadProof is the text that a publisher signs in [UploadNamespace] to be
// let in: records and their signatures are public, so showing one proves
// nothing. startedSHA256 is the lower-case hex SHA-256 of started.json; now is
// the runner's clock.
func UploadProof(tenant, uuid, startedSHA256 string, now time.Time) []byte {
	return fmt.Appendf(nil, "%s %s %s %s\n", tenant, uuid, startedSHA256, now.UTC().Format(time.RFC3339))
}

// A State says where a build is in its life.
type State string

const (
	Running  State = "running"  // started.json is there, build.json not yet
	Finished State = "finished" // build.json is there
	Lost     State = "lost"     // no word came within the server's time-out
	// Interrupted builds were given up by the server when their runner went
	// silent: Artifacts is what came, without hashes, and nothing is signed but
	// the start.
	Interrupted State = "interrupted"
)

// A Build is a record as the history shows it. While a build runs, the record
// is that of started.json. A list leaves Readers, SkippedReaders and Artifacts
// of the record out and gives their numbers alone.
type Build struct {
	Record       // in a list, Imported has no links
	ID     int64 `json:"id"` // see [Record.ID]
	State  State `json:"state"`
	Sealed int   `json:"sealed_artifacts"`
	Public int   `json:"public_artifacts"`
	Bytes  int64 `json:"stored_bytes"` // sum of the stored artifacts' sizes
	// Expired is when the artifacts were removed, as their time had come.
	Expired time.Time `json:"expired,omitzero"`
	Kept    bool      `json:"kept,omitempty"`    // exempt from expiry
	Storage string    `json:"storage,omitempty"` // which store has it, if a server has several
}

// Held reports whether somebody held the build's nodes, and Final whether it is
// the last attempt of its kind: only another CI, that it was imported from,
// tells either.
func (b Build) Held() bool { return b.Imported != nil && b.Imported.Held }

// Final: see Held.
func (b Build) Final() bool { return b.Imported == nil || b.Imported.Final }

// Duration is the time from start to end, and 0 for a build without an end.
func (b Build) Duration() time.Duration {
	if b.EndTime.IsZero() {
		return 0
	}
	return b.EndTime.Sub(b.StartTime)
}
