package web

import (
	"encoding/xml"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"vitrine"
)

// A picture is what tests look for in a badge.
type picture struct {
	XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
	Width   int      `xml:"width,attr"`
	Height  int      `xml:"height,attr"`
	Title   string   `xml:"title"`
	Rect    struct {
		Fill string `xml:"fill,attr"`
	} `xml:"rect"`
	Path struct {
		Fill string `xml:"fill,attr"`
	} `xml:"path"`
	Texts []struct {
		X      int    `xml:"x,attr"`
		Length int    `xml:"textLength,attr"`
		Text   string `xml:",chardata"`
	} `xml:"g>text"`
	Mark struct {
		Shape string `xml:",innerxml"`
	} `xml:"g>g"`
}

func draw(t *testing.T, b Badge) picture {
	t.Helper()
	var p picture
	body := b.SVG()
	if err := xml.Unmarshal(body, &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if len(p.Texts) != 2 || p.Height != 20 || p.Texts[0].Length < 1 || p.Texts[0].X+p.Texts[0].Length > p.Texts[1].X ||
		p.Texts[1].X+p.Texts[1].Length > p.Width || p.Width > 620 {
		t.Errorf("%+v: its texts do not lie beside each other, within it", p)
	}
	return p
}

func TestBadge(t *testing.T) {
	shapes, words := make(map[string]bool), 0
	for _, r := range vitrine.Results {
		b := testBuild(1, r, time.Hour, time.Minute)
		p := draw(t, Badge{"deploy", &b})
		if p.Texts[0].Text != "deploy" || p.Texts[1].Text != outcomes[r].Word || !strings.HasPrefix(p.Title, "deploy: "+outcomes[r].Word) {
			t.Errorf("%s: %+v", r, p)
		}
		shapes[p.Mark.Shape+p.Path.Fill] = true
		words++
	}
	if len(shapes) != 4 || words < 20 {
		t.Errorf("%d shapes and colours of %d results, want one for each kind of outcome", len(shapes), words)
	}
	if p := draw(t, Badge{"deploy", nil}); p.Texts[1].Text != "No builds" || p.Title != "deploy: No builds" {
		t.Errorf("%+v", p)
	}
	long := strings.Repeat("W", 255)
	if p := draw(t, Badge{long, nil}); p.Texts[0].Text != strings.Repeat("W", 24)+"…"+strings.Repeat("W", 15) || p.Title != long+": No builds" {
		t.Errorf("%+v", p)
	}
}

// White words can be read on every colour of a badge (WCAG 2.2, 1.4.3).
func TestBadgeContrast(t *testing.T) {
	for kind, colour := range badgeColours {
		n, err := strconv.ParseUint(colour[1:], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		light := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			c := float64(n>>(16-8*i)&255) / 255
			if c <= 0.04045 {
				light += weight * c / 12.92
			} else {
				light += weight * math.Pow((c+0.055)/1.055, 2.4)
			}
		}
		if contrast := 1.05 / (light + 0.05); contrast < 4.5 {
			t.Errorf("%s: contrast %.2f, want 4.5", kind, contrast)
		}
	}
}

// Whatever a job is called, its badge is a picture and nothing else.
func FuzzBadge(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, label string) {
		for dec := xml.NewDecoder(strings.NewReader(string(Badge{Label: label}.SVG()))); ; {
			token, err := dec.Token()
			if token == nil {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if e, ok := token.(xml.StartElement); ok && !strings.Contains(" svg title rect path g text ", " "+e.Name.Local+" ") {
				t.Errorf("element %s", e.Name.Local)
			}
		}
		draw(t, Badge{Label: label})
	})
}
