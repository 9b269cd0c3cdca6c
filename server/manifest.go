package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"vitrine"
	"vitrine/server/zuul"
	"vitrine/web"
)

// A logFile is a file of a build's folder of logs.
type logFile struct {
	path       string
	artifact   vitrine.Artifact // the zero value: the server makes it
	mediaType  string
	encoding   string // gzip, or empty
	size       int64
	attachment bool // never shown in place
}

// logFileOf is the file of an artifact; ok is false if the server makes one of that
// name.
func logFileOf(a vitrine.Artifact) (f logFile, ok bool) {
	if zuul.IsGenerated(a.Path) && !a.Sealed {
		return logFile{}, false
	}
	f = logFile{path: a.Path, artifact: a, size: a.Size}
	f.mediaType, f.attachment = logType(a)
	if isGzippedOutput(a) {
		f.mediaType, f.encoding, f.attachment = "application/json", "gzip", false
	}
	return f, true
}

// logFiles are all files of a build's folder but the manifest, by path.
func (s *Server) logFiles(b vitrine.Build) []logFile {
	var files []logFile
	for _, a := range b.Artifacts {
		if f, ok := logFileOf(a); ok {
			files = append(files, f)
		}
	}
	if zuul.HasScript(b) {
		files = append(files, logFile{path: zuul.ScriptName, mediaType: plainText, size: int64(len(s.downloadScript(b)))})
	}
	slices.SortFunc(files, func(a, b logFile) int { return cmp.Compare(a.path, b.path) })
	return files
}

// folderOf are the files and folders that lie right in a folder, sorted by name;
// ok is false if there is no such folder. A folder's name ends in a slash, and the
// root is empty.
func folderOf(files []logFile, folder string) (folders []string, here []logFile, ok bool) {
	for _, f := range files {
		rest, below := strings.CutPrefix(f.path, folder)
		if !below {
			continue
		}
		ok = true
		if name, _, deeper := strings.Cut(rest, "/"); !deeper {
			here = append(here, f)
		} else if !slices.Contains(folders[max(0, len(folders)-1):], name) {
			folders = append(folders, name)
		}
	}
	slices.Sort(folders) // a-b/ comes before a/ by path
	return slices.Compact(folders), here, ok || folder == ""
}

// A manifestNode is a file or a folder of zuul-manifest.json. Zuul's clients know
// all but the last two.
type manifestNode struct {
	Name         string         `json:"name"`
	MimeType     string         `json:"mimetype"`
	Encoding     *string        `json:"encoding"`
	Children     []manifestNode `json:"children,omitempty"`
	LastModified *int64         `json:"last_modified,omitempty"` // seconds since 1970
	Size         *int64         `json:"size,omitempty"`          // bytes, as stored
	Sealed       *bool          `json:"sealed,omitempty"`
	SHA256       string         `json:"sha256,omitempty"` // of the stored bytes
}

// manifest is zuul-manifest.json of a build.
func (s *Server) manifest(b vitrine.Build) ([]byte, error) {
	modified := lastModified(b).Unix()
	text, err := json.Marshal(struct {
		Tree       []manifestNode `json:"tree"`
		IndexLinks bool           `json:"index_links"`
	}{manifestTree(s.logFiles(b), "", modified), false})
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", b.UUID, err)
	}
	return text, nil
}

// manifestTree is a folder: its folders first, then its files.
func manifestTree(files []logFile, folder string, modified int64) []manifestNode {
	nodes := []manifestNode{}
	folders, here, _ := folderOf(files, folder)
	for _, name := range folders {
		below := folder + name + "/"
		// What lies below a folder is together, as files are sorted.
		first, _ := slices.BinarySearchFunc(files, below, func(f logFile, p string) int { return strings.Compare(f.path, p) })
		last := first
		for last < len(files) && strings.HasPrefix(files[last].path, below) {
			last++
		}
		nodes = append(nodes, manifestNode{Name: name, MimeType: "application/directory", Children: manifestTree(files[first:last], below, modified)})
	}
	for _, f := range here {
		mediaType, _, _ := strings.Cut(f.mediaType, ";")
		n := manifestNode{
			Name: strings.TrimPrefix(f.path, folder), MimeType: mediaType,
			LastModified: &modified, Size: &f.size, Sealed: &f.artifact.Sealed, SHA256: f.artifact.SHA256,
		}
		if f.encoding != "" {
			n.Encoding = &f.encoding
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// lastModified is when the files of a build came to their end.
func lastModified(b vitrine.Build) time.Time {
	if b.EndTime.IsZero() {
		return b.StartTime
	}
	return b.EndTime
}

// downloadScript fetches the sealed files of a build and opens them with stock
// tools. All that stands in it is of characters that need no quoting but the
// address, which is quoted.
func (s *Server) downloadScript(b vitrine.Build) []byte {
	var t strings.Builder
	address := strings.ReplaceAll(s.PublicURL+web.LogsPath(s.Tenant, b.UUID), "'", `'\''`)
	fmt.Fprintf(&t, scriptHead, b.UUID, address)
	for _, a := range b.Artifacts {
		if !a.Sealed {
			continue
		}
		unpack := "cat"
		if strings.HasSuffix(a.Path, vitrine.SealedSuffix) {
			unpack = "zstd"
		}
		fmt.Fprintf(&t, "fetch %s '%s' '%s' %s\n", unpack, a.Path, a.PlainPath(), a.SHA256)
	}
	return []byte(t.String())
}

const scriptHead = `#!/usr/bin/env bash
# Fetches the sealed files of build %[1]s
# and opens them with your own identity, which stays on this machine.
# Needs curl, age and zstd. Read it, then run it:
#
#   bash download-logs.sh IDENTITY [DIR]
#
# "vitrine get" does the same, and checks who published the build too.
set -euo pipefail
umask 077
url='%[2]s'
identity=${1:?usage: bash download-logs.sh IDENTITY [DIR]}
dir=${2:-logs-%[1]s}
mkdir -p -- "$dir"
dir=$(cd -- "$dir" && pwd)
sealed=$(mktemp "$dir/.sealed.XXXXXXXX")
opened=$(mktemp "$dir/.opened.XXXXXXXX")
trap 'rm -f -- "$sealed" "$opened"' EXIT

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
unpack() { if [ "$1" = zstd ]; then zstd -dqc; else cat; fi; }

# A file gets its name only after its last byte was opened.
fetch() { # KIND PATH NAME SHA256
  curl -fsSL --proto '=http,https' --output "$sealed" "$url$2"
  if [ "$(hash <"$sealed" | cut -d' ' -f1)" != "$4" ]; then
    echo "download-logs: $2: not the bytes that were published" >&2
    exit 4
  fi
  age -d -i "$identity" <"$sealed" | unpack "$1" >"$opened"
  mkdir -p -- "$(dirname -- "$dir/$3")"
  cp -- "$opened" "$dir/$3"
  echo "$dir/$3"
}

`
