package main

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	lineFragment  = regexp.MustCompile(`^(.+)(#L[0-9]{1,15}(?:-L?[0-9]{1,15})?)$`)
	buildFragment = regexp.MustCompile(`^(?:(.+)#)?(L[0-9]{1,15}(?:-L?[0-9]{1,15})?)$`)
)

// cutFragment cuts #L120 or #L120-L140 off the end of an argument.
func cutFragment(arg string) (name, fragment string) {
	if m := lineFragment.FindStringSubmatch(arg); m != nil {
		return m[1], m[2]
	}
	return arg, ""
}

// cutLinks cuts lines off the arguments BUILD [ARTIFACT], or off the names of
// files. Behind BUILD they may be those of a log, as in the address of the viewer's
// page: BUILD#ARTIFACT#L120, also with its second # and more as %23, or BUILD#ARTIFACT
// for all of it; ARTIFACT is an argument then.
func cutLinks(args, files []string) (names []string, fragment string, err error) {
	cut := func(name, lines string) error {
		names = append(names, name)
		if lines == "" {
			return nil
		}
		if fragment != "" {
			return usagef("%s and %s: want one of them", fragment, lines)
		}
		fragment = lines
		return new(part).parseFragment(lines)
	}
	var artifact string
	for i, arg := range args {
		name, lines := cutFragment(arg)
		if i == 0 {
			name, artifact, lines = cutBuild(arg)
		}
		if err := cut(name, lines); err != nil {
			return nil, "", err
		}
	}
	switch {
	case artifact != "" && len(names) == 1:
		names = append(names, artifact)
	case artifact != "" && names[1] != artifact:
		return nil, "", usagef("BUILD ends in %q, and ARTIFACT is %q: want one of them", artifact, names[1])
	}
	for _, file := range files {
		if err := cut(cutFragment(file)); err != nil {
			return nil, "", err
		}
	}
	return names, fragment, nil
}

// cutBuild cuts ARTIFACT#L120, or one of them, off a BUILD, which has no # itself.
func cutBuild(arg string) (build, artifact, fragment string) {
	build, rest, _ := strings.Cut(arg, "#")
	if plain, err := url.PathUnescape(rest); err == nil {
		rest = plain
	}
	m := buildFragment.FindStringSubmatch(rest)
	switch {
	case build == "":
		return arg, "", ""
	case m == nil:
		return build, rest, ""
	}
	return build, m[1], "#" + m[2]
}
