// Package keyring reads the directory in git that says who may read which
// service's logs, which runner may publish them, and which of their files may
// be public.
//
// A keyring is written by whoever may propose a change, so every byte of it is
// hostile until it is checked: a keyring is used whole or not at all, never in
// part. This package does no cryptography of its own, runs no program that a
// keyring names, holds no private key, and never prints one that somebody
// pasted by mistake.
package keyring

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine"
)

// The classes of keys. age does not let one file be sealed to both.
const (
	Classic     = "classic" // X25519, tag, ssh-ed25519, ssh-rsa
	PostQuantum = "pq"      // hybrid, tag-pq
	Private     = "private" // X25519: what is sealed to it holds no mark of the key
)

// ErrNoService says that no service of the keyring owns a job.
var ErrNoService = errors.New("no service owns the job")

// A Keyring is a checked keyring. It is shared between callers and must not be
// changed.
type Keyring struct {
	Commit string // the commit it was read at; empty for a plain directory
	URL    string // where it can be cloned from, without user and password; may be empty

	People     map[string]*Person
	Publishers map[string]*Publisher
	Groups     map[string][]string // names of people, in the file's order
	Services   map[string]*Service

	Warnings []Problem // what does not forbid the keyring's use
}

// A Person may read logs with any of the keys.
type Person struct {
	Name string
	Keys []Key // in the file's order
}

// A Publisher may sign records with any of the keys.
type Publisher struct {
	Name string
	Keys []ssh.PublicKey // in the file's order
}

// A Service owns jobs and has readers.
type Service struct {
	Name        string
	Description string
	URL         string // http or https, or empty
	Jobs        []vitrine.Glob
	Readers     []string // people and groups, as written
	Publishers  []string
	Public      []vitrine.Glob // paths that may be published unsealed
	HidesNames  bool           // names of sealed files are public only where PublicNames says so
	PublicNames []vitrine.Glob
	PublicRecap bool          // the counts of Ansible's recap are public, summed up over hosts
	Retention   time.Duration // 0: for ever
	MinReaders  int           // at least 1
	Class       string        // Classic, PostQuantum or Private, also where the file leaves it open
}

// Load reads and checks a keyring. If anything is wrong with it the error is an
// [*Invalid] that lists all of it.
func Load(fsys fs.FS) (*Keyring, error) {
	return load(dirTree{fsys}, time.Now())
}

// OpenDir reads a keyring from a directory as it lies there, whether it is in
// git or not. Nothing outside of the directory is ever opened.
func OpenDir(dir string) (*Keyring, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	defer root.Close()
	k, err := Load(root.FS())
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", dir, err)
	}
	return k, nil
}

// ServiceOf returns the one service that owns the job, or an error that wraps
// [ErrNoService].
func (k *Keyring) ServiceOf(job string) (*Service, error) {
	for _, name := range slices.Sorted(maps.Keys(k.Services)) {
		for _, g := range k.Services[name].Jobs {
			if g.Match(job) {
				return k.Services[name], nil // no other can match: Load refuses overlaps
			}
		}
	}
	return nil, fmt.Errorf("job %q: %w", job, ErrNoService)
}

// IsPublic reports whether the file at path may be published unsealed.
func (s *Service) IsPublic(path string) bool {
	return slices.ContainsFunc(s.Public, func(g vitrine.Glob) bool { return g.Match(path) })
}

// ShowsName reports whether everybody may know the name of the file at path.
func (s *Service) ShowsName(path string) bool {
	return !s.HidesNames || s.IsPublic(path) ||
		slices.ContainsFunc(s.PublicNames, func(g vitrine.Glob) bool { return g.Match(path) })
}

// PublisherKeys returns the keys that may sign the service's records, by the
// publisher's name. It is empty for a service that the keyring does not have.
func (k *Keyring) PublisherKeys(service string) map[string][]ssh.PublicKey {
	keys := make(map[string][]ssh.PublicKey)
	if s := k.Services[service]; s != nil {
		for _, name := range s.Publishers {
			keys[name] = slices.Clone(k.Publishers[name].Keys)
		}
	}
	return keys
}

// AllowedSigners returns all publishers in the format of ssh-keygen's
// allowed_signers file, good for the signatures of records alone.
func (k *Keyring) AllowedSigners() []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(k.Publishers)) {
		for _, key := range k.Publishers[name].Keys {
			fmt.Fprintf(&b, "%s namespaces=%q %s %s\n", name, vitrine.RecordNamespace,
				key.Type(), base64.StdEncoding.EncodeToString(key.Marshal()))
		}
	}
	return b.Bytes()
}

// Expires returns when what a build of the service leaves may be removed, given
// its start; zero: never.
func (s *Service) Expires(start time.Time) time.Time {
	if s.Retention == 0 {
		return time.Time{}
	}
	return start.Add(s.Retention)
}
