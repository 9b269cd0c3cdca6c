package web

import (
	"net/url"
	"path"
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

// Within is a path as it is named in the folder.
func (p LogsPage) Within(file string) string { return strings.TrimPrefix(file, p.Folder) }

// Name is a path as the folder's page links to it: relative, as all that reads
// the index of a web server expects. A colon would make a scheme of what is
// before it.
func (p LogsPage) Name(file string) string {
	return strings.ReplaceAll(url.PathEscape(path.Base(file)), ":", "%3A")
}
