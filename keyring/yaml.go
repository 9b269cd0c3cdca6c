package keyring

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A field is one "name: value" of a YAML file.
type field struct {
	name  string
	line  int
	value *yaml.Node
}

// An item is a scalar with the line it stands on.
type item struct {
	value string
	line  int
}

var (
	yamlErrorLine = regexp.MustCompile(`line ([0-9]+): `)
	// For errors of its parser, not of its scanner, go-yaml counts lines from 0.
	yamlParserError = regexp.MustCompile(`^did not find expected (',' or|'-' indicator|key|node content|<)`)
)

// yamlFields reads a file that is one mapping, in the small part of YAML that
// means to a reviewer what it means to us: no anchors, no aliases, no merge
// keys, no tags, nothing twice. It reports false if there is no use in going on.
func yamlFields(f file, r *report) ([]field, bool) {
	n := 0
	for line := range strings.Lines(string(f.data)) {
		if n++; isPrivateKey(line) {
			r.errorf(f.path, n, "%v", errPrivateKey)
			return nil, false // nothing of this file may be quoted
		}
	}
	if line, why := badText(f.data); why != "" {
		r.errorf(f.path, line, "%s", why)
		return nil, false
	}
	dec := yaml.NewDecoder(bytes.NewReader(f.data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		r.errorf(f.path, 0, "is empty")
		return nil, false
	}
	if err == nil {
		if err = dec.Decode(&more); err == nil {
			r.errorf(f.path, more.Line, "has more than one YAML document")
			return nil, false
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		line, msg := 0, strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlErrorLine.FindStringSubmatchIndex(msg); m != nil {
			line, _ = strconv.Atoi(msg[m[2]:m[3]])
			msg = msg[m[1]:]
			if yamlParserError.MatchString(msg) {
				line++
			}
		}
		r.errorf(f.path, line, "not YAML: %s", msg)
		return nil, false
	}
	if !plainYAML(f, r, &doc) {
		return nil, false
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		r.errorf(f.path, doc.Line, "want lines of the form name: value")
		return nil, false
	}
	var fields []field
	first := make(map[string]int)
	content := doc.Content[0].Content
	for i := 0; i+1 < len(content); i += 2 {
		key := content[i]
		if key.Kind != yaml.ScalarNode {
			r.errorf(f.path, key.Line, "want a name before the colon")
			continue
		}
		if line, ok := first[key.Value]; ok {
			r.errorf(f.path, key.Line, "%q is there twice, first on line %d", key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		fields = append(fields, field{key.Value, key.Line, content[i+1]})
	}
	return fields, true
}

// plainYAML reports everything in the tree that makes YAML say other than what
// it seems to.
func plainYAML(f file, r *report, n *yaml.Node) bool {
	ok := true
	bad := func(what string) {
		r.errorf(f.path, n.Line, "YAML %s are refused", what)
		ok = false
	}
	switch {
	case n.Kind == yaml.AliasNode:
		bad("aliases")
		return false // what it stands for was seen at its anchor
	case n.Anchor != "":
		bad("anchors")
	case n.Style&yaml.TaggedStyle != 0:
		bad("tags")
	case n.Tag == "!!merge":
		bad("merge keys")
	}
	for _, c := range n.Content {
		ok = plainYAML(f, r, c) && ok
	}
	return ok
}

// text reads a field's value as one text.
func (v field) text(f file, r *report) (string, bool) {
	if v.value.Kind != yaml.ScalarNode || v.value.Tag != "!!str" {
		r.errorf(f.path, v.line, "%s: want a text; put quotes around it if it is one", v.name)
		return "", false
	}
	return v.value.Value, true
}

// list reads a field's value as a list of texts, none of them twice.
func (v field) list(f file, r *report) []item {
	if v.value.Kind != yaml.SequenceNode {
		r.errorf(f.path, v.line, "%s: want a list: [one, two]", v.name)
		return nil
	}
	var items []item
	seen := make(map[string]bool)
	for _, n := range v.value.Content {
		switch {
		case n.Kind != yaml.ScalarNode || n.Tag != "!!str":
			r.errorf(f.path, n.Line, "%s: want a list of texts; put quotes around a text that looks like something else", v.name)
		case seen[n.Value]:
			r.errorf(f.path, n.Line, "%s: %q is listed twice", v.name, n.Value)
		default:
			seen[n.Value] = true
			items = append(items, item{n.Value, n.Line})
		}
	}
	return items
}
