package server

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine/web"
)

// routes is the whole surface of the server.
func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.handleError
	// Whoever connects is the client: no header of a stranger says otherwise.
	e.IPExtractor = echo.ExtractIPDirect()
	e.Use(requestID, s.logRequests, recoverPanics, securityHeaders, s.apiRules)

	e.GET("/healthz", s.healthz)
	e.GET("/readyz", s.readyz)

	get := func(g *echo.Group, path string, h echo.HandlerFunc) {
		g.GET(path, h)
		g.HEAD(path, h)
	}
	site := e.Group("") // without middleware, which would take the place of the API's "method not allowed"
	get(site, "/", compress(s.overview))
	for _, a := range web.Assets() {
		get(site, a.Path, compress(echo.WrapHandler(a)))
	}
	asIs := e.Group("/t/:tenant", s.onlyTenant) // see compress
	asIs.GET("/builds/events", s.buildEvents)
	get(asIs, "/build/:uuid/preview/*", s.preview)
	tenant := e.Group("/t/:tenant", s.onlyTenant, compress)
	get(tenant, "", s.overview)
	get(tenant, "/", s.overview)
	get(tenant, "/services", s.overview)
	get(tenant, "/builds", s.builds)
	get(tenant, "/build/:uuid", s.build)
	get(tenant, "/build/:uuid/gallery", s.gallery)
	get(tenant, "/buildset/:uuid", s.buildset)
	get(tenant, "/service/:name", s.service)
	get(tenant, "/job/:name", s.job)
	get(tenant, "/keyring", s.keyringPage)
	get(tenant, "/search", s.search)
	get(tenant, "/feed.atom", s.feedAtom)
	get(tenant, "/feed.json", s.feedJSON)
	get(tenant, "/badge.svg", s.badge)
	get(tenant, "/latest", s.latest)
	get(tenant, "/latest/artifacts/*", s.latest)
	get(tenant, "/latest-success", s.latestSuccess)
	get(tenant, "/latest-success/artifacts/*", s.latestSuccess)

	logs := e.Group("/logs/:tenant/:uuid", crossOrigin, s.onlyTenant)
	get(logs, "", s.logsFolder)
	get(logs, "/*", s.logsFile)
	logs.OPTIONS("/*", s.preflight)

	// Zuul's API has its own rules for errors and for other origins.
	zuul := compress(echo.WrapHandler(s.zuulAPI()))
	e.Any("/api", zuul)
	for _, path := range []string{"/api/info", "/api/tenants", "/api/connections", "/api/components", "/api/tenant/*"} {
		e.Any(path, zuul)
	}
	// What the router finds no place for. A route for all below /api would take the
	// place of our own API's "method not allowed".
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := next(c)
			if p := c.Request().URL.Path; err == echo.ErrNotFound && strings.HasPrefix(p, "/api/") && !strings.HasPrefix(p+"/", "/api/v1/") {
				return zuul(c)
			}
			return err
		}
	})

	api := e.Group("/api/v1/tenant/:tenant") // see apiRules
	get(api, "/builds", compress(s.apiBuilds))
	api.POST("/builds", s.beginBuild)
	get(api, "/builds/:uuid", compress(s.apiBuild))
	api.PUT("/builds/:uuid", s.commitBuild, s.hear)
	get(api, "/builds/:uuid/:record", s.getRecord)
	get(api, "/builds/:uuid/artifacts/*", s.getArtifact)
	api.PUT("/builds/:uuid/artifacts/*", s.putArtifact, s.hear)
	api.POST("/builds/:uuid/parts/*", s.signParts, s.hear)
	api.PUT("/builds/:uuid/parts/*", s.putPart, s.hear) // NUMBER/PATH; for two patterns the router fails to look at both
	get(api, "/buildsets/:uuid", compress(s.apiBuildset))
	s.readAPI(e, api)
	get(api, "/allowed_signers", s.getAllowedSigners)
	return e
}

// param is a part of the request's path. Echo leaves it escaped if the path had
// escapes that another writer would not have made.
func param(c echo.Context, name string) string {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value
	}
	plain, err := url.PathUnescape(value)
	if err != nil {
		return value
	}
	return plain
}

// requestID gives every request an id of the server's own choice: one that came
// from outside could pretend to be another's.
func requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderXRequestID, rand.Text())
		return next(c)
	}
}

// recoverPanics makes a bug in one request an error of that request, in the log.
func recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler {
				panic(p) // it is how a broken answer is meant to end
			}
			if p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return next(c)
	}
}

// onlyTenant refuses requests for another tenant than the server's.
func (s *Server) onlyTenant(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if t := param(c, "tenant"); t != "" && t != s.Tenant {
			return refuse(http.StatusNotFound, "there is no tenant %q here", t)
		}
		return next(c)
	}
}

// securityHeaders gives every answer, errors too, the headers that keep a
// browser from running or framing anything. An artifact narrows them further.
func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", web.ContentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		return next(c)
	}
}

// crossOrigin lets pages of other origins read what is public: the API, and
// artifacts and parts of them, as what opens a sealed one runs elsewhere.
func crossOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, ETag")
		return next(c)
	}
}

// preflight answers a browser that asks whether it may ask for a range.
func (s *Server) preflight(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD")
	h.Set("Access-Control-Allow-Headers", "If-None-Match, If-Range, Range")
	h.Set("Access-Control-Max-Age", "86400")
	return c.NoContent(http.StatusNoContent)
}

// logRequests writes one line a request. Paths are public; queries and headers,
// which may hold a token, are left out.
func (s *Server) logRequests(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err) // so that the status below is the one that was sent
		}
		level := slog.LevelInfo
		if p := c.Request().URL.Path; p == "/healthz" || p == "/readyz" {
			level = slog.LevelDebug
		}
		s.Log.LogAttrs(c.Request().Context(), level, "request",
			slog.String("id", c.Response().Header().Get(echo.HeaderXRequestID)),
			slog.String("method", c.Request().Method),
			slog.String("path", c.Request().URL.Path),
			slog.Int("status", c.Response().Status),
			slog.Int64("bytes", c.Response().Size),
			slog.Duration("took", time.Since(start).Round(time.Microsecond)),
			slog.String("from", c.RealIP()))
		return nil
	}
}

// healthz says that the process runs.
func (s *Server) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether the server can do its work, and if not, what it waits for.
func (s *Server) readyz(c echo.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, answer := http.StatusOK, map[string]string{"status": "ok"}
	if s.keys == nil || !s.synced {
		status, answer["status"] = http.StatusServiceUnavailable, "starting"
	}
	for part, err := range s.health {
		if err != nil {
			answer[part] = err.Error() // the last good state is in use: not a reason to be taken out
			if status == http.StatusOK {
				answer["status"] = "degraded"
			}
		}
	}
	return c.JSON(status, answer)
}
