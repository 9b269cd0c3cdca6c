package web

import (
	"net/http"
	"time"

	"vitrine"
)

// HistoryLength is how many builds a history strip has room for; builds beyond
// it are not drawn.
const HistoryLength = 34

// A Person is somebody in the keyring: a reader or a publisher.
type Person struct {
	Name   string
	Groups []string // through which they are what they are; empty if by name
	Keys   []Key
	// Problem says why the person can't read now ("key expired 2026-10-01").
	Problem string
}

// A Key is one public key in the keyring.
type Key struct {
	Kind        string // as people know it: age, post-quantum, hardware, ssh-ed25519, ssh-rsa
	Fingerprint string
	Expires     time.Time // zero: never
}

// A Service is what the keyring says about a service.
type Service struct {
	Name        string
	Description string
	URL         string   // of the service itself
	Jobs        []string // patterns; none: the keyring does not name the service any more
	Readers     []Person
	Publishers  []Person
	Public      []string      // patterns of files that may be published unsealed
	Retention   time.Duration // zero: for ever
	MinReaders  int
	Class       string // classic or pq
}

// Usable is how many of the service's readers could read a build of now.
func (s Service) Usable() int {
	n := 0
	for _, p := range s.Readers {
		if p.Problem == "" {
			n++
		}
	}
	return n
}

// A BuildPage is one build, with readers and artifacts.
type BuildPage struct {
	Build vitrine.Build
	// History holds builds of the same job around this one, this one among
	// them, newest first.
	History []vitrine.Build
	// Others is the number of other builds in the buildset.
	Others int
	// People are the readers as the keyring knows them, for their groups and
	// kinds of keys. Who is not in it is shown as the record has them.
	People    []Person
	Signature Signature
}

// A SignatureState is what the server found when it checked a record.
type SignatureState string

// The states of a signature. The zero value is [Unsigned].
const (
	Unsigned    SignatureState = ""
	Verified    SignatureState = "verified"
	NotVerified SignatureState = "not verified"
)

// A Signature is the state of a record's signature, with the reason if it is
// [NotVerified].
type Signature struct {
	State  SignatureState
	Reason string
}

// A BuildsetPage is the builds of one event.
type BuildsetPage struct {
	UUID   string
	Builds []vitrine.Build // in any order; shown by start
}

// A KeyringPage says who can read what.
type KeyringPage struct {
	Keyring  vitrine.Keyring
	Services []Service
	People   []Person // everybody with a key, in the order given
	// Problem says why the newest commit of the keyring is not the one in use.
	Problem string
}

// An ErrorPage says what went wrong and what to do.
type ErrorPage struct {
	Status  int    // of HTTP
	Message string // what was wrong, with the value; empty: only the status's own words
	// RequestID finds the error in the server's log; shown with a 5xx.
	RequestID string
}

func (BuildPage) template() string { return "build" }
func (BuildPage) section() string  { return "builds" }
func (p BuildPage) title() string {
	return outcomeOf(p.Build).Word + " · " + isolate(cut(p.Build.JobName))
}

func (BuildsetPage) template() string { return "buildset" }
func (BuildsetPage) section() string  { return "builds" }
func (p BuildsetPage) title() string  { return "Buildset " + id(p.UUID) }

func (KeyringPage) template() string { return "keyring" }
func (KeyringPage) section() string  { return "keyring" }
func (KeyringPage) title() string    { return "Keyring" }

func (ErrorPage) template() string { return "error" }
func (ErrorPage) section() string  { return "" }
func (p ErrorPage) title() string  { return p.Heading() }

// Heading is the status in words.
func (p ErrorPage) Heading() string {
	switch p.Status {
	case http.StatusBadRequest:
		return "That can't be asked"
	case http.StatusNotFound:
		return "There is nothing at this address"
	case http.StatusTooManyRequests:
		return "Too many requests"
	case http.StatusServiceUnavailable:
		return "Not ready yet"
	}
	if p.Status >= 500 {
		return "The server failed"
	}
	return http.StatusText(p.Status)
}

// Advice is what to do about it.
func (p ErrorPage) Advice() string {
	switch {
	case p.Status == http.StatusNotFound:
		return "The address may be mistyped, or the build not published yet."
	case p.Status == http.StatusTooManyRequests:
		return "Wait a minute, then load this page again."
	case p.Status == http.StatusServiceUnavailable:
		return "The server is reading its history from the bucket. Load this page again in a minute."
	case p.Status >= 500:
		return "Nothing is lost: the builds are in the bucket. Load this page again; if it fails again, give the id below to whoever runs this server."
	}
	return "Change the value in the address, or start again from the list of builds."
}
