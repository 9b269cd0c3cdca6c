package keyring

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// A location is a parsed keyring location.
type location struct {
	dir    string // of a local one
	rev    string // of a local one, or "" for HEAD
	remote string // the URL to clone, with user and password if it has them
	branch string // of a remote one, or "" for its HEAD
	path   string // the keyring's folder in a remote one, or "" for the default
}

// scpForm is [user@]host:path. A host of one letter is a drive.
var scpForm = regexp.MustCompile(`^([A-Za-z0-9_.-]+@)?([A-Za-z0-9][A-Za-z0-9.-]+):([^\\].*)$`)

// parseLocation tells the forms of a location apart: DIR[#REV], or
// GIT-URL[#BRANCH[:PATH]].
func parseLocation(s string) (location, error) {
	base, fragment, _ := strings.Cut(s, "#")
	if base == "" {
		return location{}, errors.New("no keyring location: want a folder in git or a git URL")
	}
	isURL := strings.Contains(base, "://")
	if !isURL {
		_, err := os.Stat(base)
		m := scpForm.FindStringSubmatch(base)
		if err == nil || m == nil {
			return location{dir: base, rev: fragment}, nil
		}
		base = "ssh://" + m[1] + m[2] + "/" + strings.TrimPrefix(m[3], "/")
	}
	u, err := url.Parse(base)
	if err != nil {
		// url.Error quotes the URL, which may hold a password.
		return location{}, errors.New("keyring location: not a URL")
	}
	switch u.Scheme {
	case "https", "ssh", "file":
	case "http", "git":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return location{}, fmt.Errorf("keyring location: over %s anybody on the way could add a reader; use https or ssh", u.Scheme)
		}
	default:
		return location{}, fmt.Errorf("keyring location: can't clone over %q; use https or ssh", u.Scheme)
	}
	branch, path, _ := strings.Cut(fragment, ":")
	path = strings.Trim(path, "/")
	for _, part := range strings.Split(path, "/") {
		if part == ".." || part == "." || part == ".git" {
			return location{}, fmt.Errorf("keyring location: %q is not a folder in a repository", path)
		}
	}
	return location{remote: base, branch: branch, path: path}, nil
}

// publicURL is a remote's URL as it may stand in a record: without user,
// password, query and fragment, and "" for what is no address to others.
func publicURL(remote string) string {
	if !strings.Contains(remote, "://") {
		m := scpForm.FindStringSubmatch(remote)
		if m == nil {
			return ""
		}
		remote = "ssh://" + m[2] + "/" + strings.TrimPrefix(m[3], "/")
	}
	u, err := url.Parse(remote)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh" && u.Scheme != "git" {
		return ""
	}
	u.User, u.RawQuery, u.Fragment, u.ForceQuery = nil, "", "", false
	return u.String()
}

// withoutSecret removes a remote's password from an error that some layer below
// may have put it into.
func withoutSecret(remote string, err error) error {
	u, perr := url.Parse(remote)
	if perr != nil || u.User == nil {
		return err
	}
	secret, _ := u.User.Password()
	text := err.Error()
	for _, s := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), u.User.String()} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
