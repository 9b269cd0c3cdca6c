package vitrine

import "time"

// The messages of the HTTP API that are not a record or a build; docs/format.md
// has the routes. Bodies are JSON.

// A SignedRecord is a record and its signature as they travel: the exact text
// of both, since the signature is over bytes.
type SignedRecord struct {
	Record    string `json:"record"`
	Signature string `json:"signature"`
}

// An UploadRequest asks a server to begin a build. Proof is the armored SSHSIG
// signature of [UploadProof] at Time.
type UploadRequest struct {
	SignedRecord
	Time  time.Time `json:"time"`
	Proof string    `json:"proof"`
}

// An UploadGrant lets its holder upload artifacts of one build, and commit it.
type UploadGrant struct {
	Token           string    `json:"token"`
	Expires         time.Time `json:"expires"`
	MaxArtifactSize int64     `json:"max_artifact_size"` // bytes
	Direct          bool      `json:"direct,omitempty"`  // parts go straight to the store: ask for requests
}

// A PartsRequest asks for the requests that store parts of one artifact. As an
// artifact's body, with [PartsMediaType], it has all of them and completes it.
type PartsRequest struct {
	Size   int64  `json:"size,omitempty"`   // bytes of the whole; 0: not known yet
	SHA256 string `json:"sha256,omitempty"` // of the whole, lower-case hex; empty: not known yet
	Parts  []Part `json:"parts"`
}

// PartsMediaType is that of a [PartsRequest] in the place of an artifact's bytes.
const PartsMediaType = "application/vnd.vitrine.parts+json"

// A PartsGrant holds one request for each part, in their order.
type PartsGrant struct {
	Requests []PartRequest `json:"requests"`
	Expires  time.Time     `json:"expires"`
}

// A PartRequest is to be sent to the store as it is, with the part as its body.
type PartRequest struct {
	Number int               `json:"number"`
	Method string            `json:"method"`
	URL    string            `json:"url"` // a secret until it ends
	Header map[string]string `json:"header"`
}

// A Published says where a committed build is shown.
type Published struct {
	URL string `json:"url"`
}

// A BuildPage is one page of a list, newest first. Older and Newer are cursors
// for the pages beside it, empty where there is none. A buildset is one page,
// oldest first.
type BuildPage struct {
	Builds []Build `json:"builds"`
	Older  string  `json:"older,omitempty"`
	Newer  string  `json:"newer,omitempty"`
}

// A Problem is an error as the API tells it (RFC 9457).
type Problem struct {
	Type      string `json:"type"` // about:blank: Status says what it is
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id,omitempty"` // finds the error in the server's log
}

// An APIRoot is what /api/v1 answers: where everything else is.
type APIRoot struct {
	OpenAPI string        `json:"openapi"` // the document that describes the API
	Tenants []TenantLinks `json:"tenants"`
}

// TenantLinks are the addresses of what the API has of one tenant.
type TenantLinks struct {
	Name           string `json:"name"`
	Overview       string `json:"overview"`
	Builds         string `json:"builds"`
	Events         string `json:"events"`
	Jobs           string `json:"jobs"`
	Services       string `json:"services"`
	Keyring        string `json:"keyring"`
	Names          string `json:"names"`
	AllowedSigners string `json:"allowed_signers"`
}

// An Overview tells of a tenant in numbers.
type Overview struct {
	Tenant   string  `json:"tenant"`
	Keyring  Keyring `json:"keyring"`
	Services int     `json:"services"`
	// Builds of services that began within the last 24 hours and have ended, and those of
	// them that succeeded.
	DayEnded     int `json:"day_ended"`
	DaySucceeded int `json:"day_succeeded"`
}

// A BuildDetail is one build with what the server knows beside its record.
type BuildDetail struct {
	Build
	Signature SignatureCheck `json:"signature"`
	// People are the readers as the keyring of the build's time knows them, with
	// the groups that made them readers and the kinds of their keys; none, if the
	// server does not have that keyring.
	People []Person `json:"people"`
	// Recap is what Ansible counted in the build, where the service's file in the
	// keyring makes that public.
	Recap *Recap `json:"recap,omitempty"`
	// Previous and Next are the uuids of the builds of the job before and after
	// this one; empty where there is none.
	Previous string `json:"previous,omitempty"`
	Next     string `json:"next,omitempty"`
}

// A SignatureCheck is what the server found of a record's signature. Who reads
// a build must check it again.
type SignatureCheck struct {
	State  string `json:"state"`            // verified, failed or unsigned
	Reason string `json:"reason,omitempty"` // of a failure
}

// A Person is somebody in the keyring, a reader or a publisher.
type Person struct {
	Name   string      `json:"name"`
	Groups []string    `json:"groups"` // through which they are what they are; none if by name
	Keys   []PublicKey `json:"keys"`
	// Problem says why the person can't read now.
	Problem string `json:"problem,omitempty"`
}

// A PublicKey is one key in the keyring.
type PublicKey struct {
	Kind        string    `json:"kind"` // age, post-quantum, hardware, ssh-ed25519, …
	Fingerprint string    `json:"fingerprint"`
	Expires     time.Time `json:"expires,omitzero"`
}

// A Service is what the keyring says about a service.
type Service struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	URL         string   `json:"url"`
	Jobs        []string `json:"jobs"` // patterns
	Readers     []Person `json:"readers"`
	Publishers  []Person `json:"publishers"`
	Public      []string `json:"public"`    // patterns of files that may be published unsealed
	Retention   int64    `json:"retention"` // seconds; 0: for ever
	MinReaders  int      `json:"min_readers"`
	Class       string   `json:"class"` // of the readers' keys
}

// A ServiceHistory is a service with its last builds, newest first.
type ServiceHistory struct {
	Service
	Builds []Build `json:"builds"`
}

// A ServiceSummary is a service with its last builds, newest first, in short.
type ServiceSummary struct {
	Service
	Builds []BuildSummary `json:"builds"`
}

// A BuildSummary is how a build went.
type BuildSummary struct {
	UUID      string    `json:"uuid"`
	JobName   string    `json:"job_name"`
	State     State     `json:"state"`
	Result    Result    `json:"result"` // empty until it has ended
	StartTime time.Time `json:"start_time"`
	EndTime   time.Time `json:"end_time,omitzero"`
}

// A ServiceList is all services of the keyring, by name.
type ServiceList struct {
	Services []ServiceSummary `json:"services"`
}

// A ServiceDetail is one service with its jobs and its days.
type ServiceDetail struct {
	ServiceHistory
	Keyring   Keyring      `json:"keyring"` // that says so
	Histories []JobHistory `json:"histories"`
	Days      []Day        `json:"days"`
	// Changes are the last changes to who can read, newest first. The server
	// reads them after its start: until ChangesRead there are none.
	Changes     []ReaderChange `json:"changes"`
	ChangesRead bool           `json:"changes_read"`
}

// A ReaderChange is one thing that a commit of the keyring did to who can read a
// service's logs.
type ReaderChange struct {
	Kind    string    `json:"kind"` // joined, left, keys, added, removed, unusable or beginning
	Commit  string    `json:"commit"`
	Time    time.Time `json:"time"`
	Person  string    `json:"person"`   // of joined, left and keys
	Through []string  `json:"through"`  // groups by which who joined reads, or who left had read
	NewKeys []string  `json:"new_keys"` // fingerprints that came, of keys
	OldKeys []string  `json:"old_keys"` // and that went
}

// A JobHistory is a job with its last builds, newest first.
type JobHistory struct {
	Name    string  `json:"name"`
	Service string  `json:"service"` // that owns it; may be empty
	Builds  []Build `json:"builds"`
}

// A JobList is a page of jobs by name, each with its last build. Next is the
// cursor of the page after it, empty where there is none.
type JobList struct {
	Jobs []JobHistory `json:"jobs"`
	Next string       `json:"next,omitempty"`
}

// A JobDetail is one job: its last builds, and its days.
type JobDetail struct {
	JobHistory
	// Ran counts the builds in Days that were not skipped or cancelled, Succeeded
	// those of them that succeeded.
	Ran         int    `json:"ran"`
	Succeeded   int    `json:"succeeded"`
	LastSuccess *Build `json:"last_success,omitempty"` // of all times
	Days        []Day  `json:"days"`
}

// A Day counts the builds that began on one day in UTC and ended with the same
// result.
type Day struct {
	Day     string `json:"day"` // 2026-11-22
	Result  Result `json:"result"`
	Builds  int    `json:"builds"`
	Seconds int64  `json:"seconds"` // that they took, in sum
}

// A KeyringView is who can read what, as the keyring says now.
type KeyringView struct {
	Keyring
	Services []Service `json:"services"`
	People   []Person  `json:"people"` // everybody with a key
	// Problem says why the newest commit of the keyring is not the one in use.
	Problem string `json:"problem,omitempty"`
}

// Names are the names that builds of the history have, each list sorted, and
// the results that a build may have.
type Names struct {
	Services  []string `json:"services"`
	Jobs      []string `json:"jobs"`
	Projects  []string `json:"projects"`
	Branches  []string `json:"branches"`
	Pipelines []string `json:"pipelines"`
	Nodesets  []string `json:"nodesets"`
	Results   []Result `json:"results"`
}
