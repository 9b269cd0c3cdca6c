package vitrine

import "strings"

// IsText reports whether what has a media type is read by lines.
func IsText(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/xml", "image/svg+xml":
		return true
	}
	return strings.HasPrefix(mediaType, "text/")
}

// IsLog reports whether what has a media type may be a log. Of other texts it says
// what else they are.
func IsLog(mediaType string) bool { return mediaType == "text/plain" }

// IsText reports whether the artifact is read by lines. Of one whose name is hidden
// the record does not say, but what is no text seldom compresses. The summary is none.
func (a Artifact) IsText() bool { return a.is(IsText) }

// IsLog reports whether the artifact may be a log, as far as its record tells.
func (a Artifact) IsLog() bool { return a.is(IsLog) }

func (a Artifact) is(kind func(mediaType string) bool) bool {
	if a.IsSummary() {
		return false
	}
	if strings.HasPrefix(a.Path, HiddenPrefix) {
		return strings.HasSuffix(a.Path, SealedSuffix)
	}
	return kind(a.MediaType)
}
