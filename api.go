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
// for the pages beside it, empty where there is none.
type BuildPage struct {
	Builds []Build `json:"builds"`
	Older  string  `json:"older,omitempty"`
	Newer  string  `json:"newer,omitempty"`
}

// A Problem is an error as the API tells it (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}
