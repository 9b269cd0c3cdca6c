// Package web draws the pages of a public history: the overview of services,
// lists of builds, one build, one buildset, a service, a job, the keyring, and
// the error page.
//
// It turns page structs, which the server fills from its index and keyring,
// into HTML that needs no JavaScript and satisfies [ContentSecurityPolicy].
// It must never read a bucket, an index or a keyring itself, never ask anybody
// for a key, and never trust a word in a build: names, links and reasons come
// from strangers and are escaped, isolated and bounded here.
package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"strings"
	"time"
)

// ContentSecurityPolicy is the policy that every page is written for: nothing
// inline, nothing from another origin, no markup made by a script.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

// FramingPolicy is that of a page with a frame, see [PreviewPath].
const FramingPolicy = ContentSecurityPolicy + "; frame-src 'self'"

// A Layout is what all pages share.
type Layout struct {
	// Tenant is the one the page is about; empty on an error outside of any,
	// where the page has no navigation.
	Tenant string
	// Now is what relative times are told from.
	Now time.Time
	// PublicURL is where readers reach the server (https://logs.example.org).
	// With it the commands on a build's page name the build by its address.
	PublicURL string
}

// A Page is one of the page structs of this package.
type Page interface {
	template() string // name of its file in templates/, without .html
	section() string  // the entry of the navigation that it belongs to
	title() string    // what a browser's tab says, before the product's name
}

// A page may have methods beyond those of [Page], for what only some pages have.
type (
	scripted interface{ scripts() []string } // modules in static/js that it loads, beside page.js
	// fed pages name what their feeds and events are narrowed to, by [FilterParams].
	fed interface{ feed() url.Values }
)

// Scripts are the modules that the page loads.
func (d document) Scripts() []string {
	names := []string{"page.js"}
	if p, ok := d.Page.(scripted); ok {
		names = append(names, p.scripts()...)
	}
	return names
}

// A feedLink is a feed that a page has. Empty for a page without any.
type feedLink struct{ Type, Title, Path string }

// Feeds are the feeds of what the page is about.
func (d document) Feeds() []feedLink {
	p, ok := d.Page.(fed)
	if !ok || d.Tenant == "" {
		return nil
	}
	return []feedLink{
		{"application/atom+xml", "Builds (Atom)", FeedPath(d.Tenant, "atom", p.feed())},
		{"application/feed+json", "Builds (JSON Feed)", FeedPath(d.Tenant, "json", p.feed())},
	}
}

// Render writes a whole page, or nothing: it is drawn into memory first, so
// that a failure never leaves half a page on the wire.
func Render(w io.Writer, l Layout, p Page) error {
	var b bytes.Buffer
	if err := pages[p.template()].ExecuteTemplate(&b, "layout.html", document{l, p}); err != nil {
		return fmt.Errorf("render page %s: %w", p.template(), err)
	}
	_, err := b.WriteTo(w)
	return err
}

//go:embed templates static
var files embed.FS

var pages = parseTemplates()

func parseTemplates() map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(functions).
		ParseFS(files, "templates/layout.html", "templates/parts.html"))
	m := make(map[string]*template.Template)
	for _, file := range list("templates") {
		name := strings.TrimSuffix(file, ".html")
		if name != "layout" && name != "parts" {
			t := template.Must(shared.Clone())
			m[name] = template.Must(t.ParseFS(files, "templates/"+file))
		}
	}
	return m
}

var functions = template.FuncMap{
	"asset":       AssetPath,
	"count":       count[int64],
	"cut":         cut,
	"day":         day,
	"id":          id,
	"fingerprint": fingerprint,
	"long":        long,
	"less":        func(a, b int) int { return a - b },
	"keyringlink": keyringLink,
	"link":        webLink,
	"plural":      plural,
	"size":        size,
	"whole":       whole,
	"words":       commandWords,
}
