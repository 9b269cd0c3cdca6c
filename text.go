package vitrine

import (
	"fmt"
	"strings"
	"time"
)

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

// DurationText is d as pages show it: "48 s", "3 min 22 s", "1 h 04 min", "2 d 3 h" or
// "1 d".
func DurationText(d time.Duration) string {
	s := int64(max(d, 0).Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
	}
	if s/3600%24 == 0 {
		return fmt.Sprintf("%d d", s/(24*3600))
	}
	return fmt.Sprintf("%d d %d h", s/(24*3600), s/3600%24)
}
