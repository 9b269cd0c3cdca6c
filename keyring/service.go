package keyring

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"vitrine"
)

// serviceFields are the fields of a service's file, in the order that people
// write them.
var serviceFields = []string{
	"description", "url", "jobs", "readers", "publishers", "public", "public_names", "public_summary", "retention", "min_readers", "class",
}

// maxServiceJobs bounds the patterns of one list.
const maxServiceJobs = 256

// A serviceFile is a service with what its checks need: where things stand.
type serviceFile struct {
	*Service
	file       file
	at         map[string]int // field to line
	jobs       []item
	readers    []item
	publishers []item
}

// parseService parses a service's file. What it can't check alone, the names
// and jobs that other files have too, is checked later.
func parseService(f file, r *report) *serviceFile {
	s := &serviceFile{Service: &Service{Name: f.name, MinReaders: 1}, file: f, at: make(map[string]int)}
	fields, ok := yamlFields(f, r)
	if !ok {
		return nil
	}
	for _, v := range fields {
		s.at[v.name] = v.line
		switch v.name {
		case "description":
			if s.Description, ok = v.text(f, r); ok && (len(s.Description) > vitrine.MaxText || strings.ContainsAny(s.Description, "\r\t")) {
				r.errorf(f.path, v.line, "description: want at most %d bytes, without tabs", vitrine.MaxText)
			}
		case "url":
			if s.URL, ok = v.text(f, r); ok && !vitrine.ValidLink(s.URL) {
				r.errorf(f.path, v.line, "url: %q is not an http or https URL without a user", s.URL)
			}
		case "jobs":
			s.jobs, s.Jobs = patterns(f, r, v)
		case "public":
			var items []item
			items, s.Public = patterns(f, r, v)
			for _, i := range items {
				if strings.Trim(i.value, "*") == "" {
					r.warnf(f.path, i.line, "public: %q lets files be published unsealed whatever they are", i.value)
				} else if strings.HasPrefix(i.value, "/") || strings.HasPrefix(i.value, ".") {
					r.errorf(f.path, i.line, "public: %q matches nothing: no path starts with %c", i.value, i.value[0])
				}
			}
		case "public_names":
			_, s.PublicNames = patterns(f, r, v)
			s.HidesNames = true
		case "public_summary":
			for _, i := range v.list(f, r) {
				if i.value != "recap" {
					r.errorf(f.path, i.line, "public_summary: %q: want recap, the only part of a summary that may be public", i.value)
				}
				s.PublicRecap = true
			}
		case "readers":
			s.readers = v.list(f, r)
		case "publishers":
			s.publishers = v.list(f, r)
		case "retention":
			if s.Retention, ok = retention(v.value); !ok {
				r.errorf(f.path, v.line, "retention: want days as in 180d, a duration of at least 24h, or 0 for ever")
			}
		case "min_readers":
			if s.MinReaders, ok = smallNumber(v.value); !ok {
				r.errorf(f.path, v.line, "min_readers: want a number from 1 to %d", vitrine.MaxReaders)
			}
		case "class":
			if s.Class, ok = v.text(f, r); ok && s.Class != Classic && s.Class != PostQuantum && s.Class != Private {
				r.errorf(f.path, v.line, "class: want %s, %s or %s", Classic, PostQuantum, Private)
				s.Class = ""
			}
		default:
			r.errorf(f.path, v.line, "unknown field %q%s", v.name, didYouMean(v.name, serviceFields))
		}
	}
	for _, need := range []string{"jobs", "readers", "publishers"} {
		if line, ok := s.at[need]; !ok {
			r.errorf(f.path, 0, "no %s", need)
		} else if v := fieldNamed(fields, need).value; v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
			r.errorf(f.path, line, "no %s: the list is empty", need)
		}
	}
	for _, i := range s.readers {
		s.Readers = append(s.Readers, i.value)
	}
	for _, i := range s.publishers {
		s.Publishers = append(s.Publishers, i.value)
	}
	return s
}

func fieldNamed(fields []field, name string) field {
	for _, v := range fields {
		if v.name == name {
			return v
		}
	}
	return field{}
}

// patterns reads a field's value as globs. Both results have the same length.
func patterns(f file, r *report, v field) ([]item, []vitrine.Glob) {
	var good []item
	var globs []vitrine.Glob
	items := v.list(f, r)
	if len(items) > maxServiceJobs {
		r.errorf(f.path, v.line, "%s: %d patterns, more than %d", v.name, len(items), maxServiceJobs)
		return nil, nil
	}
	for _, i := range items {
		g, err := vitrine.ParseGlob(i.value)
		if err == nil && strings.ContainsFunc(i.value, func(c rune) bool { return c < ' ' || c > '~' }) {
			err = fmt.Errorf("pattern %+q: want printable ASCII", i.value)
		}
		if err != nil {
			r.errorf(f.path, i.line, "%s: %v", v.name, err)
			continue
		}
		good, globs = append(good, i), append(globs, g)
	}
	return good, globs
}

var days = regexp.MustCompile(`^[1-9][0-9]{0,4}d$`)

// maxRetention is a hundred years: a record's expiry has to fit into its format.
const maxRetention = 36500 * 24 * time.Hour

func retention(n *yaml.Node) (time.Duration, bool) {
	if n.Kind != yaml.ScalarNode {
		return 0, false
	}
	if n.Value == "0" {
		return 0, true
	}
	if days.MatchString(n.Value) {
		d, _ := strconv.Atoi(strings.TrimSuffix(n.Value, "d"))
		return time.Duration(d) * 24 * time.Hour, d <= int(maxRetention/(24*time.Hour))
	}
	d, err := time.ParseDuration(n.Value)
	return d, err == nil && d >= 24*time.Hour && d <= maxRetention
}

func smallNumber(n *yaml.Node) (int, bool) {
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || i < 1 || i > vitrine.MaxReaders {
		return 1, false
	}
	return i, true
}
