package vitrine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// RecordVersion is the version of the record's format that this package writes
// and the only one it accepts.
const RecordVersion = 1

// ErrRecord is wrapped by every error that says a record is not acceptable.
var ErrRecord = errors.New("invalid record")

// A Record is what a publisher signs about one build: build.json when it has
// ended, started.json (no result, no end, no artifacts) when it begins; or
// what is known of a build from another CI's history ([Imported]). Field
// names and values are Zuul's wherever Zuul has one; docs/format.md is the
// specification.
type Record struct {
	Version        int             `json:"version"`
	Tenant         string          `json:"tenant"`
	Service        string          `json:"service"`
	UUID           string          `json:"uuid"` // 32 lower-case hex digits
	JobName        string          `json:"job_name"`
	Result         Result          `json:"result"`
	Voting         bool            `json:"voting"`
	ErrorDetail    string          `json:"error_detail"`
	Pipeline       string          `json:"pipeline"`
	EventID        string          `json:"event_id"`
	Buildset       string          `json:"buildset"` // 32 lower-case hex digits
	Ref            Ref             `json:"ref"`
	Nodeset        string          `json:"nodeset"`
	StartTime      time.Time       `json:"start_time"` // whole seconds, UTC
	EndTime        time.Time       `json:"end_time,omitzero"`
	Keyring        Keyring         `json:"keyring"`
	Readers        []Reader        `json:"readers"`
	SkippedReaders []SkippedReader `json:"skipped_readers"`
	Artifacts      []Artifact      `json:"artifacts"`
	Publisher      string          `json:"publisher"`
	Expires        time.Time       `json:"expires,omitzero"` // zero: kept for ever
	// Imported is set in an imported.json, which nobody signs, and nowhere else.
	Imported *Imported `json:"imported,omitempty"`
}

// A Ref is the piece of source that a build was run for.
type Ref struct {
	Project  string `json:"project"`
	Branch   string `json:"branch"`
	Change   int64  `json:"change"` // 0: no change, a push or a timer
	Patchset string `json:"patchset"`
	Ref      string `json:"ref"`
	OldRev   string `json:"oldrev"`
	NewRev   string `json:"newrev"`
	RefURL   string `json:"ref_url"` // http or https, or empty
}

// A Keyring names the commit of the keyring that said who may read.
type Keyring struct {
	Commit string `json:"commit"` // 40 or 64 lower-case hex digits
	URL    string `json:"url"`    // where the keyring can be cloned from; may be empty
}

// A Reader is a person whom the sealed artifacts of a build were sealed to.
type Reader struct {
	Name         string   `json:"name"`
	Fingerprints []string `json:"fingerprints"`
}

// A SkippedReader is a person who should read a build and can't, and why.
type SkippedReader struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// An Artifact is one published file.
type Artifact struct {
	Name      string            `json:"name"`
	Path      string            `json:"path"`   // as stored, with the sealing suffix
	Size      int64             `json:"size"`   // bytes, as stored
	SHA256    string            `json:"sha256"` // lower-case hex, of the stored bytes
	Sealed    bool              `json:"sealed"`
	MediaType string            `json:"media_type"` // of the plaintext
	PlainSize int64             `json:"plain_size"`
	Lines     int64             `json:"lines"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// The suffixes that a sealed artifact's stored path has beyond its plain path.
const (
	SealedSuffix    = ".zst.age" // zstd frames inside age
	SealedRawSuffix = ".age"     // age alone: what does not compress
)

// HeaderSHA256 is the name, in the metadata of a sealed artifact, of the lower-case
// hex SHA-256 of its age header and the nonce after it. Who reads parts of the
// file, and so can't check its hash, knows by it that they are of that file.
const HeaderSHA256 = "age_header_sha256"

// PlainPath is the path of the artifact's plaintext: the one that was published
// and the one that get writes.
func (a Artifact) PlainPath() string {
	if !a.Sealed {
		return a.Path
	}
	if p, ok := strings.CutSuffix(a.Path, SealedSuffix); ok {
		return p
	}
	return strings.TrimSuffix(a.Path, SealedRawSuffix)
}

// ID is Zuul's integer id of the build. It follows from start time and UUID
// alone, so a rebuilt index gives the same; it rises with the start time, and
// fits the 53 bits that JavaScript keeps. Two builds of one second may, once in
// four million, share it: order by start time and UUID, not by ID.
func (r *Record) ID() int64 {
	var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	top, _ := new(big.Int).SetString(r.UUID[:6], 16) // 24 bits
	return (r.StartTime.Unix()-epoch)<<22 | top.Int64()>>2
}

// Marshal returns the record's one JSON form, or an error wrapping [ErrRecord]
// if the record is not valid.
func (r *Record) Marshal() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	c := *r
	c.Readers = orEmpty(slices.Clone(r.Readers))
	for i := range c.Readers {
		c.Readers[i].Fingerprints = orEmpty(c.Readers[i].Fingerprints)
	}
	c.SkippedReaders = orEmpty(r.SkippedReaders)
	c.Artifacts = orEmpty(r.Artifacts)
	if r.Imported != nil {
		i := *r.Imported
		i.Links = orEmpty(i.Links)
		c.Imported = &i
	}

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(&c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if b.Len() > MaxRecordSize {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrRecord, b.Len(), MaxRecordSize)
	}
	return b.Bytes(), nil
}

// orEmpty makes a nil slice an empty one, which JSON writes as [] and not as null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// ParseRecord parses a build.json, a started.json or an imported.json. It accepts only what
// [Record.Marshal] writes, byte for byte; every error wraps [ErrRecord].
func ParseRecord(b []byte) (*Record, error) {
	if len(b) > MaxRecordSize {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrRecord, len(b), MaxRecordSize)
	}
	if err := boundLists(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	r := new(Record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	again, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: not in the one form a record is written in (unknown or missing field, other order or spacing)", ErrRecord)
	}
	return r, nil
}

// IsStarted reports whether the record is a started.json.
func (r *Record) IsStarted() bool { return r.Result == "" }

var (
	hexUUID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)
	hexCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	shortName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
)

// ValidUUID reports whether s is a build's or buildset's id: 32 lower-case hex digits.
func ValidUUID(s string) bool { return hexUUID.MatchString(s) }

// ValidName reports whether s may name a tenant, service, person, group or
// publisher: lower-case letters, digits and . _ -, at most 64.
func ValidName(s string) bool { return shortName.MatchString(s) }

func (r *Record) validate() error {
	bad := func(field, format string, a ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrRecord, field, fmt.Sprintf(format, a...))
	}
	if r.Version != RecordVersion {
		return bad("version", "is %d, this vitrine reads %d", r.Version, RecordVersion)
	}
	for _, n := range []struct{ field, value string }{
		{"tenant", r.Tenant}, {"service", r.Service}, {"publisher", r.Publisher},
	} {
		if !ValidName(n.value) && (n.field == "tenant" || !r.IsImported()) {
			return bad(n.field, "%q is not a name (lower-case letters, digits and . _ -)", n.value)
		}
	}
	if !ValidUUID(r.UUID) {
		return bad("uuid", "%q is not 32 lower-case hex digits", r.UUID)
	}
	if !ValidUUID(r.Buildset) {
		return bad("buildset", "%q is not 32 lower-case hex digits", r.Buildset)
	}
	if !r.IsImported() && !hexCommit.MatchString(r.Keyring.Commit) {
		return bad("keyring.commit", "%q is not a commit id", r.Keyring.Commit)
	}
	if r.JobName == "" {
		return bad("job_name", "is empty")
	}
	for _, t := range []struct {
		field, value string
		max          int
	}{
		{"job_name", r.JobName, MaxString}, {"pipeline", r.Pipeline, MaxString},
		{"event_id", r.EventID, MaxString}, {"nodeset", r.Nodeset, MaxString},
		{"error_detail", r.ErrorDetail, MaxText},
		{"ref.project", r.Ref.Project, MaxString}, {"ref.branch", r.Ref.Branch, MaxString},
		{"ref.patchset", r.Ref.Patchset, MaxString}, {"ref.ref", r.Ref.Ref, MaxString},
		{"ref.oldrev", r.Ref.OldRev, MaxString}, {"ref.newrev", r.Ref.NewRev, MaxString},
		{"ref.ref_url", r.Ref.RefURL, MaxText}, {"keyring.url", r.Keyring.URL, MaxText},
	} {
		if err := ValidText(t.value, t.max); err != nil {
			return bad(t.field, "%v", err)
		}
	}
	if r.Ref.Change < 0 {
		return bad("ref.change", "%d is negative", r.Ref.Change)
	}
	if r.Ref.RefURL != "" && !ValidLink(r.Ref.RefURL) {
		return bad("ref.ref_url", "%q is not an http or https URL without a user", r.Ref.RefURL)
	}
	if err := validRepository(r.Keyring.URL); err != nil {
		return bad("keyring.url", "%v", err)
	}
	if err := r.validateTimes(bad); err != nil {
		return err
	}
	if r.IsImported() {
		if err := r.validateImported(bad); err != nil {
			return err
		}
	}
	if r.IsStarted() {
		if len(r.Artifacts) > 0 || r.ErrorDetail != "" {
			return bad("result", "is empty, as of a build that has only started, but there are artifacts or an error")
		}
	} else if !r.Result.Known() {
		return bad("result", "%q is not a result", r.Result)
	}
	if err := r.validateReaders(bad); err != nil {
		return err
	}
	return r.validateArtifacts(bad)
}

type badFunc func(field, format string, a ...any) error

func (r *Record) validateTimes(bad badFunc) error {
	for _, t := range []struct {
		field    string
		value    time.Time
		optional bool
	}{
		{"start_time", r.StartTime, false}, {"end_time", r.EndTime, r.IsStarted()}, {"expires", r.Expires, true},
	} {
		if t.value.IsZero() && t.optional {
			continue
		}
		if t.value.Location() != time.UTC || t.value.Nanosecond() != 0 || t.value.Year() < 2020 || t.value.Year() > 2200 {
			return bad(t.field, "%s is not a time in UTC, in whole seconds, between 2020 and 2200", t.value.Format(time.RFC3339Nano))
		}
	}
	if r.IsStarted() && !r.EndTime.IsZero() {
		return bad("end_time", "is set, but result is empty")
	}
	if !r.IsStarted() && r.EndTime.Before(r.StartTime) {
		return bad("end_time", "%s is before start_time %s", r.EndTime.Format(time.RFC3339), r.StartTime.Format(time.RFC3339))
	}
	return nil
}

func (r *Record) validateReaders(bad badFunc) error {
	if len(r.Readers) > MaxReaders || len(r.SkippedReaders) > MaxReaders {
		return bad("readers", "%d and %d skipped, more than %d", len(r.Readers), len(r.SkippedReaders), MaxReaders)
	}
	for i, p := range r.Readers {
		if !ValidName(p.Name) {
			return bad(fmt.Sprintf("readers[%d].name", i), "%q is not a name", p.Name)
		}
		if len(p.Fingerprints) == 0 || len(p.Fingerprints) > MaxReaders {
			return bad(fmt.Sprintf("readers[%d].fingerprints", i), "there are %d, want 1 to %d", len(p.Fingerprints), MaxReaders)
		}
		for _, f := range p.Fingerprints {
			if err := ValidText(f, MaxString); err != nil || f == "" {
				return bad(fmt.Sprintf("readers[%d].fingerprints", i), "%q is not a fingerprint", f)
			}
		}
	}
	for i, p := range r.SkippedReaders {
		if !ValidName(p.Name) {
			return bad(fmt.Sprintf("skipped_readers[%d].name", i), "%q is not a name", p.Name)
		}
		if err := ValidText(p.Reason, MaxString); err != nil {
			return bad(fmt.Sprintf("skipped_readers[%d].reason", i), "%v", err)
		}
	}
	return nil
}

func (r *Record) validateArtifacts(bad badFunc) error {
	if len(r.Artifacts) > MaxArtifacts {
		return bad("artifacts", "%d, more than %d", len(r.Artifacts), MaxArtifacts)
	}
	var plain, stored Paths // a store may be a directory too
	for i, a := range r.Artifacts {
		bad := func(field, format string, v ...any) error {
			return bad(fmt.Sprintf("artifacts[%d].%s", i, field), format, v...)
		}
		if a.Sealed != strings.HasSuffix(a.Path, SealedRawSuffix) {
			return bad("path", "%q: sealed artifacts, and no others, end in %s", a.Path, SealedRawSuffix)
		}
		if err := ValidPath(a.PlainPath()); err != nil {
			return bad("path", "%v", err)
		}
		if err := ValidText(a.Name, MaxString); err != nil || a.Name == "" {
			return bad("name", "%q: empty, too long, or with a control character", a.Name)
		}
		if err := ValidText(a.MediaType, MaxString); err != nil {
			return bad("media_type", "%v", err)
		}
		if a.Size < 0 || a.Size > MaxArtifactSize || a.PlainSize < 0 || a.Lines < 0 || a.Lines > a.PlainSize {
			return bad("size", "size %d, plain_size %d, lines %d: out of bounds", a.Size, a.PlainSize, a.Lines)
		}
		if !hexSHA256.MatchString(a.SHA256) {
			return bad("sha256", "%q is not 64 lower-case hex digits", a.SHA256)
		}
		if len(a.Metadata) > 32 {
			return bad("metadata", "%d entries, more than 32", len(a.Metadata))
		}
		for k, v := range a.Metadata {
			if ValidText(k, MaxString) != nil || ValidText(v, MaxText) != nil {
				return bad("metadata", "%q: too long, or with a control character", k)
			}
		}
		if sum, ok := a.Metadata[HeaderSHA256]; ok && (!a.Sealed || !hexSHA256.MatchString(sum)) {
			return bad("metadata", "%s is %q: want 64 lower-case hex digits, of a sealed artifact", HeaderSHA256, sum)
		}
		if err := cmp.Or(plain.Add(a.PlainPath()), stored.Add(a.Path)); err != nil {
			return bad("path", "%v", err)
		}
	}
	return nil
}

// ValidText refuses what could break a terminal, a page or a column: control
// characters, invalid UTF-8, and more bytes than max.
func ValidText(s string, max int) error {
	if len(s) > max {
		return fmt.Errorf("%d bytes, more than %d", len(s), max)
	}
	if !utf8.ValidString(s) {
		return errors.New("not valid UTF-8")
	}
	if i := strings.IndexFunc(s, func(c rune) bool { return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' }); i >= 0 {
		return fmt.Errorf("%q: has a control character", s)
	}
	return nil
}

// ValidLink reports whether a page may link to s: an http or https URL of at most
// [MaxText] bytes without a user.
func ValidLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= MaxText && (u.Scheme == "http" || u.Scheme == "https") &&
		u.Hostname() != "" && u.User == nil
}

// validRepository refuses an address that may hold a secret; its errors don't
// repeat it. A user is fine with ssh, which does not let one in by name; with
// https it may be a token.
func validRepository(s string) error {
	if !strings.Contains(s, "://") { // a folder, or git's user@host:path
		if user, _, ok := strings.Cut(s, "@"); ok && strings.Contains(user, ":") {
			return errors.New("holds a password")
		}
		return nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("is not a URL")
	}
	if _, secret := u.User.Password(); secret {
		return errors.New("holds a password")
	}
	if u.User != nil && u.Scheme != "ssh" {
		return errors.New("holds a user, which may be a token: leave it out")
	}
	return nil
}
