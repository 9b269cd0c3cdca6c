package web

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"vitrine"
)

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

// A lane is a build in a buildset's timeline, in hundredths of its length.
type lane struct {
	row
	X, Width float64
}

// A timeline is the builds of a buildset against time.
type timeline struct {
	Lanes []lane
	// Cause is the build whose state tells how the whole stands: one that runs,
	// or else one that failed, got lost, succeeded.
	Cause      row
	Start, End time.Time
	Took       string
}

// Timeline orders the builds by their start. A build that has not ended
// reaches to now, one that got lost to the end of the others.
func (d document) Timeline(bs []vitrine.Build) timeline {
	bs = slices.Clone(bs)
	slices.SortStableFunc(bs, func(a, b vitrine.Build) int { return a.StartTime.Compare(b.StartTime) })
	var t timeline
	for _, b := range bs {
		if t.Start.IsZero() || b.StartTime.Before(t.Start) {
			t.Start = b.StartTime
		}
		end := b.EndTime
		if b.State == vitrine.Running {
			end = d.Now
		}
		for _, e := range []time.Time{b.StartTime, end} {
			if e.After(t.End) {
				t.End = e
			}
		}
	}
	total := max(t.End.Sub(t.Start), time.Second)
	t.Took = duration(total)
	for _, b := range bs {
		end := b.EndTime
		if end.IsZero() {
			end = t.End
		}
		t.Lanes = append(t.Lanes, lane{
			row:   d.Row(b),
			X:     100 * float64(b.StartTime.Sub(t.Start)) / float64(total),
			Width: max(0.6, 100*float64(end.Sub(b.StartTime))/float64(total)),
		})
	}
	for _, kind := range []string{"none", "ok", "lost", "bad", "run"} {
		for _, l := range t.Lanes {
			if l.Outcome.Kind == kind {
				t.Cause = l.row
			}
		}
	}
	return t
}

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
