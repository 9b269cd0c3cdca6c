package web

import (
	"fmt"
	"net/url"
	"strings"

	"vitrine"
)

// The paths of everything that a page links to. The server routes by the same
// shapes; a test holds every link of every page against these functions.

// HomePath is the front page, the overview of the server's first tenant.
const HomePath = "/"

// Query parameters of the list of builds that page through it. The values are
// the server's cursors, as [BuildsPage] was given them.
const (
	ParamBefore = "before" // builds older than the cursor
	ParamAfter  = "after"  // builds newer than the cursor
)

// Query parameters that only forms and scripts send.
const (
	ParamNot     = "not"     // name of a filter whose last value is to be excluded
	ParamAt      = "at"      // a day: leads to the page that begins at its end
	ParamRunning = "running" // uuid of a running build whose end [EventsPath] is to tell
)

// What values of [FilterParams] may be beside names and results.
const (
	Not           = "not:"    // begins a value that excludes
	ResultRunning = "RUNNING" // a build that has no result yet
)

// FilterParams are the query parameters that narrow a list of builds, in the
// order they are shown. All but [SingleParams] may be repeated, which means or;
// a value that begins with [Not] means all others.
// Names are Zuul's, except service, text (part of a job's or project's name),
// from and to (days, 2026-11-22, in UTC). voting, held and final are 1 or 0.
// Empty values, which a form sends for untouched fields, mean nothing.
var FilterParams = []string{"text", "service", "job_name", "project", "branch", "pipeline", "change", "patchset", "ref", "newrev",
	"result", "nodeset", "voting", "held", "final", "uuid", "buildset", "from", "to"}

// SingleParams are those of [FilterParams] that have one value at most, and none
// that excludes.
var SingleParams = []string{"text", "voting", "held", "final", "from", "to"}

func tenantPath(tenant string, parts ...string) string {
	p := "/t/" + url.PathEscape(tenant)
	for _, s := range parts {
		p += "/" + url.PathEscape(s)
	}
	return p
}

func apiPath(tenant string, parts ...string) string {
	return "/api/v1" + strings.Replace(tenantPath(tenant, parts...), "/t/", "/tenant/", 1)
}

// ServicesPath is the overview of a tenant's services.
func ServicesPath(tenant string) string { return tenantPath(tenant, "services") }

// filtered appends the [FilterParams] of a query, and the others that are named,
// to a path; other parameters and empty values are left out.
func filtered(p string, query url.Values, others ...string) string {
	q := make(url.Values)
	for _, name := range append(others, FilterParams...) {
		for _, v := range query[name] {
			if v != "" {
				q.Add(name, v)
			}
		}
	}
	if len(q) > 0 {
		p += "?" + q.Encode()
	}
	return p
}

// BuildsPath is the list of builds, narrowed by [FilterParams] and paged by
// [ParamBefore] and [ParamAfter].
func BuildsPath(tenant string, query url.Values) string {
	return filtered(tenantPath(tenant, "builds"), query, ParamBefore, ParamAfter)
}

// EventsPath tells, as server-sent events, how many builds came after a list's
// [ParamAfter], and which of its [ParamRunning] run no more.
func EventsPath(tenant string, query url.Values) string {
	return filtered(tenantPath(tenant, "builds", "events"), query, ParamAfter, ParamRunning)
}

// FeedPath is the feed of the builds that a filter is for, in a format: atom
// (RFC 4287) or json (JSON Feed 1.1).
func FeedPath(tenant, format string, filter url.Values) string {
	return filtered(tenantPath(tenant, "feed."+format), filter)
}

// BadgePath is an SVG that says how the last build that a filter is for ended.
func BadgePath(tenant string, filter url.Values) string {
	return filtered(tenantPath(tenant, "badge.svg"), filter)
}

// LatestPath leads to the page of the newest build that a filter is for.
func LatestPath(tenant string, filter url.Values) string {
	return filtered(tenantPath(tenant, "latest"), filter)
}

// LatestSuccessPath leads to the newest one that succeeded.
func LatestSuccessPath(tenant string, filter url.Values) string {
	return filtered(tenantPath(tenant, "latest-success"), filter)
}

// BuildPath is the page of one build.
func BuildPath(tenant, uuid string) string { return tenantPath(tenant, "build", uuid) }

// BuildsetPath is the page of the builds of one event.
func BuildsetPath(tenant, uuid string) string { return tenantPath(tenant, "buildset", uuid) }

// GalleryPath shows a build's public images, beside those of the build before it
// if beside is its uuid.
func GalleryPath(tenant, uuid, beside string) string {
	p := tenantPath(tenant, "build", uuid, "gallery")
	if beside != "" {
		p += "?" + url.Values{"beside": {beside}}.Encode()
	}
	return p
}

// PreviewPath is a public file of a build as a sandboxed frame shows it.
func PreviewPath(tenant, uuid, path string) string {
	return tenantPath(tenant, append([]string{"build", uuid, "preview"}, strings.Split(path, "/")...)...)
}

// FilePath is where a build's page shows a file.
func FilePath(tenant, uuid, path string) string {
	return BuildPath(tenant, uuid) + "#" + (&url.URL{Fragment: fileID(path)}).EscapedFragment()
}

// LogsPath is the folder of a build's files, as Zuul's log_url.
func LogsPath(tenant, uuid string) string {
	return "/logs" + strings.TrimPrefix(tenantPath(tenant, uuid), "/t") + "/"
}

// LogPath is a file in that folder, or a folder below it if path ends in a slash.
func LogPath(tenant, uuid, path string) string {
	p := LogsPath(tenant, uuid)
	for i, part := range strings.Split(path, "/") {
		if i > 0 {
			p += "/"
		}
		p += url.PathEscape(part)
	}
	return p
}

// ServicePath is the page of one service.
func ServicePath(tenant, name string) string { return tenantPath(tenant, "service", name) }

// LargePath is the large view of the n-th image of a build, from 1, in its gallery.
func LargePath(tenant, uuid string, n int) string {
	return fmt.Sprintf("%s#view-%d", GalleryPath(tenant, uuid, ""), n)
}

// JobPath is the page of one job. A name that proxies or browsers would not
// leave alone in a path gets the list narrowed to it instead.
func JobPath(tenant, name string) string {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return BuildsPath(tenant, url.Values{"job_name": {name}})
	}
	return tenantPath(tenant, "job", name)
}

// KeyringPath is the page that says who can read what.
func KeyringPath(tenant string) string { return tenantPath(tenant, "keyring") }

// SearchPath is where the search box sends its question, as parameter q.
func SearchPath(tenant string) string { return tenantPath(tenant, "search") }

// ArtifactPath is a stored file of a build; path is as stored.
func ArtifactPath(tenant, uuid, path string) string {
	return apiPath(tenant, append([]string{"builds", uuid, "artifacts"}, strings.Split(path, "/")...)...)
}

// RecordPath is the signed record of a build, byte for byte: build.json, or
// started.json of a build that has not ended.
func RecordPath(tenant, uuid string, started bool) string {
	if started {
		return apiPath(tenant, "builds", uuid, "started.json")
	}
	return apiPath(tenant, "builds", uuid, "build.json")
}

// ImportedPath is the record of an imported build, which nobody signed.
func ImportedPath(tenant, uuid string) string {
	return apiPath(tenant, "builds", uuid, "imported.json")
}

// SignaturePath is the signature of the record at [RecordPath].
func SignaturePath(tenant, uuid string, started bool) string {
	return RecordPath(tenant, uuid, started) + ".sig"
}

// AllowedSignersPath is the file of publishers' keys that ssh-keygen -Y verify
// takes, as the keyring had them at a commit; as it has them now, if it is empty.
func AllowedSignersPath(tenant, commit string) string {
	p := apiPath(tenant, "allowed_signers")
	if commit != "" {
		p += "?" + url.Values{"commit": {commit}}.Encode()
	}
	return p
}

// webLink is s if it is a link that a page may carry, and empty if not.
func webLink(s string) string {
	if !vitrine.ValidLink(s) {
		return ""
	}
	return s
}
