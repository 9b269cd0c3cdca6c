package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"vitrine"
	"vitrine/zuul"
)

// A passedOver says why a build of another CI can't be in a history.
type passedOver string

func (p passedOver) Error() string { return string(p) }

const (
	notBuild    passedOver = "not a build that this program understands"
	badUUID     passedOver = "its uuid is not 32 hex digits"
	noJob       passedOver = "it has no job"
	notEnded    passedOver = "it has not ended"
	noTime      passedOver = "it has no time"
	tooEarly    passedOver = "it began before 2020, which no record can say"
	beforeSince passedOver = "it began before --since"
	tooLate     passedOver = "its times lie ahead"
	tooLarge    passedOver = "its record is too large"
)

// firstStart is the earliest that a record can have.
var firstStart = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// A translation makes records of what another CI tells. All of that may be
// anything: what a record can't hold is cut, replaced or left out.
type translation struct {
	tenant, source string
	service        func(job string) string // empty: none has it
	now            time.Time
}

// A translated build is a record, and what was lost on the way.
type translated struct {
	record *vitrine.Record
	text   []byte
	result string // one that has no word here, else empty
	links  int    // that were left out
}

// record translates one build; a passedOver error says why it can't be.
func (t *translation) record(b *zuul.Build) (translated, error) {
	uuid, ok := plainUUID(b.UUID)
	if !ok {
		return translated{}, badUUID
	}
	job := oneLine(b.JobName, vitrine.MaxString)
	if job == "" {
		return translated{}, noJob
	}
	if b.Result == nil || *b.Result == "" {
		return translated{}, notEnded
	}
	r := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: t.tenant, Service: t.service(job), UUID: uuid, JobName: job,
		Result: vitrine.Result(*b.Result), Voting: b.Voting, ErrorDetail: optional(b.ErrorDetail, vitrine.MaxText),
		Nodeset: optional(b.Nodeset, vitrine.MaxString), Buildset: uuid, // of a build without one: its own
		Ref: vitrine.Ref{
			Project: oneLine(b.Ref.Project, vitrine.MaxString), Branch: optional(b.Ref.Branch, vitrine.MaxString),
			Patchset: optional(b.Ref.Patchset, vitrine.MaxString), Ref: oneLine(b.Ref.Ref, vitrine.MaxString),
			OldRev: optional(b.Ref.OldRev, vitrine.MaxString), NewRev: optional(b.Ref.NewRev, vitrine.MaxString),
			RefURL: link(b.Ref.RefURL),
		},
		Imported: &vitrine.Imported{Source: t.source, LogURL: link(b.LogURL), Held: b.Held, Final: b.Final},
	}
	if b.Ref.Change != nil && *b.Ref.Change > 0 {
		r.Ref.Change = *b.Ref.Change
	}
	var event *zuul.Time
	if c := b.BuildContext; c != nil {
		r.Pipeline, r.EventID, event = oneLine(c.Pipeline, vitrine.MaxString), optional(c.EventID, vitrine.MaxString), c.EventTimestamp
		if set, ok := plainUUID(c.Buildset.UUID); ok {
			r.Buildset = set
		}
	}
	out := translated{record: r}
	if !r.Result.Known() {
		out.result = oneLine(*b.Result, 40)
		r.Result = "ERROR"
		r.ErrorDetail = oneLine(strings.TrimSpace("result "+out.result+": "+r.ErrorDetail), vitrine.MaxText)
	}
	if err := t.times(r, b.StartTime, b.EndTime, event); err != nil {
		return translated{}, err
	}
	if u := r.Imported.LogURL; u != "" && !strings.ContainsAny(u, "?#") && !strings.HasSuffix(u, "/") && len(u) < vitrine.MaxText {
		r.Imported.LogURL += "/" // it is a folder's
	}
	for _, a := range b.Artifacts {
		l := vitrine.Link{Name: oneLine(a.Name, vitrine.MaxString), URL: a.URL, Metadata: metadata(a.Metadata)}
		if l.Name == "" {
			l.Name = "artifact"
		}
		if len(r.Imported.Links) == vitrine.MaxLinks || link(&a.URL) == "" {
			out.links++
			continue
		}
		r.Imported.Links = append(r.Imported.Links, l)
	}
	text, err := r.Marshal()
	if err == nil {
		// What is stored is read back some day: it must be the one form.
		_, err = vitrine.ParseRecord(text)
	}
	if err != nil {
		return translated{}, fmt.Errorf("%w: %w", tooLarge, err)
	}
	out.text = text
	return out, nil
}

// times sets when a build began and ended. One that was skipped never began: then
// the end counts, or the event.
func (t *translation) times(r *vitrine.Record, start, end, event *zuul.Time) error {
	if start == nil {
		start = end
	}
	if start == nil {
		start = event
	}
	if start == nil {
		return noTime
	}
	if end == nil || time.Time(*end).Before(time.Time(*start)) {
		end = start
	}
	r.StartTime, r.EndTime = time.Time(*start).UTC(), time.Time(*end).UTC()
	switch ahead := t.now.Add(24 * time.Hour); {
	case r.StartTime.Before(firstStart):
		return tooEarly
	case r.EndTime.After(ahead):
		return tooLate
	}
	return nil
}

// plainUUID is a uuid without dashes; ok is false if it is none.
func plainUUID(s string) (uuid string, ok bool) {
	if len(s) > 36 {
		return "", false
	}
	uuid = strings.ToLower(strings.ReplaceAll(s, "-", ""))
	return uuid, vitrine.ValidUUID(uuid)
}

// oneLine is s without control characters, cut to a number of bytes.
func oneLine(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
			return ' '
		}
		return c
	}, s)
	if s = strings.TrimSpace(s); len(s) <= limit {
		return s
	}
	const more = "…"
	end := limit - len(more)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}

func optional(s *string, limit int) string {
	if s == nil {
		return ""
	}
	return oneLine(*s, limit)
}

// link is an address that a page may link to, or nothing.
func link(s *string) string {
	if s == nil || !vitrine.ValidLink(*s) || vitrine.ValidText(*s, vitrine.MaxText) != nil {
		return ""
	}
	return *s
}

// metadata is the object that came with a link, as a record may have it, or nil.
func metadata(raw json.RawMessage) json.RawMessage {
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if len(raw) > 4*vitrine.MaxLinkMetadata || dec.Decode(&object) != nil || object == nil {
		return nil
	}
	clean, ok := cleaned(object, 1)
	if !ok {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(clean) != nil || b.Len() > vitrine.MaxLinkMetadata {
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}

// cleaned is a JSON value whose texts are lines; ok is false if it lies too deep.
func cleaned(v any, depth int) (_ any, ok bool) {
	switch v := v.(type) {
	case string:
		return oneLine(v, vitrine.MaxText), true
	case []any:
		for i := range v {
			if v[i], ok = cleaned(v[i], depth+1); !ok {
				return nil, false
			}
		}
		return v, depth <= vitrine.MaxLinkDepth
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if out[oneLine(name, vitrine.MaxString)], ok = cleaned(v[name], depth+1); !ok {
				return nil, false
			}
		}
		return out, depth <= vitrine.MaxLinkDepth
	}
	return v, true
}
