// Package zuul answers in the shape of Zuul's read API, so that Zuul's own
// clients read a history as they read Zuul's.
//
// It must never say what the history does not know: a field without a value is
// null or empty, as Zuul has it, and what Zuul has live, such as queues and
// nodes, is empty here.
package zuul

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"vitrine/server/index"
)

// Config says what the API is about. All fields are needed.
type Config struct {
	Tenant string
	Index  *index.Index
	// LogURL is the folder of a build's files, with a slash at its end. What it
	// serves is named by [ManifestName] and [ScriptName], and by the stored paths
	// of the build's artifacts.
	LogURL func(uuid string) string
	// Loaded reports whether the index has been filled since the server started.
	Loaded func() bool
	// Log takes what went wrong, which no answer tells.
	Log *slog.Logger
}

// The files that a folder of logs has beside those of the build.
const (
	ManifestName = "zuul-manifest.json"
	ScriptName   = "download-logs.sh" // where anything is sealed
)

// An api is a Config at work.
type api struct {
	Config
	began time.Time
	large chan struct{} // one element for each large answer under way
}

// Answers of more rows than a page of the index has take long: of all that are
// asked for, so many are made at once, and the others wait for so long.
const (
	largeAtOnce = 2
	largeWait   = 5 * time.Second
)

// alone waits until an answer of so many rows may begin; done is to be called at
// its end.
func (a *api) alone(ctx context.Context, rows int) (done func(), err error) {
	if rows <= index.MaxLimit {
		return func() {}, nil
	}
	wait := time.NewTimer(largeWait)
	defer wait.Stop()
	select {
	case a.large <- struct{}{}:
		return func() { <-a.large }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, refuse(http.StatusServiceUnavailable, "others are being told of more than %d rows: come again later, or ask for fewer", index.MaxLimit)
	}
}

// A refusal is an error whose text is meant for the one who asked.
type refusal struct {
	status int
	reason string
}

func (e *refusal) Error() string { return e.reason }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// A handler answers, or says with an error why it has not begun to.
type handler func(w http.ResponseWriter, r *http.Request) error

// below are the answers about a tenant, by the rest of their path.
func (a *api) below() map[string]handler {
	h := map[string]handler{
		"info":                   a.info,
		"builds":                 a.builds,
		"build/{uuid}":           a.build,
		"buildsets":              a.buildsets,
		"buildset/{uuid}":        a.buildset,
		"build-times":            a.buildTimes,
		"badge":                  a.badge,
		"jobs":                   a.jobs,
		"job/{name...}":          a.job,
		"projects":               a.projects,
		"project/{name...}":      a.project,
		"pipelines":              a.pipelines,
		"status":                 a.status,
		"tenant-status":          a.tenantStatus,
		"status/change/{change}": none,
	}
	// What Zuul has live, and a history never has any of.
	for _, name := range []string{"autohold", "config-errors", "labels", "nodes", "semaphores", "system-events"} {
		h[name] = none
	}
	return h
}

// Handler serves everything below /api but /api/v1.
func Handler(c Config) http.Handler {
	a := &api{Config: c, began: time.Now(), large: make(chan struct{}, largeAtOnce)}
	mux := http.NewServeMux()
	paths := make(map[string]string) // for /api
	for rest, h := range a.below() {
		mux.Handle("/api/tenant/{tenant}/"+rest, a.answer(a.ofTenant(h)))
		name := "tenant_" + strings.NewReplacer("/{", "_", "}", "", "...", "", "/", "_").Replace(rest)
		paths[name] = "/api/tenant/{tenant}/" + strings.Replace(rest, "...", "", 1)
	}
	for _, name := range []string{"info", "tenants", "connections", "components"} {
		paths[name] = "/api/" + name
	}
	mux.Handle("/api/info", a.answer(a.info))
	mux.Handle("/api/tenants", a.answer(a.tenants))
	mux.Handle("/api/connections", a.answer(none))
	mux.Handle("/api/components", a.answer(func(w http.ResponseWriter, _ *http.Request) error { return writeJSON(w, struct{}{}) }))
	mux.Handle("/api", a.answer(func(w http.ResponseWriter, _ *http.Request) error { return writeJSON(w, paths) }))
	mux.Handle("/", a.answer(func(http.ResponseWriter, *http.Request) error {
		return refuse(http.StatusNotFound, "this history does not answer that part of Zuul's API")
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A path that the mux would clean it answers with a page that sends elsewhere.
		if p := r.URL.Path; path.Clean(p) != strings.TrimSuffix(p, "/") {
			a.answer(func(http.ResponseWriter, *http.Request) error {
				return refuse(http.StatusNotFound, "this history does not answer that part of Zuul's API")
			}).ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ofTenant refuses what is asked of another tenant than this one.
func (a *api) ofTenant(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if t := r.PathValue("tenant"); t != a.Tenant {
			return refuse(http.StatusNotFound, "Tenant %.64s does not exist.", t)
		}
		if !a.Loaded() {
			return refuse(http.StatusUnprocessableEntity, "Tenant %s is not loaded yet.", a.Tenant)
		}
		return h(w, r)
	}
}

// answer is what all answers have in common: any page of any origin may read them,
// and an error is a line of text.
func (a *api) answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Access-Control-Allow-Origin", "*")
		head.Set("Cross-Origin-Resource-Policy", "cross-origin")
		head.Set("X-Content-Type-Options", "nosniff")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions:
			head.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			head.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			head.Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		default:
			head.Set("Allow", "GET, HEAD, OPTIONS")
			writeError(w, http.StatusMethodNotAllowed, "a history is only read")
			return
		}
		err := h(w, r)
		var refused *refusal
		switch {
		case err == nil:
		case errors.As(err, &refused):
			if refused.status == http.StatusServiceUnavailable {
				head.Set("Retry-After", "5")
			}
			writeError(w, refused.status, refused.reason)
		case errors.Is(err, index.ErrQuery):
			writeError(w, http.StatusBadRequest, err.Error())
		default:
			if r.Context().Err() == nil { // else whoever asked went away
				a.Log.Error("request failed", "path", r.URL.Path, "error", err)
			}
			writeError(w, http.StatusInternalServerError, "the server failed, and its log has the reason")
		}
	})
}

// notFound gives the error of something that is not in the history Zuul's words.
func notFound(err error, reason string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(http.StatusNotFound, "%s", reason)
	}
	return err
}

func writeError(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
