package vitrine

import (
	"fmt"
	"strings"
	"time"
)

// The prefixes of all keys in a bucket.
const (
	RecordsPrefix   = "records/"
	ArtifactsPrefix = "artifacts/"
)

// The file names of a build's records.
const (
	startedName     = "started.json"
	recordName      = "build.json"
	importedName    = "imported.json"
	signatureSuffix = ".sig"
)

// The file names of the marks beside them.
var markNames = map[KeyKind]string{
	InterruptedKind: "interrupted.json",
	KeptKind:        "kept.json",
	ExpiredKind:     "expired.json",
}

// A KeyKind says what lies under a key.
type KeyKind int

const (
	StartedKind KeyKind = iota + 1
	StartedSignatureKind
	RecordKind
	RecordSignatureKind
	ArtifactKind
	InterruptedKind // a Mark: the runner went away; what came is named in it
	KeptKind        // a Mark: exempt from expiry
	ExpiredKind     // a Mark: the artifacts were removed, at its time
	ImportedKind    // a record that nobody signed: see Imported
)

// A Key is a parsed object key. Day is set for records and marks, Path for
// artifacts.
type Key struct {
	Kind KeyKind
	UUID string
	Day  time.Time // midnight UTC of the build's start
	Path string    // the artifact's stored path
}

// StartedKey is the key of a build's started.json.
func StartedKey(start time.Time, uuid string) string {
	return DayPrefix(start) + uuid + "/" + startedName
}

// RecordKey is the key of a build's build.json, whose creation publishes the build.
func RecordKey(start time.Time, uuid string) string {
	return DayPrefix(start) + uuid + "/" + recordName
}

// ImportedKey is the key of an imported build's record.
func ImportedKey(start time.Time, uuid string) string {
	return DayPrefix(start) + uuid + "/" + importedName
}

// Key is where the record is stored.
func (r *Record) Key() string {
	switch {
	case r.IsImported():
		return ImportedKey(r.StartTime, r.UUID)
	case r.IsStarted():
		return StartedKey(r.StartTime, r.UUID)
	}
	return RecordKey(r.StartTime, r.UUID)
}

// SignatureKey is the key of the signature beside the record at key.
func SignatureKey(key string) string { return key + signatureSuffix }

// MarkKey is the key of a build's mark of one of the three kinds.
func MarkKey(kind KeyKind, start time.Time, uuid string) string {
	return DayPrefix(start) + uuid + "/" + markNames[kind]
}

// ArtifactKey is the key of the artifact with the given stored path.
func ArtifactKey(uuid, path string) string { return ArtifactsPrefix + uuid + "/" + path }

// DayPrefix is the prefix of all records of builds that started on t's day in UTC.
func DayPrefix(t time.Time) string {
	return RecordsPrefix + t.UTC().Format("2006/01/02/")
}

// ParseKey is the strict inverse of the functions above: it accepts only what
// they write.
func ParseKey(key string) (Key, error) {
	bad := fmt.Errorf("object key %q: not one of vitrine's", key)
	if rest, ok := strings.CutPrefix(key, ArtifactsPrefix); ok {
		uuid, p, ok := strings.Cut(rest, "/")
		if !ok || !ValidUUID(uuid) || len(p) > MaxPath+len(SealedSuffix) || validStoredPath(p) != nil {
			return Key{}, bad
		}
		return Key{Kind: ArtifactKind, UUID: uuid, Path: p}, nil
	}
	rest, ok := strings.CutPrefix(key, RecordsPrefix)
	if !ok || len(rest) < len("2006/01/02/") {
		return Key{}, bad
	}
	day, err := time.Parse("2006/01/02/", rest[:len("2006/01/02/")])
	if err != nil {
		return Key{}, bad
	}
	uuid, name, ok := strings.Cut(rest[len("2006/01/02/"):], "/")
	if !ok || !ValidUUID(uuid) {
		return Key{}, bad
	}
	kinds := map[string]KeyKind{
		startedName: StartedKind, startedName + signatureSuffix: StartedSignatureKind,
		recordName: RecordKind, recordName + signatureSuffix: RecordSignatureKind,
		importedName: ImportedKind,
	}
	for kind, mark := range markNames {
		kinds[mark] = kind
	}
	kind, ok := kinds[name]
	if !ok {
		return Key{}, bad
	}
	return Key{Kind: kind, UUID: uuid, Day: day}, nil
}

// validStoredPath checks a path that may have a sealing suffix, which does not
// count against [MaxPath].
func validStoredPath(p string) error {
	return ValidPath(Artifact{Path: p, Sealed: strings.HasSuffix(p, SealedRawSuffix)}.PlainPath())
}
