package server

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine/keyring"
	"vitrine/web"
)

// describeService is a service of the keyring as the pages show it, with its
// readers as they are at the given time.
func describeService(k *keyring.Keyring, s *keyring.Service, at time.Time) web.Service {
	out := web.Service{
		Name: s.Name, Description: s.Description, URL: s.URL,
		Retention: s.Retention, MinReaders: s.MinReaders, Class: s.Class,
	}
	for _, g := range s.Jobs {
		out.Jobs = append(out.Jobs, g.String())
	}
	for _, g := range s.Public {
		out.Public = append(out.Public, g.String())
	}
	out.HidesNames, out.PublicRecap = s.HidesNames, s.PublicRecap
	for _, g := range s.PublicNames {
		out.PublicNames = append(out.PublicNames, g.String())
	}
	through := make(map[string][]string) // person → groups; nil for one named in person
	for _, name := range s.Readers {
		members, isGroup := k.Groups[name]
		if !isGroup {
			through[name] = append(through[name], "")
			continue
		}
		for _, m := range members {
			through[m] = append(through[m], name)
		}
	}
	for _, name := range sortedKeys(through) {
		groups := slices.DeleteFunc(through[name], func(g string) bool { return g == "" })
		out.Readers = append(out.Readers, describePerson(k, name, s.Class, groups, at))
	}
	for _, name := range s.Publishers {
		p := web.Person{Name: name}
		for _, key := range k.Publishers[name].Keys {
			p.Keys = append(p.Keys, web.Key{Kind: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)})
		}
		out.Publishers = append(out.Publishers, p)
	}
	return out
}

// describePerson is a person with the keys of a class, or all keys if class is empty.
func describePerson(k *keyring.Keyring, name, class string, groups []string, at time.Time) web.Person {
	p := web.Person{Name: name, Groups: groups}
	person := k.People[name]
	if person == nil {
		return p
	}
	usable := 0
	var last time.Time
	for _, key := range person.Keys {
		if class != "" && !key.Fits(class) {
			continue
		}
		p.Keys = append(p.Keys, web.Key{Kind: kindForPeople(key.Kind), Fingerprint: key.Fingerprint, Expires: key.Expires})
		if !key.Expired(at) {
			usable++
		} else if key.Expires.After(last) {
			last = key.Expires
		}
	}
	if usable == 0 && !last.IsZero() {
		p.Problem = "key expired " + last.Format(time.DateOnly)
	}
	return p
}

// kindForPeople is a kind of key in words that say what it means to have one.
func kindForPeople(kind string) string {
	return cmp.Or(map[string]string{
		"X25519": "age", "hybrid": "post-quantum", "tag": "hardware", "tag-pq": "hardware, post-quantum",
	}[kind], kind)
}

func groupsOf(k *keyring.Keyring, person string) []string {
	var groups []string
	for _, name := range sortedKeys(k.Groups) {
		if slices.Contains(k.Groups[name], person) {
			groups = append(groups, name)
		}
	}
	return groups
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
