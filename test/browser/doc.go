// Package browser proves the pages in a real Chromium: what they look like, that
// nothing in a history breaks out of its place, that they work by keyboard and
// without JavaScript, and that axe-core and the Nu validator find nothing.
//
// It has tests alone, which need Chromium, Java and what package.json names;
// `make test-browser` installs the latter and runs them. They must never go
// anywhere but to the server that they started.
package browser
