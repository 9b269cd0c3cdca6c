package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"vitrine"
)

// ServiceOptions describe a new service. Retention is written as in the file,
// such as 180d; empty fields are left out.
type ServiceOptions struct {
	Description, URL          string
	Jobs, Readers, Publishers []string
	Public                    []string
	Retention                 string
	MinReaders                int
	Class                     string
}

// AddReader makes a person a reader of a service in the keyring at dir, and
// adds key lines to the person's file, which is made if it is not there. All
// other text of the files stays as it is. It returns the paths of the changed
// files, none if all was so already, and writes nothing if the keyring would
// not be valid after.
func AddReader(dir, service, person string, keys []string) ([]string, error) {
	if !vitrine.ValidName(person) {
		return nil, fmt.Errorf("%q is not a name (lower-case letters, digits and . _ -)", person)
	}
	return edit(dir, func(files *fileSet) error {
		path := servicesDir + "/" + service + serviceSuffix
		text, ok := files.get(path)
		if !ok {
			return fmt.Errorf("no service %q in the keyring", service)
		}
		if err := files.addKeys(person, keys); err != nil {
			return err
		}
		text, err := addToReaders(file{path: path, data: text}, person)
		if err != nil {
			return err
		}
		files.put(path, text)
		return nil
	})
}

// AddService adds a service's file to the keyring at dir, under the same
// promises as [AddReader]. A service that is there already is an error that
// wraps [os.ErrExist].
func AddService(dir, name string, o ServiceOptions) ([]string, error) {
	if !vitrine.ValidName(name) {
		return nil, fmt.Errorf("%q is not a name (lower-case letters, digits and . _ -)", name)
	}
	return edit(dir, func(files *fileSet) error {
		path := servicesDir + "/" + name + serviceSuffix
		if _, ok := files.get(path); ok {
			return fmt.Errorf("service %s: %w", name, os.ErrExist)
		}
		files.put(path, serviceText(o))
		return nil
	})
}

// A fileSet is a keyring's files with changes that are not written yet.
type fileSet struct {
	files   []file
	changed []string
}

func (s *fileSet) get(path string) ([]byte, bool) {
	i := slices.IndexFunc(s.files, func(f file) bool { return f.path == path })
	if i < 0 {
		return nil, false
	}
	return s.files[i].data, true
}

func (s *fileSet) put(path string, data []byte) {
	old, ok := s.get(path)
	if ok && bytes.Equal(old, data) {
		return
	}
	s.files = slices.DeleteFunc(s.files, func(f file) bool { return f.path == path })
	base := filepath.Base(path)
	s.files = append(s.files, file{path: path, name: strings.TrimSuffix(base, filepath.Ext(base)), data: data})
	s.changed = append(s.changed, path)
}

// addKeys adds the key lines that a person's file does not have yet.
func (s *fileSet) addKeys(person string, keys []string) error {
	path := keysDir + "/" + person + keySuffix
	data, _ := s.get(path)
	have := make(map[string]bool)
	for line := range strings.Lines(string(data)) {
		if k, err := ParseKey(strings.TrimSpace(line)); err == nil {
			have[k.canonical] = true
		}
	}
	text := bytes.Clone(data)
	for i, line := range keys {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") && !isPrivateKey(line) {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return fmt.Errorf("key %d of %s: %w", i+1, person, err)
		}
		if have[k.canonical] {
			continue
		}
		have[k.canonical] = true
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		text = append(text, line+"\n"...)
	}
	if len(text) == 0 {
		return fmt.Errorf("%s has no key in the keyring yet: give the file of a public key", person)
	}
	s.put(path, text)
	return nil
}

// edit changes a keyring's files: checked as a whole before any is written.
func edit(dir string, change func(*fileSet) error) ([]string, error) {
	root, name, err := openAbove(dir)
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	defer root.Close()
	inside, err := fs.Sub(root.FS(), name)
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	r := new(report)
	files, err := collect(dirTree{inside}, r)
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", dir, err)
	}
	set := &fileSet{files: files}
	if err := change(set); err != nil {
		return nil, err
	}
	if len(set.changed) == 0 {
		return nil, nil
	}
	for _, f := range set.files {
		if len(f.data) > maxFileSize {
			return nil, fmt.Errorf("%s would be larger than %d kB", f.path, maxFileSize>>10)
		}
	}
	if _, err := check(slices.Clone(set.files), r, time.Now()); err != nil {
		return nil, fmt.Errorf("nothing written: after the change %w", err)
	}
	return set.changed, set.write(root, name)
}

// openAbove opens the folder that the keyring lies in, and says what the keyring
// is called there.
func openAbove(dir string) (root *os.Root, name string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, "", err
	}
	root, err = os.OpenRoot(filepath.Dir(dir))
	return root, filepath.Base(dir), err
}

// write replaces the changed files of the keyring of that name below root, each
// whole. If one fails those before it are put back.
func (s *fileSet) write(root *os.Root, name string) (err error) {
	var undo []func() error
	defer func() {
		if err != nil {
			for _, f := range slices.Backward(undo) {
				err = errors.Join(err, f())
			}
		}
	}()
	for _, changed := range s.changed {
		data, _ := s.get(changed)
		path := name + "/" + changed
		old, readErr := root.ReadFile(path)
		if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
			return readErr
		}
		if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := replace(root, path, data); err != nil {
			return err
		}
		undo = append(undo, func() error {
			if readErr != nil {
				return root.Remove(path)
			}
			return replace(root, path, old)
		})
	}
	return nil
}

// replace puts a file in place of another, whole or not at all. What a crash
// leaves lies at the top of root, and not in the keyring, where it would be taken
// for a file that does not belong.
func replace(root *os.Root, path string, data []byte) error {
	mode := os.FileMode(0o644)
	if info, err := root.Lstat(path); err == nil {
		mode = info.Mode().Perm()
	}
	tmp := ".vitrine-" + rand.Text()
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return nil
}

var errEditByHand = errors.New("its list of readers is written in a way that can't be added to here; add the name by hand")

// addToReaders adds a name to the readers of a service's YAML text, in the
// style of the list that is there.
func addToReaders(f file, name string) ([]byte, error) {
	by := func(err error) error { return fmt.Errorf("%s: %w", f.path, err) }
	r := new(report)
	fields, ok := yamlFields(f, r)
	if !ok {
		return nil, by(&Invalid{r.sorted()})
	}
	list := fieldNamed(fields, "readers").value
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		return nil, by(errEditByHand)
	}
	for _, n := range list.Content {
		if n.Value == name {
			return f.data, nil
		}
	}
	last := list.Content[len(list.Content)-1]
	lines := slices.Collect(strings.Lines(string(f.data)))
	if last.Line > len(lines) {
		return nil, by(errEditByHand)
	}
	line := []rune(lines[last.Line-1]) // columns count characters
	if last.Column > len(line) {
		return nil, by(errEditByHand)
	}
	before, rest := string(line[:last.Column-1]), string(line[last.Column-1:])
	written := ""
	for _, form := range []string{last.Value, `"` + last.Value + `"`, `'` + last.Value + `'`} {
		if strings.HasPrefix(rest, form) {
			written = form
		}
	}
	switch {
	case written == "":
		return nil, by(errEditByHand)
	case list.Style&yaml.FlowStyle != 0:
		lines[last.Line-1] = before + written + ", " + scalar(name) + rest[len(written):]
	case strings.Trim(before, " ") == "-":
		end := "\n"
		if strings.HasSuffix(rest, "\r\n") {
			end = "\r\n"
		}
		if !strings.HasSuffix(rest, "\n") {
			lines[last.Line-1] += end
		}
		lines = slices.Insert(lines, last.Line, before+scalar(name)+end)
	default:
		return nil, by(errEditByHand)
	}
	return []byte(strings.Join(lines, "")), nil
}

var plainScalar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)

// scalar writes a text as YAML that means that text and nothing else.
func scalar(s string) string {
	var n yaml.Node
	if plainScalar.MatchString(s) && yaml.Unmarshal([]byte(s), &n) == nil && n.Content[0].Tag == "!!str" {
		return s
	}
	b, _ := json.Marshal(s) // JSON's strings are YAML's
	return string(b)
}

func serviceText(o ServiceOptions) []byte {
	var b bytes.Buffer
	text := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, scalar(value))
		}
	}
	list := func(name string, values []string) {
		var written []string
		for _, v := range values {
			written = append(written, scalar(v))
		}
		if len(values) > 0 {
			fmt.Fprintf(&b, "%s: [%s]\n", name, strings.Join(written, ", "))
		}
	}
	text("description", o.Description)
	text("url", o.URL)
	list("jobs", o.Jobs)
	list("readers", o.Readers)
	list("publishers", o.Publishers)
	list("public", o.Public)
	text("retention", o.Retention)
	if o.MinReaders != 0 {
		fmt.Fprintf(&b, "min_readers: %d\n", o.MinReaders)
	}
	text("class", o.Class)
	return b.Bytes()
}
