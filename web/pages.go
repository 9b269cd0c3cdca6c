package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
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
	Class       string // classic, pq or private

	HidesNames  bool // of sealed files; PublicNames are patterns of those it shows
	PublicNames []string
	PublicRecap bool // the counts of the recap
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
	// Rest is the query of the same list without the value that was wrong, if
	// that is what was.
	Rest url.Values
	// UnknownResult is the result that was asked for, if there is no such one.
	UnknownResult string
	// Build is the id of the build that was asked for, if there is none.
	Build string
	// RequestID finds the error in the server's log; shown with a 5xx.
	RequestID string
}

func (KeyringPage) template() string { return "keyring" }
func (KeyringPage) section() string  { return "keyring" }
func (KeyringPage) title() string    { return "Keyring" }

func (ErrorPage) template() string { return "error" }
func (ErrorPage) section() string  { return "" }
func (p ErrorPage) title() string  { return p.Heading() }

// Heading is the status in words.
func (p ErrorPage) Heading() string {
	switch {
	case p.UnknownResult != "":
		return "No result is called " + isolate(cut(p.UnknownResult))
	case p.Build != "":
		return "There is no build " + isolate(cut(p.Build))
	}
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
	case p.UnknownResult != "":
		return "These are the results, with Zuul’s names for them:"
	case p.Build != "":
		return "It may not be published yet, or its id be mistyped: an id has 32 digits from 0 to f, and the search above takes the first of them."
	case p.Status == http.StatusNotFound:
		return "The address may be mistyped, or the build not published yet."
	case p.Status == http.StatusTooManyRequests:
		return "Wait a minute, then load this page again."
	case p.Status == http.StatusServiceUnavailable:
		return "The server is reading its history from the bucket. Load this page again in a minute."
	case p.Status >= 500:
		return "Nothing is lost: the builds are in the bucket. Load this page again; if it fails again, give the id below to whoever runs this server."
	}
	if p.Rest != nil {
		return "Change the value in the address, or look at the list without it."
	}
	return "Change the value in the address, or start again from the list of builds."
}

// Results are those that may be asked for, if the one that was does not exist.
func (p ErrorPage) Results() []option {
	if p.UnknownResult == "" {
		return nil
	}
	return resultOptions(nil)
}

// Kinds are the different kinds of the person's keys, for small badges.
func (p Person) Kinds() []string {
	var kinds []string
	for _, k := range p.Keys {
		if k.Kind != "" && !slices.Contains(kinds, k.Kind) {
			kinds = append(kinds, k.Kind)
		}
	}
	return kinds
}

// Initials stand for the person in a small disc.
func (p Person) Initials() string { return strings.ToUpper(p.Name[:min(2, len(p.Name))]) }

// ReadBy are the names of the services whose logs the person can read.
func (p KeyringPage) ReadBy(name string) []string {
	var services []string
	for _, s := range p.Services {
		if slices.ContainsFunc(s.Readers, func(r Person) bool { return r.Name == name && r.Problem == "" }) {
			services = append(services, s.Name)
		}
	}
	return services
}

// Days is the retention in whole days.
func (s Service) Days() int { return int(s.Retention / (24 * time.Hour)) }
