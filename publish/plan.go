package publish

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"vitrine"
)

const (
	maxDepth    = 64 // folders below an argument
	maxProblems = 20 // shown of a walk
)

// A File is a file of the runner that is to be published.
type File struct {
	Path string // what it is published as
	Size int64  // bytes, when it was found

	dir, name string // it is opened as name, below dir and nowhere else
}

// errUnsized says that a file has content and no size, as those of /proc have:
// up to its size there is nothing to publish.
var errUnsized = errors.New("the system tells its size as 0, but it is not empty: copy it, and publish the copy")

// open opens the file, which must be a regular one, and says how long it is.
func (f File) open() (*os.File, int64, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	file, err := root.OpenFile(f.name, os.O_RDONLY|openNonBlock, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is %s now, not a file", filepath.Join(f.dir, f.name), kindOf(info.Mode()))
	}
	if err == nil && info.Size() == 0 {
		err = checkEmpty(file)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// checkEmpty looks for content in a file that was found to be empty. One that
// has grown meanwhile is fine.
func checkEmpty(file *os.File) error {
	n, err := file.Read(make([]byte, 1))
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	if info, err := file.Stat(); err != nil || info.Size() >= int64(n) {
		return err
	}
	return errUnsized
}

// Choice says which of the files that [Plan] finds are published. A pattern
// without a slash is held against the last part of a path, any other against
// the whole.
type Choice struct {
	Exclude []vitrine.Glob         // left out; of a folder, all that is in it
	Allow   []vitrine.Glob         // published although its name is that of a secret
	Public  func(path string) bool // what the keyring declares public
}

// Plan finds the files to publish: an argument that is a file under its last
// name, all files below one that is a folder under their paths in it. It opens
// none of them. A link to a file of the same folder is published as that file;
// one to a folder is passed over, as what is in there is published anyway.
//
// The error names all (at most twenty) that can't or should not be published:
// hostile or clashing names, secrets, links that lead out, devices and the like.
func Plan(args []string, choice Choice) ([]File, error) {
	w := walk{choice: choice}
	for _, arg := range args {
		w.argument(arg)
		if len(w.problems) > maxProblems {
			break
		}
	}
	if n := len(w.problems) - maxProblems; n > 0 {
		w.problems = append(w.problems[:maxProblems], errors.New("and there is more of it"))
	}
	if err := errors.Join(w.problems...); err != nil {
		return nil, err
	}
	if len(w.files) == 0 {
		return nil, fmt.Errorf("there is no file to publish in %s", strings.Join(args, ", "))
	}
	return w.files, nil
}

type walk struct {
	choice   Choice
	names    names
	files    []File
	problems []error
}

// errEnough ends a walk that has found more problems than are shown.
var errEnough = errors.New("enough problems")

func (w *walk) problem(format string, a ...any) {
	w.problems = append(w.problems, fmt.Errorf(format, a...))
}

func (w *walk) argument(arg string) {
	absolute, err := filepath.Abs(arg)
	if err != nil {
		w.problem("%s: %w", arg, err)
		return
	}
	info, err := os.Lstat(absolute)
	if err != nil {
		w.problem("%w", err)
		return
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err := os.Stat(absolute); err == nil && target.IsDir() {
			info = target // to name a folder by a link to it is clear enough
		}
	}
	dir, name := filepath.Split(absolute)
	if info.IsDir() {
		dir, name = absolute, "."
	}
	// What lies in .ssh is secret whatever it is called.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		w.problem("%s: %w", arg, err)
		return
	}
	for _, d := range []string{dir, real} {
		if folder := secretFolder(filepath.ToSlash(d)); folder != "" {
			w.problem("%s: is in %s, and nothing of that is published", arg, folder)
			return
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		w.problem("%w", err)
		return
	}
	defer root.Close()
	if !info.IsDir() {
		w.entry(root, real, filepath.Base(name), info.Mode())
		return
	}
	err = fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		switch {
		case len(w.problems) > maxProblems:
			return errEnough
		case err != nil:
			w.problem("%s: %w", filepath.Join(arg, p), err)
			return nil
		case p == ".":
			return nil
		}
		return w.entry(root, real, p, e.Type())
	})
	if err != nil && err != errEnough {
		w.problem("%s: %w", arg, err)
	}
}

// entry looks at one name below a root, whose own name is dir. It is published
// under its path there.
func (w *walk) entry(root *os.Root, dir, p string, mode fs.FileMode) error {
	pass := error(nil)
	if mode.IsDir() {
		pass = fs.SkipDir
	}
	if matches(w.choice.Exclude, p) {
		return pass
	}
	file := shown(filepath.Join(root.Name(), filepath.FromSlash(p)))
	leaveOut := "leave it out with --exclude " + shown(p)
	if secretPart(p) != "" && !matches(w.choice.Allow, p) {
		if vitrine.ValidPath(p) == nil {
			leaveOut += ", or insist with --allow " + p
		}
		w.problem("%s: has a name as of a secret, which is not published, not even sealed; %s", file, leaveOut)
		return pass
	}
	if mode.IsDir() {
		if strings.Count(p, "/") >= maxDepth {
			w.problem("%s: more than %d folders deep; %s", file, maxDepth, leaveOut)
			return pass
		}
		return nil
	}
	info, err := root.Lstat(p)
	if err == nil && mode&fs.ModeSymlink != 0 {
		info, err = w.follow(root, dir, p)
	}
	switch {
	case err != nil:
		w.problem("%s: %w; %s", file, err, leaveOut)
		return nil
	case info == nil: // a link to a folder
		return nil
	case !info.Mode().IsRegular():
		w.problem("%s: is %s, not a file; %s", file, kindOf(info.Mode()), leaveOut)
		return nil
	}
	public := w.choice.Public != nil && w.choice.Public(p)
	if err := w.names.add(p, public); err != nil {
		w.problem("%s: can't be published as %w; rename it, or %s", file, err, leaveOut)
		return nil
	}
	w.files = append(w.files, File{Path: p, Size: info.Size(), dir: root.Name(), name: filepath.FromSlash(p)})
	return nil
}

// follow returns what a link in the tree leads to, or nothing if that is a folder.
func (w *walk) follow(root *os.Root, dir, p string) (fs.FileInfo, error) {
	target, err := root.Readlink(p)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("is a link to %s, where nothing is", shown(target))
	}
	if err != nil {
		return nil, fmt.Errorf("is a link to %s, which leads out of the folder, or is absolute", shown(target))
	}
	if info.IsDir() {
		return nil, nil
	}
	// The name of a link must not hide that of a secret.
	real, err := filepath.EvalSymlinks(filepath.Join(dir, filepath.FromSlash(p)))
	if err == nil {
		real, err = filepath.Rel(dir, real)
	}
	if err != nil {
		return nil, err
	}
	if real = filepath.ToSlash(real); secretPart(real) != "" && !matches(w.choice.Allow, real) {
		return nil, fmt.Errorf("is a link to %s, which has a name as of a secret", shown(real))
	}
	return info, nil
}

// matches holds a path against patterns as [Choice] says.
func matches(globs []vitrine.Glob, p string) bool {
	return slices.ContainsFunc(globs, func(g vitrine.Glob) bool {
		return g.Match(p) || !strings.Contains(g.String(), "/") && g.Match(path.Base(p))
	})
}

// shown makes a name fit for a terminal: it may hold escape sequences.
func shown(name string) string {
	if strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(name)
	}
	return name
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeSymlink != 0:
		return "a link"
	}
	return "not a regular file"
}
