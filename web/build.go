package web

import (
	"fmt"
	"net/url"
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
	People []Person
	// KeyringUnknown says that this server has not the commit of the keyring that
	// the record names, so People is empty.
	KeyringUnknown bool
	Signature      Signature
	// Previews are of the files that [Previewed] names.
	Previews []Preview
	// Coming is what has come of a build that runs.
	Coming []vitrine.Artifact
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

// Framing reports whether the page has a frame: see [FramingPolicy].
//
// The page of a build that runs becomes, by live.js, that of one that has ended.
func (p BuildPage) Framing() bool {
	return p.Build.State == vitrine.Running || slices.ContainsFunc(Previewed(p.Build), func(a vitrine.Artifact) bool { return PreviewOf(a) == FramePreview })
}

// Gallery reports whether the build has images that a gallery would show.
func (p BuildPage) Gallery() bool { return len(Images(p.Build)) > 0 }

// Recap is what Ansible counted in the build, if that is public; else nil.
func (p BuildPage) Recap() *vitrine.Recap { return p.Build.Recap() }

// maxLinks bounds the links of an imported build that its page lists.
const maxLinks = 150

// Links are those of an imported build that the page lists.
func (p BuildPage) Links() []vitrine.Link {
	if p.Build.Imported == nil {
		return nil
	}
	return p.Build.Imported.Links[:min(len(p.Build.Imported.Links), maxLinks)]
}

// LinksCut is how many links the page leaves out.
func (p BuildPage) LinksCut() int {
	if p.Build.Imported == nil {
		return 0
	}
	return max(0, len(p.Build.Imported.Links)-maxLinks)
}

// Arriving are the files that have come of a build that runs, as far as the page
// lists them.
func (p BuildPage) Arriving() []vitrine.Artifact { return p.Coming[:min(len(p.Coming), maxListed)] }

// scripts: a build that has not ended may end while somebody looks at it.
func (p BuildPage) scripts() []string {
	if p.Build.EndTime.IsZero() {
		return []string{"live.js"}
	}
	return nil
}

// Ending is where a page hears that a build which runs has ended, and EndingIn
// that one of several has.
func (d document) Ending(uuid string) string { return d.EndingIn([]string{uuid}) }

// EndingIn: see Ending.
func (d document) EndingIn(uuids []string) string {
	return EventsPath(d.Tenant, url.Values{"uuid": uuids, ParamRunning: uuids})
}

// LogsPath is the folder of a build's files.
func (d document) LogsPath(uuid string) string { return LogsPath(d.Tenant, uuid) }

// GalleryPath is the gallery of a build's images beside those of another.
func (d document) GalleryPath(uuid, beside string) string { return GalleryPath(d.Tenant, uuid, beside) }

// Named is a build as vitrine's commands take it: by the address of its page, so that
// they do as they were copied, wherever that is.
func (d document) Named(uuid string) string {
	if d.PublicURL == "" {
		return short(uuid)
	}
	return d.PublicURL + BuildPath(d.Tenant, uuid)
}

// operand is a path as an argument that no program takes for a flag.
func operand(p string) string {
	if strings.HasPrefix(p, "-") {
		return "-- " + p
	}
	return p
}

// An opening is the commands for one sealed artifact. Words of a record that
// get into a command are names and paths, whose letters no shell minds.
// Why and View are empty where there is nothing for them.
type opening struct{ Why, View, Get, Cat, Stock string }

// Opening is how to open the first sealed artifact of the build, which is named as
// [document.Named] does; or nil.
func (p BuildPage) Opening(build string) *opening {
	if !p.Build.Expired.IsZero() {
		return nil
	}
	partial := ""
	if p.Build.State == vitrine.Interrupted {
		partial = "--partial "
	}
	for _, a := range p.Build.Artifacts {
		if !a.Sealed || a.IsSummary() {
			continue
		}
		o := &opening{
			Get:   fmt.Sprintf("vitrine get %s%s -o logs/", partial, build),
			Cat:   fmt.Sprintf("vitrine cat %s%s %s", partial, build, operand(a.PlainPath())),
			Stock: "age -d -i KEY " + operand(path.Base(a.Path)),
		}
		if strings.HasSuffix(a.Path, vitrine.SealedSuffix) {
			o.Stock += " | zstd -d"
		}
		if p.Build.State == vitrine.Finished {
			o.View = "vitrine view " + build
			if outcomeOf(p.Build).Kind == "bad" {
				o.Why = "vitrine why " + build
			}
		}
		return o
	}
	return nil
}

// Partial is the command that reads what has come of a build, should it be
// interrupted; empty, if nothing has.
func (p BuildPage) Partial(build string) string {
	for _, a := range p.Coming {
		if a.Sealed {
			return fmt.Sprintf("vitrine cat --partial %s %s", build, operand(a.PlainPath()))
		}
	}
	return ""
}

// ImportedPath is the record of an imported build.
func (d document) ImportedPath(uuid string) string { return ImportedPath(d.Tenant, uuid) }

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
