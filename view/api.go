package view

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"vitrine"
	"vitrine/lines"
	"vitrine/summary"
)

// Bounds of what may be asked for at once.
const (
	maxLines = 2000
	maxPiece = 256 << 10 // bytes of a long line
	maxLine  = 1 << 53   // what a number in JavaScript can count
)

// routes lists all that the page can ask for, below the token.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /static/{name}", s.static)
	mux.HandleFunc("GET /api/alive", s.alive)
	api := func(pattern string, handle func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc("GET /api/"+pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				fail(w, r, err)
			}
		})
	}
	api("build", s.getBuild)
	api("log/{i}", s.withLog(s.getLog))
	api("log/{i}/lines", s.withLog(getLines))
	api("log/{i}/line", s.withLog(getLine))
	api("log/{i}/last", s.withLog(getLast))
	api("log/{i}/at", s.withLog(getAt))
	api("log/{i}/text", s.withLog(getText))
	api("log/{i}/scan", s.withLog(s.pass(scan)))
	api("log/{i}/search", s.withLog(s.pass(search)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is nothing here")
	})
	return mux
}

// A badRequest says what is wrong with what was asked for.
type badRequest struct{ text string }

func (e *badRequest) Error() string { return e.text }

// fail answers with an error, in the one place that maps errors to statuses.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	var bad *badRequest
	switch {
	case r.Context().Err() != nil: // nobody listens
	case errors.As(err, &bad):
		refuse(w, http.StatusBadRequest, bad.text)
	case errors.Is(err, fs.ErrNotExist):
		refuse(w, http.StatusNotFound, err.Error())
	default:
		refuse(w, http.StatusBadGateway, err.Error())
	}
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(failure{text})
}

type failure struct {
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // that nobody listens is no error of ours
	return nil
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	s.arrive()
	s.file(w, "page.html")
}

func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	s.file(w, r.PathValue("name"))
}

func (s *Server) file(w http.ResponseWriter, name string) {
	text, err := fs.ReadFile(files, "static/"+name)
	if err != nil {
		refuse(w, http.StatusNotFound, "there is nothing here")
		return
	}
	// Not by the system's table of types, which may say anything of .js.
	kind, ok := map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
		".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	if !ok {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Write(text)
}

// alive is held open by the page as long as it is there.
func (s *Server) alive(w http.ResponseWriter, r *http.Request) {
	leave := s.watch()
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, ": here\n\n")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func (s *Server) getBuild(w http.ResponseWriter, r *http.Request) error {
	type artifact struct {
		Index int    `json:"index"`
		Path  string `json:"path"`
		Size  int64  `json:"size"`
	}
	b := s.build
	artifacts := make([]artifact, len(b.Artifacts))
	for i, a := range b.Artifacts {
		artifacts[i] = artifact{i, a.Path, a.Size}
	}
	return reply(w, struct {
		UUID      string           `json:"uuid"`
		Job       string           `json:"job"`
		Result    string           `json:"result"`
		Page      string           `json:"page"`
		Start     time.Time        `json:"start_time,omitzero"`
		End       time.Time        `json:"end_time,omitzero"`
		Took      string           `json:"took"`
		Project   string           `json:"project"`
		Pipeline  string           `json:"pipeline"`
		Change    int64            `json:"change"`
		Patchset  string           `json:"patchset"`
		Artifacts []artifact       `json:"artifacts"`
		Summary   *summary.Summary `json:"summary"`
	}{b.UUID, b.Job, b.Result, b.Page, b.Start, b.End, vitrine.DurationText(b.End.Sub(b.Start)), b.Project, b.Pipeline, b.Change, b.Patchset, artifacts, b.Summary})
}

// A request asks something of a log.
type request struct {
	*http.Request
	*opening
	artifact *artifact
}

func (s *Server) withLog(handle func(http.ResponseWriter, *request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		i, err := strconv.Atoi(r.PathValue("i"))
		if err != nil || i < 0 || i >= len(s.artifacts) {
			return fmt.Errorf("artifact %.20q: %w", r.PathValue("i"), fs.ErrNotExist)
		}
		o, err := s.artifacts[i].open(r.Context())
		if err != nil {
			return err
		}
		return handle(w, &request{r, o, s.artifacts[i]})
	}
}

// number is a parameter between low and high; fallback if it is not there, unless
// that is none it may be.
func (r *request) number(name string, low, high, fallback int64) (int64, error) {
	text := r.URL.Query().Get(name)
	n, err := strconv.ParseInt(text, 10, 64)
	if text == "" {
		n, err = fallback, nil
	}
	if err != nil || n < low || n > high {
		return 0, &badRequest{fmt.Sprintf("%s must be a number from %d to %d, not %.40q", name, low, high, text)}
	}
	return n, nil
}

// getLog tells how long a log is. Of a short one the number of lines is known
// before it could be asked for again.
func (s *Server) getLog(w http.ResponseWriter, r *request) error {
	select {
	case <-r.counted:
	case <-time.After(200 * time.Millisecond):
	case <-r.Context().Done():
		return r.Context().Err()
	}
	var known *int64
	if n, ok := r.log.Known(); ok {
		known = &n
	}
	return reply(w, struct {
		Size  int64  `json:"size"`
		Lines *int64 `json:"lines"`
	}{r.log.Size(), known})
}

func getLines(w http.ResponseWriter, r *request) error {
	from, err := r.number("from", 1, maxLine, 0)
	if err != nil {
		return err
	}
	count, err := r.number("count", 1, maxLines, 0)
	if err != nil {
		return err
	}
	off, err := r.log.Offset(r.Context(), from)
	if err != nil {
		return err
	}
	return sendLines(w, r, off, from, count)
}

func getLast(w http.ResponseWriter, r *request) error {
	count, err := r.number("count", 1, maxLines, 0)
	if err != nil {
		return err
	}
	off, err := r.log.Last(r.Context(), count)
	if err != nil {
		return err
	}
	var from int64
	if n, ok := r.log.Known(); ok {
		from = max(n-count, 0) + 1
	}
	return sendLines(w, r, off, from, count)
}

// sendLines sends count lines from off on, where line from begins; 0 if that is
// not known. What goes wrong on the way is said behind the lines that came.
func sendLines(w http.ResponseWriter, r *request, off, from, count int64) error {
	log := newReader(r.Context(), r.log, off)
	line, err := nextOf(r, &log, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 64<<10)
	defer out.Flush()
	number := []byte("null")
	if from > 0 {
		number = strconv.AppendInt(nil, from, 10)
	}
	fmt.Fprintf(out, `{"from":%s,"lines":[`, number)
	for i := int64(0); err == nil; {
		text, _ := json.Marshal(show(line)) // it has nothing that JSON can't say
		out.Write(text)
		if i++; i == count {
			break
		}
		at := int64(0)
		if from > 0 {
			at = from + i
		}
		if line, err = nextOf(r, &log, at); err == nil {
			out.WriteByte(',')
		}
	}
	out.WriteByte(']')
	if err != nil && !errors.Is(err, io.EOF) {
		text, _ := json.Marshal(err.Error())
		fmt.Fprintf(out, `,"error":%s`, text)
	}
	out.WriteByte('}')
	return nil
}

// nextOf reads line number of a log; 0 if that is not known. If it is long, the
// log is asked where the next begins.
func nextOf(r *request, log **reader, number int64) (rawLine, error) {
	if number == 0 {
		return (*log).next(0)
	}
	line, err := (*log).next(maxRead)
	if !errors.Is(err, errLong) {
		return line, err
	}
	end, err := r.log.Offset(r.Context(), number+1)
	if err != nil {
		return line, err
	}
	if line.n, err = lengthOf(r.log, line.off, end); err != nil {
		return line, err
	}
	line.returns = 0
	*log = newReader(r.Context(), r.log, end)
	return line, nil
}

// lengthOf is the length of the line that begins at off, the next one at end,
// without its line feed: only the last may have none.
func lengthOf(log *lines.Log, off, end int64) (int64, error) {
	if end == log.Size() && end > off {
		var last [1]byte
		if _, err := log.ReadAt(last[:], end-1); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if last[0] != '\n' {
			return end - off, nil
		}
	}
	return max(end-off-1, 0), nil
}

// getLine sends a piece of a line: its text, from which byte of the line it is,
// where the next begins, and how many bytes the whole line has.
func getLine(w http.ResponseWriter, r *request) error {
	n, err := r.number("n", 1, maxLine, 0)
	if err != nil {
		return err
	}
	skip, err := r.number("off", 0, math.MaxInt64, 0)
	if err != nil {
		return err
	}
	count, err := r.number("count", 1, maxPiece, maxText)
	if err != nil {
		return err
	}
	off, err := r.log.Offset(r.Context(), n)
	if err != nil {
		return err
	}
	end, err := r.log.Offset(r.Context(), n+1)
	if err != nil {
		return err
	}
	length, err := lengthOf(r.log, off, end)
	if err != nil {
		return err
	}
	skip = min(skip, length)
	text := make([]byte, min(count, length-skip))
	if _, err := r.log.ReadAt(text, off+skip); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if whole := wholeRunes(text); whole > 0 && skip+int64(len(text)) < length {
		text = text[:whole]
	}
	return reply(w, struct {
		Text  string `json:"text"`
		Off   int64  `json:"off"`
		Next  int64  `json:"next"`
		Bytes int64  `json:"bytes"`
	}{string(text), skip, skip + int64(len(text)), length})
}

// getText sends lines as they are, to be kept in a file.
func getText(w http.ResponseWriter, r *request) error {
	from, err := r.number("from", 1, maxLine, 1)
	if err != nil {
		return err
	}
	to, err := r.number("to", from, maxLine, maxLine)
	if err != nil {
		return err
	}
	off, err := r.log.Offset(r.Context(), from)
	if err != nil {
		return err
	}
	end := r.log.Size()
	if to < maxLine {
		if end, err = r.log.Offset(r.Context(), to+1); err != nil {
			return err
		}
	}
	src := r.log.NewReader(off, end-off)
	defer src.Close()
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(r.artifact.Path)}))
	// With its length said, one that breaks off is not taken for whole.
	h.Set("Content-Length", strconv.FormatInt(end-off, 10))
	io.Copy(w, contextReader{r.Context(), src})
	return nil
}

// fileName is what a download is called: a log's own name, made a text's.
func fileName(name string) string {
	name = cmp.Or(strings.TrimLeft(path.Base(name), "."), "log")
	if ext := path.Ext(name); ext != ".txt" && ext != ".log" {
		name += ".txt"
	}
	return name
}

// pass lets a few requests read through whole logs at a time; others wait.
func (s *Server) pass(handle func(http.ResponseWriter, *request) error) func(http.ResponseWriter, *request) error {
	return func(w http.ResponseWriter, r *request) error {
		select {
		case s.passes <- struct{}{}:
			defer func() { <-s.passes }()
			return handle(w, r)
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}
