package view

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// policy lets the page load its own files and ask its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; worker-src 'self'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types vitrine"

// guard keeps out all but the reader's own page, and gives each answer the headers
// that keep the page to itself.
//
// Any page in the same browser can send requests here. It doesn't know the token.
// Host is what it takes us for: not ours if it has its own name lead here (DNS
// rebinding). Origin and Sec-Fetch-Site say that it is another one, should the
// token have come to it after all.
func guard(host, token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy":      policy,
			"Cache-Control":                "no-store",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			w.Header().Set(name, value)
		}
		if r.Host != host {
			refuse(w, http.StatusMisdirectedRequest, "this is not the host that was asked for")
			return
		}
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			refuse(w, http.StatusMethodNotAllowed, "there is nothing here but to be read")
			return
		}
		given, below, slash := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		if subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			refuse(w, http.StatusNotFound, "there is nothing here")
			return
		}
		if !ownOrigin(r, host) && !arrives(r, below) {
			refuse(w, http.StatusForbidden, "another page may not ask for this")
			return
		}
		if !slash { // it was lost on the way here
			w.Header().Set("Location", "/"+token+"/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		if !isClean("/" + below) { // the mux would lead elsewhere, without the token
			refuse(w, http.StatusNotFound, "there is nothing here")
			return
		}
		http.StripPrefix("/"+token, next).ServeHTTP(w, r)
	})
}

// isClean reports whether a path has no part that path.Clean would take out.
func isClean(path string) bool {
	return !strings.Contains(path, "//") && !strings.Contains(path+"/", "/./") && !strings.Contains(path+"/", "/../")
}

// ownOrigin reports whether a request comes from our own page, from the address
// bar, or from a program that is no browser.
func ownOrigin(r *http.Request, host string) bool {
	if origin, ok := r.Header["Origin"]; ok && (len(origin) != 1 || origin[0] != "http://"+host) {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return true
	}
	return false
}

// arrives reports whether somebody comes to the page from elsewhere in a tab of
// their own, as from the file that vitrine has the browser open. The page as such
// says nothing, and is in no frame.
func arrives(r *http.Request, below string) bool {
	return below == "" && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		r.Header.Get("Sec-Fetch-Dest") == "document" && r.Header["Origin"] == nil
}
