package keyring

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine"
)

// soon is how long before a key's expiry its owner is told.
const soon = 30 * 24 * time.Hour

// A loader checks the files of a keyring against each other.
type loader struct {
	*report
	k         *Keyring
	now       time.Time
	services  []*serviceFile
	keyOwner  map[string]string // canonical key to "keys/alice.pub:3"
	keyName   map[string]string // canonical key to "alice"
	broken    map[string]bool   // people with a key that was refused: no second error for them
	groupLine map[string]int
}

func load(t tree, now time.Time) (*Keyring, error) {
	r := new(report)
	files, err := collect(t, r)
	if err != nil {
		return nil, err
	}
	return check(files, r, now)
}

// check makes a keyring of files. Problems that were found while collecting
// them are in r.
func check(files []file, r *report, now time.Time) (*Keyring, error) {
	l := &loader{
		report: r,
		k: &Keyring{
			People: make(map[string]*Person), Publishers: make(map[string]*Publisher),
			Groups: make(map[string][]string), Services: make(map[string]*Service),
		},
		now:      now,
		keyOwner: make(map[string]string), keyName: make(map[string]string),
		broken: make(map[string]bool), groupLine: make(map[string]int),
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	for _, f := range files {
		switch f.folder() {
		case keysDir:
			l.person(f)
		case publishersDir:
			l.publisher(f)
		}
	}
	for _, f := range files {
		switch f.folder() {
		case "":
			l.groups(f)
		case servicesDir:
			l.k.Services[f.name] = &Service{} // claims the name, also if it is broken
			if s := parseService(f, r); s != nil {
				l.services = append(l.services, s)
				l.k.Services[f.name] = s.Service
			}
		}
	}
	if len(l.k.Services) == 0 {
		l.errorf(servicesDir, 0, "there is no service: want %s/NAME%s", servicesDir, serviceSuffix)
	}
	for _, s := range l.services {
		l.names(s)
		l.class(s)
	}
	l.overlaps()
	if l.errors > 0 {
		return nil, &Invalid{l.sorted()}
	}
	l.unused()
	l.k.Warnings = l.sorted()
	return l.k, nil
}

// claim notes whose a key is, and reports one that is somebody else's already.
func (l *loader) claim(f file, line int, canonical string) bool {
	where := fmt.Sprintf("%s:%d", f.path, line)
	owner, taken := l.keyOwner[canonical]
	switch {
	case !taken:
		l.keyOwner[canonical], l.keyName[canonical] = where, f.name
	case strings.HasPrefix(owner, f.path+":"):
		l.errorf(f.path, line, "the same key is on line %s already", strings.TrimPrefix(owner, f.path+":"))
		return false
	case l.keyName[canonical] != f.name: // a person may publish under the same name
		l.errorf(f.path, line, "the same key belongs to %s already (%s)", l.keyName[canonical], owner)
		return false
	}
	return true
}

func (l *loader) person(f file) {
	p := &Person{Name: f.name}
	before := l.errors
	keyLines(f, l.report, func(line string, n int) error {
		key, err := ParseKey(line)
		if err != nil || !l.claim(f, n, key.canonical) {
			return err
		}
		key.line = n
		p.Keys = append(p.Keys, key)
		if len(p.Keys) == vitrine.MaxReaders+1 {
			return fmt.Errorf("more than %d keys", vitrine.MaxReaders)
		}
		switch day := key.Expires.Format(time.DateOnly); {
		case key.Expired(l.now):
			l.warnf(f.path, n, "%s's key expired on %s", f.name, day)
		case key.Expired(l.now.Add(soon)):
			l.warnf(f.path, n, "%s's key expires on %s", f.name, day)
		}
		if key.Kind == ssh.KeyAlgoRSA {
			l.warnf(f.path, n, "ssh-rsa key: ssh-ed25519 or age1… is smaller, quicker and stronger")
		}
		return nil
	})
	l.broken[f.name] = l.errors > before
	if len(p.Keys) == 0 && l.errors == before {
		l.errorf(f.path, 0, "there is no key in it")
		l.broken[f.name] = true
	}
	l.k.People[f.name] = p
}

func (l *loader) publisher(f file) {
	p := &Publisher{Name: f.name}
	before := l.errors
	keyLines(f, l.report, func(line string, n int) error {
		key, err := parsePublisherKey(line)
		if err != nil || !l.claim(f, n, canonicalSSH(key)) {
			return err
		}
		p.Keys = append(p.Keys, key)
		return nil
	})
	if len(p.Keys) == 0 && l.errors == before {
		l.errorf(f.path, 0, "there is no key in it")
	}
	l.k.Publishers[f.name] = p
}

func (l *loader) groups(f file) {
	fields, ok := yamlFields(f, l.report)
	if !ok {
		return
	}
	for _, g := range fields {
		l.groupLine[g.name] = g.line
	}
	for _, g := range fields {
		if !vitrine.ValidName(g.name) {
			l.errorf(f.path, g.line, "%q is not a name (lower-case letters, digits and . _ -)", g.name)
			continue
		}
		if l.k.People[g.name] != nil {
			l.errorf(f.path, g.line, "group %s has the name of a person", g.name)
		}
		before := l.errors
		members := []string{} // not nil: the group exists, also if it is broken
		for _, m := range g.list(f, l.report) {
			switch {
			case l.k.People[m.value] != nil:
				members = append(members, m.value)
			case l.groupLine[m.value] > 0:
				l.errorf(f.path, m.line, "group %s: %q is a group; a group has people only", g.name, m.value)
			default:
				l.errorf(f.path, m.line, "group %s: no person %q in %s/%s", g.name, m.value, keysDir, didYouMean(m.value, known(l.k.People)))
			}
		}
		if len(members) == 0 && l.errors == before {
			l.errorf(f.path, g.line, "group %s is empty", g.name)
		}
		l.k.Groups[g.name] = members
	}
}

// names checks that a service's readers and publishers exist.
func (l *loader) names(s *serviceFile) {
	before := l.errors
	for _, i := range s.readers {
		if l.k.People[i.value] == nil && l.k.Groups[i.value] == nil {
			l.errorf(s.file.path, i.line, "readers: no person or group %q%s", i.value,
				didYouMean(i.value, append(known(l.k.People), known(l.k.Groups)...)))
		}
	}
	for _, i := range s.publishers {
		if l.k.Publishers[i.value] == nil {
			l.errorf(s.file.path, i.line, "publishers: no publisher %q%s", i.value, didYouMean(i.value, known(l.k.Publishers)))
		}
	}
	if n := len(l.k.readers(s.Service)); n > 0 && s.MinReaders > n && l.errors == before {
		l.errorf(s.file.path, s.at["min_readers"], "min_readers is %d, more than there are readers (%d)", s.MinReaders, n)
	} else if n == 1 && l.errors == before {
		l.warnf(s.file.path, s.at["readers"], "has a single reader: if that key is lost, so are the logs")
	}
}

func known[T any](m map[string]T) []string { return slices.Collect(maps.Keys(m)) }

// readers are the names of a service's people, each once, in order.
func (k *Keyring) readers(s *Service) []string {
	var names []string
	for _, r := range s.Readers {
		if k.People[r] != nil {
			names = append(names, r)
		}
		names = append(names, k.Groups[r]...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// class settles a service's class, and names the readers who don't fit it.
func (l *loader) class(s *serviceFile) {
	lacking := map[string][]string{} // class to the readers without a key of it
	for _, name := range l.k.readers(s.Service) {
		if l.broken[name] {
			continue
		}
		for _, class := range []string{Classic, PostQuantum, Private} {
			if !slices.ContainsFunc(l.k.People[name].Keys, func(k Key) bool { return k.Fits(class) }) {
				lacking[class] = append(lacking[class], name)
			}
		}
	}
	const mixed = "age can't seal one file to both kinds of key"
	noClassic, noPQ := lacking[Classic], lacking[PostQuantum]
	switch {
	case s.Class == Classic:
		for _, name := range noClassic {
			l.errorf(s.file.path, s.readerLine(l.k, name), "%s has post-quantum keys only, and the service is of class classic: %s", name, mixed)
		}
	case s.Class == PostQuantum:
		for _, name := range noPQ {
			l.errorf(s.file.path, s.readerLine(l.k, name), "%s has no post-quantum key (age1pq1… or age1tagpq1…), and the service is of class pq: %s", name, mixed)
		}
	case s.Class == Private:
		for _, name := range lacking[Private] {
			l.errorf(s.file.path, s.readerLine(l.k, name), "%s has no age1… key, and the service is of class private: what is sealed to an SSH or hardware key holds a mark of that key", name)
		}
	case len(noClassic) == 0:
		s.Class = Classic
	case len(noPQ) == 0:
		s.Class = PostQuantum
	case len(noClassic) <= len(noPQ):
		for _, name := range noClassic {
			l.errorf(s.file.path, s.readerLine(l.k, name), "%s has post-quantum keys only, and %s none: %s", name, some(noPQ), mixed)
		}
	default:
		for _, name := range noPQ {
			l.errorf(s.file.path, s.readerLine(l.k, name), "%s has no post-quantum key, and %s nothing else: %s", name, some(noClassic), mixed)
		}
	}
	count, usable := 0, 0
	for _, name := range l.k.readers(s.Service) {
		fits := 0
		for _, k := range l.k.People[name].Keys {
			if k.Fits(s.Class) {
				count++
				if !k.Expired(l.now) {
					fits = 1
				}
			}
		}
		usable += fits
	}
	if usable < s.MinReaders && l.errors == 0 {
		l.warnf(s.file.path, s.at["readers"], "nothing can be published: %d of %d readers have a key that has not expired, and min_readers is %d",
			usable, len(l.k.readers(s.Service)), s.MinReaders)
	}
	if count > vitrine.MaxReaders {
		l.errorf(s.file.path, s.at["readers"], "%d recipients, more than %d", count, vitrine.MaxReaders)
	}
}

// readerLine is the line that makes a person a reader.
func (s *serviceFile) readerLine(k *Keyring, person string) int {
	for _, i := range s.readers {
		if i.value == person || slices.Contains(k.Groups[i.value], person) {
			return i.line
		}
	}
	return 0
}

// some lists names, not more than a line has room for.
func some(names []string) string {
	if len(names) == 1 {
		return names[0] + " has"
	}
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d others have", strings.Join(names[:4], ", "), len(names)-4)
	}
	return strings.Join(names, ", ") + " have"
}

// unused warns of what no service refers to: often a forgotten last step.
func (l *loader) unused() {
	people, groups, publishers := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range l.services {
		for _, name := range s.Readers {
			groups[name] = true
		}
		for _, name := range l.k.readers(s.Service) {
			people[name] = true
		}
		for _, name := range s.Publishers {
			publishers[name] = true
		}
	}
	for name := range l.k.People {
		if !people[name] {
			l.warnf(keysDir+"/"+name+keySuffix, 0, "%s reads no service", name)
		}
	}
	for name := range l.k.Groups {
		if !groups[name] {
			l.warnf(groupsFile, l.groupLine[name], "group %s reads no service", name)
		}
	}
	for name := range l.k.Publishers {
		if !publishers[name] {
			l.warnf(publishersDir+"/"+name+keySuffix, 0, "%s publishes for no service", name)
		}
	}
}
