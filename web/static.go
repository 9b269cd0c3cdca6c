package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
)

// An Asset is a file that pages load: the style sheet, a script, the icon.
// Its path holds a hash of its bytes, so it may be kept for ever.
type Asset struct {
	Path      string // of the URL: /static/HASH/style.css
	MediaType string
	Body      []byte
}

// ServeHTTP serves the asset, whatever the path of the request: register it at
// exactly its Path.
func (a Asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodHead {
		w.Write(a.Body) // an error is the client's: it went away
	}
}

var assets = loadAssets()

// loadAssets makes one style sheet of the files in static/css, base.css first,
// and takes every other file as it is.
func loadAssets() map[string]Asset {
	m := make(map[string]Asset)
	add := func(name, mediaType string, body []byte) {
		hash := sha256.Sum256(body)
		m[name] = Asset{path.Join("/static", hex.EncodeToString(hash[:6]), name), mediaType, body}
	}
	add("icon.svg", "image/svg+xml", read("static/icon.svg"))
	for _, name := range list("static/js") {
		add(name, "text/javascript; charset=utf-8", read("static/js/"+name))
	}
	css := read("static/css/base.css")
	for _, name := range list("static/css") {
		if name != "base.css" {
			css = append(append(css, '\n'), read("static/css/"+name)...)
		}
	}
	add("style.css", "text/css; charset=utf-8", css)
	return m
}

// read and list panic only if a binary could be built without its own files.
func read(name string) []byte {
	body, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return body
}

func list(dir string) []string {
	entries, err := files.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Assets are all files that pages load. There is no other path under /static/.
func Assets() []Asset {
	list := make([]Asset, 0, len(assets))
	for _, a := range assets {
		list = append(list, a)
	}
	return list
}

// AssetPath is the path of the asset with the given file name.
func AssetPath(name string) (string, error) {
	a, ok := assets[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return a.Path, nil
}
