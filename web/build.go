package web

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"vitrine"
)

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

func (BuildPage) template() string { return "build" }
func (BuildPage) section() string  { return "builds" }
func (p BuildPage) title() string {
	return outcomeOf(p.Build).Word + " · " + isolate(cut(p.Build.JobName))
}

// What a build's page shows of a long list before it points at the command line.
const (
	maxArtifacts  = 200
	maxThumbnails = 12
	maxThumbnail  = 8 << 20 // bytes of an image that is loaded unasked
)

// Previous is the build before the page's own in the history, or nil.
func (p BuildPage) Previous() *vitrine.Build { return p.beside(1) }

// Next is the build after the page's own, or nil.
func (p BuildPage) Next() *vitrine.Build { return p.beside(-1) }

func (p BuildPage) beside(step int) *vitrine.Build {
	i := slices.IndexFunc(p.History, func(b vitrine.Build) bool { return b.UUID == p.Build.UUID })
	if i < 0 || i+step < 0 || i+step >= len(p.History) {
		return nil
	}
	return &p.History[i+step]
}

// A file is an artifact on a build's page.
type file struct {
	vitrine.Artifact
	Path      string // of the URL
	Thumbnail bool
}

// Files are the artifacts that the page shows.
func (d document) Files(b vitrine.Build) []file {
	var files []file
	thumbnails := 0
	for _, a := range b.Artifacts[:min(len(b.Artifacts), maxArtifacts)] {
		f := file{Artifact: a, Path: ArtifactPath(d.Tenant, b.UUID, a.Path)}
		switch a.MediaType {
		case "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif":
			f.Thumbnail = !a.Sealed && b.Expired.IsZero() && a.Size <= maxThumbnail && thumbnails < maxThumbnails
		}
		if f.Thumbnail {
			thumbnails++
		}
		files = append(files, f)
	}
	return files
}

// Hidden is how many artifacts [document.Files] leaves out.
func (d document) Hidden(b vitrine.Build) int { return max(0, len(b.Artifacts)-maxArtifacts) }

// operand is a path as an argument that no program takes for a flag.
func operand(p string) string {
	if strings.HasPrefix(p, "-") {
		return "-- " + p
	}
	return p
}

// An opening is the commands for one sealed artifact. Words of a record that
// get into a command are names and paths, whose letters no shell minds.
type opening struct{ Get, Cat, Stock string }

// Opening is how to open the build's first sealed artifact, or nil.
func (p BuildPage) Opening() *opening {
	if !p.Build.Expired.IsZero() {
		return nil
	}
	partial := ""
	if p.Build.State == vitrine.Interrupted {
		partial = "--partial "
	}
	for _, a := range p.Build.Artifacts {
		if !a.Sealed {
			continue
		}
		o := &opening{
			Get:   fmt.Sprintf("vitrine get %s%s -o logs/", partial, p.Build.UUID),
			Cat:   fmt.Sprintf("vitrine cat %s%s %s", partial, p.Build.UUID, operand(a.PlainPath())),
			Stock: "age -d -i KEY " + operand(path.Base(a.Path)),
		}
		if strings.HasSuffix(a.Path, vitrine.SealedSuffix) {
			o.Stock += " | zstd -d"
		}
		return o
	}
	return nil
}

// A signed is where a record and its signature are, and how to check one with
// the other.
type signed struct{ Record, Signature, Signers, Command string }

// Signed is the record that stands for the build: build.json, or started.json
// until there is one.
func (d document) Signed(b vitrine.Build) signed {
	started := b.State != vitrine.Finished
	s := signed{RecordPath(d.Tenant, b.UUID, started), SignaturePath(d.Tenant, b.UUID, started), AllowedSignersPath(d.Tenant, b.Keyring.Commit), ""}
	s.Command = fmt.Sprintf("ssh-keygen -Y verify -f allowed_signers -I %s -n %s -s %s < %s",
		b.Publisher, vitrine.RecordNamespace, path.Base(s.Signature), path.Base(s.Record))
	return s
}

// Readers are the people whom the build was sealed to, with what the keyring
// knows of them and of the keys that the record names.
func (p BuildPage) Readers() []Person {
	people := make([]Person, len(p.Build.Readers))
	for i, r := range p.Build.Readers {
		people[i].Name = r.Name
		var known Person
		if j := slices.IndexFunc(p.People, func(q Person) bool { return q.Name == r.Name }); j >= 0 {
			known = p.People[j]
			people[i].Groups = known.Groups
		}
		for _, f := range r.Fingerprints {
			k := Key{Fingerprint: f}
			if j := slices.IndexFunc(known.Keys, func(k Key) bool { return k.Fingerprint == f }); j >= 0 {
				k = known.Keys[j]
			}
			people[i].Keys = append(people[i].Keys, k)
		}
	}
	return people
}
