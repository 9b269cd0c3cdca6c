package server

import (
	"context"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/server/zuul"
	"vitrine/web"
)

// The folder that Zuul's API names as a build's log_url: what the build published,
// a manifest of it, and a listing for people.

const plainText = "text/plain; charset=utf-8"

// neverInline are files that a browser would run, or parse on its own account,
// whatever their media type says.
var neverInline = []string{".htm", ".html", ".mht", ".mhtml", ".pdf", ".shtml", ".svg", ".svgz", ".xht", ".xhtml", ".xml", ".xsl", ".xslt"}

// logType is the media type that a file is served as, and whether as an attachment
// only. What is sealed is never text: a viewer would show ciphertext.
func logType(a vitrine.Artifact) (mediaType string, attachment bool) {
	ext := strings.ToLower(path.Ext(a.Path))
	switch image := web.ImageType(a.Path); {
	case a.Sealed || slices.Contains(neverInline, ext):
	case image != "":
		return image, false
	case ext == ".json":
		return "application/json", false
	case strings.HasPrefix(a.MediaType, "text/"):
		return plainText, false
	}
	return octetStream, true
}

// isGzippedOutput reports whether an artifact has the name that Zuul's clients ask
// for first, to have it decoded on the way.
func isGzippedOutput(a vitrine.Artifact) bool {
	return !a.Sealed && path.Base(a.Path) == "job-output.json.gz"
}

// logsFolder is the folder without its slash.
func (s *Server) logsFolder(c echo.Context) error {
	b, _, err := s.Index.Build(c.Request().Context(), param(c, "uuid"))
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusMovedPermanently, web.LogsPath(s.Tenant, b.UUID))
}

// logsFile is what lies in the folder: a folder below it, or a file.
func (s *Server) logsFile(c echo.Context) error {
	ctx, uuid, name := c.Request().Context(), param(c, "uuid"), param(c, "*")
	b, _, err := s.Index.Build(ctx, uuid)
	if err != nil {
		return err
	}
	if b.IsImported() {
		return refuse(http.StatusNotFound, "build %s was imported: its files are not here but at %q", uuid, b.Imported.LogURL)
	}
	if !b.Expired.IsZero() {
		return refuse(http.StatusGone, "the files of build %s were removed on %s, as their time had come", uuid, b.Expired.Format(time.DateOnly))
	}
	if name == zuul.ManifestName {
		text, err := s.manifest(b)
		if err != nil {
			return err
		}
		return s.madeLog(c, "application/json", text)
	}
	if name == zuul.ScriptName && zuul.HasScript(b) {
		return s.madeLog(c, plainText, s.downloadScript(b))
	}
	if i := slices.IndexFunc(b.Artifacts, func(a vitrine.Artifact) bool { return a.Path == name }); i >= 0 {
		if f, ok := logFileOf(b.Artifacts[i]); ok {
			return s.logFile(c, b, f)
		}
	}
	files := s.logFiles(b) // a folder is what they are in
	if name == "" || strings.HasSuffix(name, "/") {
		if folders, here, ok := folderOf(files, name); ok {
			return compress(func(c echo.Context) error { return s.logsPage(c, b, name, folders, here) })(c)
		}
	} else if _, _, ok := folderOf(files, name+"/"); ok {
		return c.Redirect(http.StatusMovedPermanently, web.LogPath(s.Tenant, uuid, name)+"/")
	}
	return refuse(http.StatusNotFound, "build %s has no file %q", uuid, name)
}

// madeLog sends a file that the server makes.
func (s *Server) madeLog(c echo.Context, mediaType string, text []byte) error {
	return compress(func(c echo.Context) error {
		c.Response().Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
		c.Response().Header().Set("Cache-Control", "no-cache")
		return c.Blob(http.StatusOK, mediaType, text)
	})(c)
}

func (s *Server) logFile(c echo.Context, b vitrine.Build, f logFile) error {
	if f.encoding != "" && !s.isGzip(c.Request().Context(), b, f.artifact) {
		return refuse(http.StatusNotFound, "%s is not compressed, whatever its name says", f.path)
	}
	return s.serveArtifact(c, b, f.artifact, delivery{f.mediaType, f.encoding, f.attachment})
}

// isGzip reports whether an artifact begins as a gzip file does.
func (s *Server) isGzip(ctx context.Context, b vitrine.Build, a vitrine.Artifact) bool {
	r, err := s.Bucket.OpenRange(ctx, vitrine.ArtifactKey(b.UUID, a.Path), 0, 2)
	if err != nil {
		return true // for serveArtifact to say why there is nothing
	}
	defer r.Close()
	head, err := io.ReadAll(io.LimitReader(r, 2))
	return err != nil || string(head) == "\x1f\x8b"
}

// logsPage lists a folder for people.
func (s *Server) logsPage(c echo.Context, b vitrine.Build, folder string, folders []string, here []logFile) error {
	p := web.LogsPage{Build: b, Folder: folder, Folders: folders}
	if folder == "" {
		p.Made = append(p.Made, zuul.ManifestName)
	}
	for _, f := range here {
		if f.artifact.Path == "" {
			p.Made = append(p.Made, f.path)
		} else {
			p.Files = append(p.Files, f.artifact)
		}
	}
	slices.Sort(p.Made)
	return s.page(c, http.StatusOK, p)
}
