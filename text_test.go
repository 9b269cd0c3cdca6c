package vitrine

import "testing"

// What is read by lines, and what of it may be a log.
func TestTexts(t *testing.T) {
	summary := Artifact{Path: "vitrine-summary.json.zst.age", Sealed: true, MediaType: "application/json", Metadata: map[string]string{"type": SummaryType}}
	for _, test := range []struct {
		a         Artifact
		text, log bool
	}{
		{Artifact{Path: "a.log", MediaType: "text/plain"}, true, true},
		{Artifact{Path: "a.html", MediaType: "text/html"}, true, false},
		{Artifact{Path: "a.json", MediaType: "application/json"}, true, false},
		{Artifact{Path: "a.svg", MediaType: "image/svg+xml"}, true, false},
		{Artifact{Path: "a.png", MediaType: "image/png"}, false, false},
		{Artifact{Path: "hidden/1a.zst.age", Sealed: true, MediaType: "application/octet-stream"}, true, true},
		{Artifact{Path: "hidden/1a.age", Sealed: true, MediaType: "application/octet-stream"}, false, false},
		{summary, false, false},
	} {
		if test.a.IsText() != test.text || test.a.IsLog() != test.log {
			t.Errorf("%s of type %s: text %v, log %v", test.a.Path, test.a.MediaType, test.a.IsText(), test.a.IsLog())
		}
	}
}
