package web

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"unicode"

	"vitrine"
)

// A Badge says in a small picture, for a page elsewhere, how a build ended.
type Badge struct {
	Label string         // what it is about; shown cut
	Build *vitrine.Build // that ended; nil: there is none yet
}

// badgeColours are what the words of outcomes stand on, in white. They are those
// of the light style sheet: a badge does not know what page it is on.
var badgeColours = map[string]string{
	"label": "#3a4341", "ok": "#28793b", "bad": "#c7362f", "lost": "#945800", "none": "#5c6663",
}

// badgeMarks are the shapes of layout.html, so that an outcome is told by more
// than its colour.
var badgeMarks = map[string]string{
	"ok":   `<circle cx="6" cy="6" r="5.5"/>`,
	"bad":  `<rect x="1" y="1" width="10" height="10" rx="1.5"/>`,
	"lost": `<path d="M6 0l6 6-6 6-6-6z"/>`,
	"none": `<rect x="1" y="5" width="10" height="2.5" rx="1"/>`,
}

// MaxLabel bounds the label of a badge, in characters.
const MaxLabel = 40

// SVG draws the badge. It loads nothing and needs no style.
func (b Badge) SVG() []byte {
	label := []rune(b.Label)
	if len(label) > MaxLabel {
		label = append(append(label[:MaxLabel-16:MaxLabel-16], '…'), label[len(label)-15:]...)
	}
	o, sentence := outcome{"none", "No builds"}, "No builds"
	if b.Build != nil {
		o = outcomeOf(*b.Build)
		sentence = headline(*b.Build, b.Build.EndTime)
	}
	if badgeMarks[o.Kind] == "" {
		o.Kind = "none"
	}
	left, right := textWidth(string(label)), textWidth(o.Word)
	wide, split := left+right+38, left+12
	var w bytes.Buffer
	fmt.Fprintf(&w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="20" viewBox="0 0 %d 20" role="img">`, wide, wide)
	fmt.Fprintf(&w, `<title>%s</title>`, xmlText(isolateForeign(b.Label)+": "+sentence))
	fmt.Fprintf(&w, `<rect width="%d" height="20" rx="3" fill="%s"/>`, wide, badgeColours["label"])
	fmt.Fprintf(&w, `<path d="M%d 0h%da3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-%dz" fill="%s"/>`, split, right+23, right+23, badgeColours[o.Kind])
	fmt.Fprint(&w, `<g fill="#fff" font-family="system-ui,sans-serif" font-size="11">`)
	fmt.Fprintf(&w, `<text x="6" y="14" textLength="%d" lengthAdjust="spacingAndGlyphs">%s</text>`, left, xmlText(string(label)))
	fmt.Fprintf(&w, `<g transform="translate(%d 6) scale(.68)">%s</g>`, split+6, badgeMarks[o.Kind])
	fmt.Fprintf(&w, `<text x="%d" y="14" textLength="%d" lengthAdjust="spacingAndGlyphs">%s</text></g></svg>`, split+19, right, xmlText(o.Word))
	w.WriteByte('\n')
	return w.Bytes()
}

// textWidth is about how wide a text of 11 px is, in px. The text is fitted into
// it, whatever the font of the reader.
func textWidth(s string) int {
	width := 0.0
	for _, c := range s {
		switch {
		case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
		case c > 0x1100: // may be as wide as it is high
			width += 11
		case c == 'm' || c == 'w' || c == 'M' || c == 'W' || c == '@' || c == '%':
			width += 9.5
		case bytes.ContainsRune([]byte("fijlrtI.,:;|!'()[] -"), c):
			width += 3.8
		case unicode.IsUpper(c):
			width += 7.4
		default:
			width += 6.2
		}
	}
	return max(int(width+.5), 1)
}

func xmlText(s string) string {
	var w bytes.Buffer
	xml.EscapeText(&w, []byte(s)) // into memory: does not fail
	return w.String()
}
