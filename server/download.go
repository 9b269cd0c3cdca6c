package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/keyring"
	"vitrine/storage"
	"vitrine/web"
)

// getArtifact is GET …/builds/UUID/artifacts/PATH: an artifact's stored bytes,
// or a range of them. Only what a record names is served.
func (s *Server) getArtifact(c echo.Context) error {
	ctx, uuid, want := c.Request().Context(), param(c, "uuid"), param(c, "*")
	build, _, err := s.Index.Build(ctx, uuid)
	if err != nil {
		return err
	}
	for _, a := range build.Artifacts {
		if a.Path == want {
			if mediaType := web.ImageType(a.Path); mediaType != "" && !a.Sealed {
				return s.serveArtifact(c, build, a, delivery{mediaType: mediaType})
			}
			return s.serveArtifact(c, build, a, delivery{mediaType: octetStream, attachment: true})
		}
	}
	return refuse(http.StatusNotFound, "build %s has no artifact %q", uuid, want)
}

// A delivery says how the bytes of an artifact are sent.
type delivery struct {
	mediaType  string
	encoding   string // that a browser decodes; empty: none
	attachment bool   // for the disk, not to be shown
}

func (s *Server) serveArtifact(c echo.Context, build vitrine.Build, a vitrine.Artifact, as delivery) error {
	ctx := c.Request().Context()
	key := vitrine.ArtifactKey(build.UUID, a.Path)
	object, err := s.Bucket.Stat(ctx, key)
	if err != nil {
		return unreadable(build, a, err)
	}
	h := c.Response().Header()
	before := h.Clone()
	disposition := "inline"
	if as.attachment {
		disposition = "attachment"
	}
	if s.signer != nil && as.attachment && c.Request().Method == http.MethodGet {
		address, err := s.signer.SignOpen(ctx, key, path.Base(a.Path), time.Now().Add(signedLife))
		if err != nil {
			return fromStore(err)
		}
		h.Set("Cache-Control", "no-store") // it is good for minutes
		return c.Redirect(http.StatusFound, address)
	}
	h.Set("Content-Type", as.mediaType)
	if as.encoding != "" {
		h.Set("Content-Encoding", as.encoding)
	}
	// A path is of characters that need no quoting (vitrine.ValidPath).
	h.Set("Content-Disposition", fmt.Sprintf("%s; filename=%q", disposition, path.Base(a.Path)))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if a.SHA256 != "" { // that of an interrupted build has none
		h.Set("ETag", `"`+a.SHA256+`"`)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	// Served as the store has it: whether it is what was signed, readers check.
	body := &objectReader{ctx: ctx, bucket: s.Bucket, key: key, size: object.Size, answer: h}
	defer body.Close()
	w := &patientWriter{ResponseWriter: c.Response(), deadlines: http.NewResponseController(c.Response())}
	http.ServeContent(w, c.Request(), "", object.ModTime, body)
	if body.err == nil {
		w.sendHeader()
		return nil
	}
	if ctx.Err() == nil { // else the reader went away
		s.Log.Warn("an artifact breaks off", "id", h.Get(echo.HeaderXRequestID), "key", key, "offset", body.off, "error", body.err)
	}
	if c.Response().Committed {
		return nil // that bytes are missing the length tells
	}
	clear(h)
	maps.Copy(h, before)
	return unreadable(build, a, body.err)
}

// unreadable is what a reader is told of an artifact that the store does not give
// out.
func unreadable(build vitrine.Build, a vitrine.Artifact, err error) error {
	lost := errors.Is(err, fs.ErrNotExist)
	switch {
	case (lost || errors.Is(err, storage.ErrIntegrity)) && !build.Expired.IsZero():
		return refuse(http.StatusGone, "%s: removed on %s, as its time had come", a.Path, build.Expired.Format(time.DateOnly))
	case lost:
		return refuse(http.StatusGone, "%s: the record names it, but the store has it no longer", a.Path)
	}
	return fromStore(err)
}

// getRecord is GET …/builds/UUID/build.json, started.json and their signatures,
// byte for byte as they were signed.
func (s *Server) getRecord(c echo.Context) error {
	ctx, uuid := c.Request().Context(), param(c, "uuid")
	build, _, err := s.Index.Build(ctx, uuid)
	if err != nil {
		return err
	}
	key := vitrine.DayPrefix(build.StartTime) + uuid + "/" + param(c, "record")
	if k, err := vitrine.ParseKey(key); err != nil || k.Kind == vitrine.ArtifactKind {
		return refuse(http.StatusNotFound, "there is nothing at this address")
	}
	text, err := s.read(ctx, key, vitrine.MaxRecordSize)
	if err != nil {
		return err
	}
	mediaType := "text/plain; charset=utf-8"
	if strings.HasSuffix(key, ".json") {
		mediaType = "application/json"
	}
	return answer(c, mediaType, time.Time{}, text)
}

// getAllowedSigners is the file that `ssh-keygen -Y verify -f` takes: that of the
// keyring now, or at the commit that a record names.
func (s *Server) getAllowedSigners(c echo.Context) error {
	k, err := s.keyringNow()
	if commit := c.QueryParam("commit"); commit != "" {
		k, err = s.Keyring.At(c.Request().Context(), commit)
	}
	if errors.Is(err, keyring.ErrUnknownCommit) {
		return refuse(http.StatusNotFound, "there is no commit %q in the keyring", c.QueryParam("commit"))
	} else if err != nil {
		return err
	}
	return answer(c, "text/plain; charset=utf-8", time.Time{}, k.AllowedSigners())
}

// An objectReader is an object of the bucket as [http.ServeContent] wants it. It
// opens the object when it is first read, from where it was sought to, and to the
// end of the range that the answer announces: what is opened and not read to its
// end costs the store a connection.
type objectReader struct {
	ctx    context.Context
	bucket storage.Reader
	key    string
	size   int64
	answer http.Header
	off    int64
	open   io.ReadCloser
	err    error // of the read that failed
}

func (o *objectReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.off
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d", offset)
	}
	if offset != o.off {
		o.Close()
		o.off = offset
	}
	return offset, nil
}

func (o *objectReader) Read(b []byte) (int, error) {
	if o.off >= o.size {
		return 0, io.EOF
	}
	if o.open == nil {
		n, first, last := int64(-1), int64(0), int64(0)
		if _, err := fmt.Sscanf(o.answer.Get("Content-Range"), "bytes %d-%d/", &first, &last); err == nil && first == o.off {
			n = last - first + 1
		}
		r, err := o.bucket.OpenRange(o.ctx, o.key, o.off, n)
		if err != nil {
			o.err = err
			return 0, err
		}
		o.open = r
	}
	n, err := o.open.Read(b)
	o.off += int64(n)
	if err == io.EOF && o.off < o.size {
		err = io.ErrUnexpectedEOF
	}
	if err != io.EOF {
		o.err = err
	}
	return n, err
}

func (o *objectReader) Close() error {
	if o.open == nil {
		return nil
	}
	err := o.open.Close()
	o.open = nil
	return err
}

// A patientWriter lets a download take as long as it needs while the reader
// still takes bytes. The header goes with the first of them, or by sendHeader:
// until then it can be said that there are none.
type patientWriter struct {
	http.ResponseWriter
	deadlines *http.ResponseController
	status    int // that is to be sent
}

func (p *patientWriter) WriteHeader(status int) { p.status = status }

func (p *patientWriter) sendHeader() {
	if p.status != 0 {
		p.ResponseWriter.WriteHeader(p.status)
		p.status = 0
	}
}

func (p *patientWriter) Write(b []byte) (int, error) {
	p.sendHeader()
	p.deadlines.SetWriteDeadline(time.Now().Add(stallTimeout))
	return p.ResponseWriter.Write(b)
}
