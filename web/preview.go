package web

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"vitrine"
	"vitrine/ansible"
)

// A PreviewKind is how a page shows a public file beyond its name.
type PreviewKind int

// How a file may be shown. An artifact that is sealed, or of another kind, is
// not previewed.
const (
	NoPreview      PreviewKind = iota
	ImagePreview               // by the browser, from the artifact's own address
	TextPreview                // its first lines, in the page
	FramePreview               // HTML, in a frame that can do nothing: see [PreviewPath]
	AnsiblePreview             // JSON that may be Ansible's; if it is not, as text
)

// Bounds of what one page previews. The page names the files beyond them.
const (
	MaxFrame = 1 << 20 // bytes of an HTML file that is shown in a frame

	maxThumbnail = 8 << 20 // bytes of an image that is loaded unasked
	maxImages    = 12
	maxTexts     = 3
	maxFrames    = 2
	maxReports   = 2        // files that may be Ansible's
	maxLines     = 200      // of one text
	maxLine      = 400      // characters
	maxShownText = 12 << 10 // bytes of all texts of a page
)

// A Preview is what was found when the beginning of a public file was read.
type Preview struct {
	Path string // of the artifact, as in the record
	// Text is the beginning of a text, as it is in the file; More says that the
	// file goes on.
	Text string
	More bool
	// Width and Height are those of an image, in pixels, or zero.
	Width, Height int
	// Ansible is what the file says, if it is Ansible's.
	Ansible *ansible.Output
	// Problem says why there is nothing to show, and Gone that the store has the
	// file no longer.
	Problem string
	Gone    bool
}

var imageTypes = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
}

// ImageType is the media type of a file that a browser may show in place: an
// image of a kind that can't hold a script. It is empty for any other.
func ImageType(p string) string { return imageTypes[strings.ToLower(path.Ext(p))] }

// PreviewOf is how an artifact is shown.
func PreviewOf(a vitrine.Artifact) PreviewKind {
	if a.Sealed {
		return NoPreview
	}
	mediaType, _, _ := strings.Cut(strings.ToLower(a.MediaType), ";")
	name := strings.ToLower(path.Base(a.Path))
	switch {
	case ImageType(name) != "":
		return ImagePreview
	case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, ".json.gz"):
		return AnsiblePreview
	case mediaType == "text/html":
		return FramePreview
	case strings.HasPrefix(mediaType, "text/"), mediaType == "application/json", mediaType == "application/yaml":
		return TextPreview
	}
	return NoPreview
}

// Previewed are the artifacts that the build's page shows, in the order of the
// record: those to read for its Previews. There are none when they have expired.
func Previewed(b vitrine.Build) []vitrine.Artifact {
	if !b.Expired.IsZero() {
		return nil
	}
	room := map[PreviewKind]int{ImagePreview: maxImages, TextPreview: maxTexts, FramePreview: maxFrames, AnsiblePreview: maxReports}
	var list []vitrine.Artifact
	for _, first := range []bool{true, false} { // what is surely Ansible's before other JSON
		for _, a := range b.Artifacts {
			kind := PreviewOf(a)
			if kind == NoPreview || room[kind] == 0 || first != strings.HasPrefix(path.Base(a.Path), "job-output.json") {
				continue
			}
			if kind == ImagePreview && a.Size > maxThumbnail || kind == FramePreview && a.Size > MaxFrame {
				continue
			}
			room[kind]--
			list = append(list, a)
		}
	}
	return list
}

// Images are the public images of a build that a gallery shows.
func Images(b vitrine.Build) []vitrine.Artifact {
	var list []vitrine.Artifact
	if b.Expired.IsZero() {
		for _, a := range b.Artifacts {
			if PreviewOf(a) == ImagePreview {
				list = append(list, a)
			}
		}
	}
	return list
}

// fileID is the place of a file's preview on its build's page.
func fileID(p string) string { return "file-" + p }

// A shownFile is a file with its preview.
type shownFile struct {
	vitrine.Artifact
	Preview
	ID    string // of its place on the page
	URL   string // of the file
	Frame string // address of the frame, for HTML
	Large string // its large view in the gallery, of an image
	Lines []string
}

// Base is the last part of the file's path, as a page shows it.
func (f shownFile) Base() string { return cut(path.Base(f.Artifact.Path)) }

// Extent says how much of a text there is to be seen, if it is not all.
func (f shownFile) Extent() string {
	switch {
	case !f.More:
		return ""
	case f.Artifact.Lines > int64(len(f.Lines)):
		return fmt.Sprintf("The first %s of %s lines", count(len(f.Lines)), count(f.Artifact.Lines))
	}
	return fmt.Sprintf("The first %s; the file has %s", plural(len(f.Lines), "line", "lines"), size(f.PlainSize))
}

// shownFiles are the files that a page shows, by kind.
type shownFiles struct {
	Thumbs, Texts, Frames []shownFile
	Reports               []report
	large                 map[string]string // where the gallery shows an image, by path
	gone                  map[string]bool
}

// large is where the gallery shows each of the images of a build, by path.
func (d document) large(b vitrine.Build) map[string]string {
	m := make(map[string]string)
	for i, a := range Images(b) {
		if i < MaxGallery {
			m[a.Path] = LargePath(d.Tenant, b.UUID, i+1)
		}
	}
	return m
}

// Shown joins the artifacts that are previewed with what was found of them.
func (d document) Shown(p BuildPage) shownFiles {
	var all shownFiles
	room := maxShownText
	all.large = d.large(p.Build)
	all.gone = make(map[string]bool)
	for _, a := range Previewed(p.Build) {
		f := shownFile{Artifact: a, ID: fileID(a.Path), URL: ArtifactPath(d.Tenant, p.Build.UUID, a.Path)}
		if i := slices.IndexFunc(p.Previews, func(v Preview) bool { return v.Path == a.Path }); i >= 0 {
			f.Preview = p.Previews[i]
		}
		all.gone[a.Path] = f.Gone
		switch PreviewOf(a) {
		case ImagePreview:
			f.Large = all.large[a.Path]
			all.Thumbs = append(all.Thumbs, f)
		case FramePreview:
			f.Frame = PreviewPath(d.Tenant, p.Build.UUID, a.Path)
			all.Frames = append(all.Frames, f)
		default:
			if f.Ansible != nil {
				all.Reports = append(all.Reports, reportOf(f))
				continue
			}
			var more bool
			f.Lines, more = plainLines(f.Text, &room)
			if f.More = f.More || more; f.More || f.Lines != nil || f.Problem != "" {
				all.Texts = append(all.Texts, f)
			}
		}
	}
	return all
}

// places are where the files are shown, on the page or in the gallery, by path.
func (s shownFiles) places() map[string]string {
	m := make(map[string]string)
	maps.Copy(m, s.large)
	for _, f := range slices.Concat(s.Texts, s.Frames) {
		m[f.Artifact.Path] = "#" + f.ID
	}
	for _, r := range s.Reports {
		m[r.Artifact.Path] = "#" + r.ID
	}
	return m
}

// plainLines are the first lines of a text that a terminal was meant for, as
// plain characters: no escape sequences, no controls, nothing that turns the
// direction of what follows. It takes what it keeps from room; more says that
// it left something out.
func plainLines(s string, room *int) (lines []string, more bool) {
	if len(s) > 4*maxShownText { // more than can be shown, whatever is taken out
		s, more = s[:4*maxShownText], true
	}
	s = strings.TrimRight(plain(s), "\n")
	if s == "" {
		return nil, more
	}
	for line := range strings.SplitSeq(s, "\n") {
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:] // as a terminal ends up showing a progress bar
		}
		if len(lines) == maxLines || *room < len(line) {
			return lines, true
		}
		if utf8.RuneCountInString(line) > maxLine {
			line, more = string([]rune(line)[:maxLine])+"…", true
		}
		*room -= len(line) + 1
		lines = append(lines, line)
	}
	return lines, more
}

// plain takes escape sequences and control characters, but for line ends and
// tabs, out of a text.
func plain(s string) string {
	var b []byte
	for len(s) > 0 {
		if n := escapeLen(s); n > 0 {
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		s = s[n:]
		switch {
		case r == '\n':
			b = append(bytes.TrimRight(b, "\r"), '\n') // \r\n is one line end, whatever stood between
		case r == '\t', r == '\r':
			b = append(b, byte(r))
		case unicode.Is(unicode.Cc, r):
		case unicode.Is(unicode.Bidi_Control, r):
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// escapeLen is the length of the escape sequence (ECMA-48) that s begins with,
// or zero.
func escapeLen(s string) int {
	var i int
	var kind byte
	switch {
	case len(s) > 1 && s[0] == 0x1b:
		kind, i = s[1], 2
	case len(s) > 1 && s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0: // C1, as UTF-8 has it
		kind, i = s[1]-0x40, 2
	case s[0] == 0x1b:
		return 1
	default:
		return 0
	}
	switch kind {
	case '[': // parameters, then one final byte
		for i < len(s) && s[i] >= 0x20 && s[i] < 0x40 {
			i++
		}
		if i < len(s) && s[i] >= 0x40 && s[i] < 0x7f {
			i++
		}
	case ']', 'P', 'X', '^', '_': // a string, to its end or that of the line
		for ; i < len(s) && s[i] != '\n'; i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if strings.HasPrefix(s[i:], "\x1b\\") || strings.HasPrefix(s[i:], "\u009c") {
				return i + 2
			}
		}
	default:
		if kind < 0x20 || kind > 0x7e {
			return 1
		}
		for kind >= 0x20 && kind < 0x30 && i < len(s) { // intermediates, such as ESC ( B
			kind = s[i]
			i++
		}
	}
	return i
}
