package web

import (
	"net/url"
	"regexp"
	"strings"

	"vitrine"
)

// commitPaths are what the forges that everybody knows put between a
// repository's address and a commit. Of any other host nothing is certain.
var commitPaths = map[string]string{
	"github.com": "/commit/", "codeberg.org": "/commit/", "gitea.com": "/commit/", "opendev.org": "/commit/", "git.sr.ht": "/commit/",
	"gitlab.com": "/-/commit/", "salsa.debian.org": "/-/commit/",
}

var commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// commitLink is the page of a commit in a repository that lies on a known forge,
// or empty.
func commitLink(repository, commit string) string {
	u, err := url.Parse(webLink(repository))
	if err != nil || u.Scheme != "https" || commitPaths[u.Host] == "" || u.RawQuery != "" || u.Fragment != "" || !commitHash.MatchString(commit) {
		return ""
	}
	p := strings.TrimSuffix(strings.Trim(u.EscapedPath(), "/"), ".git")
	if strings.Count(p, "/") < 1 {
		return "" // an owner, but no repository
	}
	return "https://" + u.Host + "/" + p + commitPaths[u.Host] + commit
}

// keyringLink is the page of the keyring's commit, or where the keyring is, or
// empty.
func keyringLink(k vitrine.Keyring) string {
	if l := commitLink(k.URL, k.Commit); l != "" {
		return l
	}
	return webLink(k.URL)
}

// CommitBuilds are the builds of the commit: what there is to link to where the
// forge is not known.
func (r row) CommitBuilds() string { return r.d.BuildsWith("newrev", r.Ref.NewRev) }

// pullPath ends the address of a repository in that of a change to it.
var pullPath = regexp.MustCompile(`^(https://[^/]+/.+?)/(?:pull|pulls|-/merge_requests)/[0-9]+(?:/.*)?$`)

// CommitURL is the page of the commit that was built: what the ref's address is
// where there is no change, and else what follows from a change on a known forge.
func (r row) CommitURL() string {
	if r.Ref.Change == 0 {
		return webLink(r.Ref.RefURL)
	}
	if m := pullPath.FindStringSubmatch(r.Ref.RefURL); m != nil {
		return commitLink(m[1], r.Ref.NewRev)
	}
	return ""
}
