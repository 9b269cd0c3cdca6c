package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/html"

	"vitrine"
	"vitrine/storage"
	"vitrine/web"
)

// maxStyles is how many style elements of a document are let in: each takes 60
// bytes of a header.
const maxStyles = 32

// preview is a public HTML file for the frame on its build's page, and only for
// that: anywhere else it would be a page of this server that a stranger wrote.
// It goes through the server even where files come from the store itself.
func (s *Server) preview(c echo.Context) error {
	ctx, uuid, want := c.Request().Context(), param(c, "uuid"), param(c, "*")
	build, _, err := s.Index.Build(ctx, uuid)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(build.Artifacts, func(a vitrine.Artifact) bool { return a.Path == want })
	if i < 0 || web.PreviewOf(build.Artifacts[i]) != web.FramePreview {
		return refuse(http.StatusNotFound, "build %s has no public HTML file %q", uuid, want)
	}
	a := build.Artifacts[i]
	h := c.Response().Header()
	h.Set("Vary", "Sec-Fetch-Dest")
	if c.Request().Header.Get("Sec-Fetch-Dest") != "iframe" {
		h.Set("Cache-Control", "no-store")
		return c.Redirect(http.StatusSeeOther, web.FilePath(s.Tenant, uuid, a.Path))
	}
	if a.Size > web.MaxFrame {
		return refuse(http.StatusRequestEntityTooLarge, "%s has %d bytes; up to %d are shown in a frame", a.Path, a.Size, web.MaxFrame)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout/2)
	defer cancel()
	text, err := s.head(ctx, vitrine.ArtifactKey(uuid, a.Path), web.MaxFrame+1)
	if sum := sha256.Sum256(text); err == nil && hex.EncodeToString(sum[:]) != a.SHA256 && a.SHA256 != "" {
		err = fmt.Errorf("%s: %w", a.Path, storage.ErrIntegrity)
	}
	if err == nil && len(text) > web.MaxFrame {
		err = fmt.Errorf("%s: %w", a.Path, storage.ErrIntegrity)
	}
	if err != nil {
		return unreadable(build, a, err)
	}
	h.Set("Content-Security-Policy", framedPolicy(text))
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Cache-Control", "public, max-age=3600")
	return c.Blob(http.StatusOK, "text/html; charset=utf-8", text)
}

// framedPolicy lets a stranger's document show its text, the images it holds and
// its style elements, each by its hash, and nothing else. Styles in attributes,
// which only an unsafe keyword would let in, are left out.
func framedPolicy(document []byte) string {
	styles := styleHashes(document)
	if styles == "" {
		styles = " 'none'"
	}
	return "sandbox; default-src 'none'; img-src data:; style-src" + styles + "; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
}

// styleHashes are the sources of a policy for the style elements of a document.
func styleHashes(document []byte) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(string(document)))
	z.SetMaxBuf(web.MaxFrame + 1)
	for n := 0; n < maxStyles; {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) != "style" {
				continue
			}
			if z.Next() == html.TextToken {
				sum := sha256.Sum256(z.Text())
				fmt.Fprintf(&b, " 'sha256-%s'", base64.StdEncoding.EncodeToString(sum[:]))
				n++
			}
		}
	}
	return b.String()
}
