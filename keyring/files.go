package keyring

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"vitrine"
)

// Limits of a keyring.
const (
	maxFileSize  = 256 << 10 // bytes of one file
	maxTotalSize = 8 << 20   // bytes of all files
	maxFiles     = 10_000    // files in all
)

// The layout of a keyring.
const (
	keysDir       = "keys"
	publishersDir = "publishers"
	servicesDir   = "services"
	groupsFile    = "groups.yaml"
	readmeFile    = "README.md"
	keySuffix     = ".pub"
	serviceSuffix = ".yaml"
)

// A file is one file of a keyring, whole and within the limits.
type file struct {
	path string // relative to the keyring, slash-separated
	name string // of what it describes: the path without folder and suffix
	data []byte
}

// folder is the file's folder, or "" for one at the top.
func (f file) folder() string {
	dir, _, ok := strings.Cut(f.path, "/")
	if !ok {
		return ""
	}
	return dir
}

// An entry is what a folder holds, not yet opened.
type entry struct {
	name string
	kind string // "file", "folder", or what it is instead, for people
	size int64  // bytes of a file, if known
}

// A tree is where a keyring's files come from: a directory or a git commit.
type tree interface {
	// list lists a folder, at most max+1 entries of it; "." is the top.
	list(dir string, max int) ([]entry, error)
	// read reads at most max+1 bytes of a regular file.
	read(path string, max int64) ([]byte, error)
}

// collect reads a keyring's files. What does not belong is a problem, not an
// error; an error means that the tree could not be read.
func collect(t tree, r *report) ([]file, error) {
	var files []file
	var total int64
	left := maxFiles
	take := func(dir, suffix string, e entry) error {
		f := file{path: e.name, name: strings.TrimSuffix(e.name, suffix)}
		if dir != "." {
			f.path = dir + "/" + e.name
		}
		switch {
		case e.kind != "file":
			r.errorf(f.path, 0, "is a %s; only regular files belong here", e.kind)
			return nil
		case !strings.HasSuffix(e.name, suffix) || !vitrine.ValidName(f.name):
			r.errorf(f.path, 0, "bad file name: want a name of lower-case letters, digits and . _ - (at most 64), then %s", suffix)
			return nil
		case e.size > maxFileSize:
			r.errorf(f.path, 0, "is larger than %d kB", maxFileSize>>10)
			return nil
		case total > maxTotalSize:
			return nil
		}
		var err error
		if f.data, err = t.read(f.path, maxFileSize); err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
		if len(f.data) > maxFileSize {
			r.errorf(f.path, 0, "is larger than %d kB", maxFileSize>>10)
			return nil
		}
		if total += int64(len(f.data)); total > maxTotalSize {
			r.errorf(f.path, 0, "with this file the keyring is larger than %d MB", maxTotalSize>>20)
			return nil
		}
		files = append(files, f)
		return nil
	}
	list := func(dir string) ([]entry, error) {
		entries, err := t.list(dir, left)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", dir, err)
		}
		if left -= len(entries); left < 0 {
			r.errorf(dir, 0, "the keyring has more than %d files", maxFiles)
			return nil, nil
		}
		return entries, nil
	}

	top, err := list(".")
	if err != nil {
		return nil, err
	}
	suffixes := map[string]string{keysDir: keySuffix, publishersDir: keySuffix, servicesDir: serviceSuffix}
	for _, e := range top {
		suffix, isDir := suffixes[e.name]
		switch {
		case isDir && e.kind != "folder":
			r.errorf(e.name, 0, "is a %s; want a folder", e.kind)
		case isDir:
			entries, err := list(e.name)
			if err != nil {
				return nil, err
			}
			for _, inner := range entries {
				if err := take(e.name, suffix, inner); err != nil {
					return nil, err
				}
			}
		case e.name == groupsFile:
			if err := take(".", serviceSuffix, e); err != nil {
				return nil, err
			}
		case e.name == readmeFile && e.kind == "file":
		default:
			r.errorf(e.name, 0, "does not belong in a keyring: want %s/, %s/, %s/, %s and %s",
				keysDir, publishersDir, servicesDir, groupsFile, readmeFile)
		}
	}
	return files, nil
}

// A dirTree is a tree in a file system.
type dirTree struct{ fsys fs.FS }

func (t dirTree) list(dir string, max int) ([]entry, error) {
	f, err := t.fsys.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, fmt.Errorf("not a folder")
	}
	found, err := d.ReadDir(max + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	entries := make([]entry, len(found))
	for i, e := range found {
		entries[i] = entry{name: e.Name(), kind: kindOf(e.Type())}
	}
	return entries, nil
}

func (t dirTree) read(path string, max int64) ([]byte, error) {
	f, err := t.fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Looked at again: it may have been replaced since it was listed.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file (%v)", err)
	}
	return io.ReadAll(io.LimitReader(f, max+1))
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "file"
	case m.IsDir():
		return "folder"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	default:
		return "device, pipe or socket"
	}
}

// badText returns why a YAML file's text can't be trusted to be what a reviewer
// sees, with the line, or "". Key files are held to printable ASCII by line.
func badText(data []byte) (line int, why string) {
	line = 1
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		switch {
		case c == utf8.RuneError && n <= 1:
			return line, "is not valid UTF-8"
		case c == '\n':
			line++
		case c == '\t' || c == '\r' && len(data) > 1 && data[1] == '\n':
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c), c == '\u2028', c == '\u2029':
			return line, fmt.Sprintf("has an invisible or control character (%U)", c)
		}
		data = data[n:]
	}
	return 0, ""
}
