package web

import (
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

// FilterParams are the query parameters that narrow the list of builds, in the
// order they are shown. All but from and to may be repeated, which means or.
// Names are Zuul's, except service, from and to (days, 2026-11-22, in UTC).
// Empty values, which a form sends for untouched fields, mean nothing.
var FilterParams = []string{"service", "job_name", "project", "branch", "pipeline", "change", "result", "uuid", "from", "to"}

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

// BuildsPath is the list of builds, narrowed by [FilterParams] and paged by
// [ParamBefore] and [ParamAfter]; other parameters and empty values are left out.
func BuildsPath(tenant string, query url.Values) string {
	q := make(url.Values)
	for _, name := range append([]string{ParamBefore, ParamAfter}, FilterParams...) {
		for _, v := range query[name] {
			if v != "" {
				q.Add(name, v)
			}
		}
	}
	p := tenantPath(tenant, "builds")
	if len(q) > 0 {
		p += "?" + q.Encode()
	}
	return p
}

// BuildPath is the page of one build.
func BuildPath(tenant, uuid string) string { return tenantPath(tenant, "build", uuid) }

// BuildsetPath is the page of the builds of one event.
func BuildsetPath(tenant, uuid string) string { return tenantPath(tenant, "buildset", uuid) }

// ServicePath is the page of one service.
func ServicePath(tenant, name string) string { return tenantPath(tenant, "service", name) }

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
