package zuul

import (
	"fmt"
	"time"
)

// timeLayout is how Zuul writes a time: UTC, without a zone.
const timeLayout = "2006-01-02T15:04:05"

// A Time is a time in UTC as Zuul writes it.
type Time time.Time

// MarshalJSON writes the time in whole seconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(`"` + timeLayout + `"`)), nil
}

// UnmarshalJSON reads a time; a fraction of a second is dropped.
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) < len(timeLayout)+2 || b[0] != '"' {
		return fmt.Errorf("%.40s is not a time such as %q", b, timeLayout)
	}
	parsed, err := time.Parse(timeLayout, string(b[1:1+len(timeLayout)]))
	if err != nil {
		return fmt.Errorf("%.40s is not a time such as %q", b, timeLayout)
	}
	*t = Time(parsed)
	return nil
}
