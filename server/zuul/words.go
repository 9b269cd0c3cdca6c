package zuul

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/zuul"
)

// text is nil for an empty string, which is null in Zuul's database.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func moment(t time.Time) *zuul.Time {
	if t.IsZero() {
		return nil
	}
	z := zuul.Time(t)
	return &z
}

func refOf(r vitrine.Ref) zuul.Ref {
	z := zuul.Ref{
		Project: r.Project, Branch: text(r.Branch), Patchset: text(r.Patchset), Ref: r.Ref,
		OldRev: text(r.OldRev), NewRev: text(r.NewRev), RefURL: text(r.RefURL),
	}
	if r.Change != 0 {
		z.Change = &r.Change
	}
	return z
}

// outcomeOf is the result of a build and what is said of it. Zuul has no word for
// a build whose end nobody told, and null would have clients wait for ever.
func outcomeOf(b vitrine.Build) (result, detail *string) {
	lost := string(vitrine.LostResult)
	switch b.State {
	case vitrine.Running:
		return nil, nil
	case vitrine.Lost:
		return &lost, text("no word came of how it ended")
	case vitrine.Interrupted:
		return &lost, text("its runner went silent: the logs are there as far as they came")
	}
	return text(string(b.Result)), text(b.ErrorDetail)
}

// buildOf is a build as it stands within a buildset. b is whole, with artifacts.
func (a *api) buildOf(b vitrine.Build) (zuul.Build, error) {
	z := zuul.Build{
		ID: b.ID, UUID: b.UUID, JobName: b.JobName, Held: b.Held(), Voting: b.Voting, Final: b.Final(),
		StartTime: moment(b.StartTime), EndTime: moment(b.EndTime), Nodeset: text(b.Nodeset),
		Artifacts: []zuul.Artifact{}, Provides: []zuul.Provides{}, Ref: refOf(b.Ref),
	}
	z.Result, z.ErrorDetail = outcomeOf(b)
	if !b.EndTime.IsZero() {
		seconds := b.Duration().Seconds()
		z.Duration = &seconds
	}
	var err error
	switch {
	case b.Imported != nil:
		z.LogURL = text(b.Imported.LogURL)
		for _, l := range b.Imported.Links {
			z.Artifacts = append(z.Artifacts, zuul.Artifact{Name: l.Name, URL: l.URL, Metadata: l.Metadata})
		}
	case b.State == vitrine.Finished || b.State == vitrine.Interrupted:
		folder := a.LogURL(b.UUID)
		z.LogURL = &folder
		z.Artifacts, err = artifactsOf(b, folder)
	}
	return z, err
}

// topBuildOf is a build as it stands at the top of an answer.
func (a *api) topBuildOf(b vitrine.Build, refs []zuul.Ref) (zuul.Build, error) {
	z, err := a.buildOf(b)
	z.BuildContext = &zuul.BuildContext{
		Pipeline: b.Pipeline, EventID: text(b.EventID),
		Buildset: zuul.BuildsetRef{UUID: b.Buildset, Refs: refs},
	}
	return z, err
}

// artifactsOf are the links of a build that was published here: the manifest, the
// sealed files as one, the way to open them, and each public file.
func artifactsOf(b vitrine.Build, folder string) ([]zuul.Artifact, error) {
	list := []zuul.Artifact{}
	var failed error
	add := func(name, path string, metadata map[string]any) {
		m, err := json.Marshal(metadata)
		if err != nil {
			failed = err
		}
		list = append(list, zuul.Artifact{Name: name, URL: folder + escapePath(path), Metadata: m})
	}
	add("Zuul Manifest", ManifestName, map[string]any{"type": "zuul_manifest"})
	files, hashes, size := []string{}, map[string]string{}, int64(0)
	for _, f := range b.Artifacts {
		if f.Sealed {
			files = append(files, f.Path)
			size += f.Size
			if f.SHA256 != "" {
				hashes[f.Path] = f.SHA256
			}
		}
	}
	if len(files) > 0 {
		readers := []string{}
		for _, r := range b.Readers {
			readers = append(readers, r.Name)
		}
		add("Encrypted logs", "", map[string]any{
			"logfiles": files, "sha256": hashes, "size": size, "service": b.Service, "recipients": readers,
			"keyring_commit": b.Keyring.Commit, "keyring_url": b.Keyring.URL, "expires_at": moment(b.Expires), "state": stateOf(b),
		})
		if HasScript(b) {
			add("Download script", ScriptName, map[string]any{"type": "vitrine_script"})
		}
	}
	for _, f := range b.Artifacts {
		if f.Sealed || IsGenerated(f.Path) {
			continue
		}
		m := map[string]any{}
		for k, v := range f.Metadata {
			m[k] = v
		}
		m["size"], m["sha256"], m["media_type"], m["expires_at"], m["state"] = f.Size, f.SHA256, f.MediaType, moment(b.Expires), stateOf(b)
		add(f.Name, f.Path, m)
	}
	return list, failed
}

// HasScript reports whether a build's folder has the script named [ScriptName]:
// something is sealed and came to its end.
func HasScript(b vitrine.Build) bool {
	return b.State == vitrine.Finished && b.Expired.IsZero() && slices.ContainsFunc(b.Artifacts, func(f vitrine.Artifact) bool { return f.Sealed })
}

// IsGenerated reports whether the server itself makes the file at a path, so that
// one which a build published there is not seen.
func IsGenerated(path string) bool { return path == ManifestName || path == ScriptName }

func stateOf(b vitrine.Build) string {
	if !b.Expired.IsZero() {
		return "expired"
	}
	return string(b.State)
}

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

func buildsetOf(s index.Buildset) zuul.Buildset {
	z := zuul.Buildset{
		ID: s.ID, UUID: s.UUID, Result: text(string(s.Result)), Pipeline: s.Pipeline, EventID: text(s.EventID),
		FirstBuildStartTime: moment(s.Start), LastBuildEndTime: moment(s.End), Refs: []zuul.Ref{},
	}
	for _, r := range s.Refs {
		z.Refs = append(z.Refs, refOf(r))
	}
	return z
}
