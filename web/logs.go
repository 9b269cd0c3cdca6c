package web

import (
	"strings"

	"vitrine"
)

// A LogsPage lists a folder of a build's files.
type LogsPage struct {
	Build   vitrine.Build
	Folder  string   // empty: the whole; else it ends in a slash
	Folders []string // right in it, by name
	Files   []vitrine.Artifact
	Made    []string // files in it that the server makes
}

func (LogsPage) template() string { return "logs" }
func (LogsPage) section() string  { return "builds" }
func (p LogsPage) title() string  { return "Files of " + isolate(cut(p.Build.JobName)) }

// LogPath is a path below the build's folder.
func (d document) LogPath(p LogsPage, path string) string {
	return LogPath(d.Tenant, p.Build.UUID, path)
}

// Within is a path as it is named in the folder.
func (p LogsPage) Within(path string) string { return strings.TrimPrefix(path, p.Folder) }
