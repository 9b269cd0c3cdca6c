// Package zuul holds the words of Zuul's API: what a build, a buildset and a ref
// look like there, and a client that reads another CI's history by it.
//
// It must never trust what it reads: sizes and counts are bounded, and whoever
// uses a text has to check it. It knows nothing of this program's own history.
package zuul

import "encoding/json"

// A Build is one build as Zuul's API has it. A pointer that is nil is null.
type Build struct {
	ID            int64      `json:"_id"`
	UUID          string     `json:"uuid"`
	JobName       string     `json:"job_name"`
	Result        *string    `json:"result"` // nil: it runs
	Held          bool       `json:"held"`
	StartTime     *Time      `json:"start_time"`
	EndTime       *Time      `json:"end_time"`
	Duration      *float64   `json:"duration"` // seconds
	Voting        bool       `json:"voting"`
	LogURL        *string    `json:"log_url"`
	Nodeset       *string    `json:"nodeset"`
	ErrorDetail   *string    `json:"error_detail"`
	Final         bool       `json:"final"`
	Artifacts     []Artifact `json:"artifacts"`
	Provides      []Provides `json:"provides"`
	Ref           Ref        `json:"ref"`
	*BuildContext            // nil within a buildset
}

// A BuildContext is what a build has only at the top level of an answer.
type BuildContext struct {
	Pipeline       string      `json:"pipeline"`
	EventID        *string     `json:"event_id"`
	EventTimestamp *Time       `json:"event_timestamp"`
	Buildset       BuildsetRef `json:"buildset"`
}

// A BuildsetRef is the buildset of a build.
type BuildsetRef struct {
	UUID string `json:"uuid"`
	Refs []Ref  `json:"refs,omitempty"` // of a single build; a list has none
}

// An Artifact is a link that a build returned.
type Artifact struct {
	Name     string          `json:"name"`
	URL      string          `json:"url"`
	Metadata json.RawMessage `json:"metadata,omitempty"` // an object
}

// Provides is something that a build provides to others.
type Provides struct {
	Name string `json:"name"`
}

// A Ref is the piece of source that a build was run for.
type Ref struct {
	Project  string  `json:"project"`
	Branch   *string `json:"branch"`
	Change   *int64  `json:"change"`
	Patchset *string `json:"patchset"`
	Ref      string  `json:"ref"`
	OldRev   *string `json:"oldrev"`
	NewRev   *string `json:"newrev"`
	RefURL   *string `json:"ref_url"`
}

// A Buildset is the builds of one event.
type Buildset struct {
	ID                  int64   `json:"_id"`
	UUID                string  `json:"uuid"`
	Result              *string `json:"result"`
	Message             *string `json:"message"`
	Pipeline            string  `json:"pipeline"`
	EventID             *string `json:"event_id"`
	EventTimestamp      *Time   `json:"event_timestamp"`
	FirstBuildStartTime *Time   `json:"first_build_start_time"`
	LastBuildEndTime    *Time   `json:"last_build_end_time"`
	Refs                []Ref   `json:"refs"`
	Builds              []Build `json:"builds,omitempty"` // of a single buildset
}
