package web

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"vitrine"
)

// An outcome is a build's result as people see it: a shape and colour (Kind)
// and a word.
type outcome struct {
	Kind string // ok, bad, run, lost or none; names a mark in layout.html and a class in style.css
	Word string
}

var outcomes = map[vitrine.Result]outcome{
	vitrine.Success:    {"ok", "Succeeded"},
	vitrine.Failure:    {"bad", "Failed"},
	vitrine.TimedOut:   {"bad", "Timed out"},
	"POST_FAILURE":     {"bad", "Failed at the end"},
	"ERROR":            {"bad", "Error"},
	"EXCEPTION":        {"bad", "Exception"},
	"CONFIG_ERROR":     {"bad", "Configuration error"},
	"DISK_FULL":        {"bad", "Disk full"},
	"MERGE_CONFLICT":   {"bad", "Merge conflict"},
	"MERGE_FAILURE":    {"bad", "Merge failed"},
	"MERGER_FAILURE":   {"bad", "Merger failed"},
	"NODE_FAILURE":     {"bad", "No node"},
	"NO_HANDLE":        {"bad", "No handler"},
	"RETRY_LIMIT":      {"bad", "Out of retries"},
	"UNREACHABLE":      {"bad", "Unreachable"},
	vitrine.LostResult: {"lost", "Lost"},
	vitrine.Aborted:    {"lost", "Aborted"},
	"RETRY":            {"lost", "Interrupted, retried"},
	"SKIPPED":          {"none", "Skipped"},
	"CANCELED":         {"none", "Cancelled"},
	"DEQUEUED":         {"none", "Taken off the queue"},
}

func outcomeOf(b vitrine.Build) outcome {
	switch {
	case b.State == vitrine.Running:
		return outcome{"run", "Running"}
	case b.State == vitrine.Lost:
		return outcome{"lost", "Lost"}
	case b.State == vitrine.Interrupted:
		return outcome{"lost", "Interrupted"}
	}
	if o, ok := outcomes[b.Result]; ok {
		return o
	}
	return outcome{"none", string(b.Result)}
}

// headline is the first line of a build's page, as a sentence without its stop.
func headline(b vitrine.Build, now time.Time) string {
	o, took := outcomeOf(b), b.Duration()
	switch {
	case o.Kind == "run":
		return "Running for " + duration(now.Sub(b.StartTime))
	case b.State == vitrine.Lost:
		return "Lost: no word came from the runner"
	case b.State == vitrine.Interrupted:
		return "Interrupted: the runner went away"
	case o.Kind == "none":
		return o.Word
	case o.Kind == "ok":
		return o.Word + " in " + duration(took)
	}
	return o.Word + " after " + duration(took)
}

// verb opens the sentence about what a build ran for: what its pipeline is for,
// in the tense of its state.
func verb(b vitrine.Build) string {
	deploys := strings.Contains(b.Pipeline, "deploy")
	tests := strings.Contains(b.Pipeline, "check") || strings.Contains(b.Pipeline, "gate")
	switch kind := outcomeOf(b).Kind; {
	case deploys && kind == "ok":
		return "Deployed"
	case deploys && kind == "run":
		return "Deploying"
	case deploys && kind == "lost":
		return "Was deploying"
	case deploys && kind == "bad":
		return "Tried to deploy"
	case tests && (kind == "ok" || kind == "bad"):
		return "Tested"
	case tests && kind == "run":
		return "Testing"
	}
	return "For"
}

// duration is said in the same words by page.js.
func duration(d time.Duration) string { return vitrine.DurationText(d) }

// ago is how long before now t was. page.js says it in the same words.
func ago(now, t time.Time) string {
	switch s := int64(now.Sub(t) / time.Second); {
	case s < 60:
		return "just now"
	case s < 3600:
		return fmt.Sprintf("%d min ago", s/60)
	case s < 24*3600:
		return fmt.Sprintf("%d h ago", s/3600)
	case s < 48*3600:
		return "yesterday"
	case s < 30*24*3600:
		return fmt.Sprintf("%d days ago", s/(24*3600))
	}
	return day(t)
}

func day(t time.Time) string    { return t.UTC().Format("2 Jan 2006") }
func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

// size is a number of bytes as "612 B", "48 KB" or "1.9 MB" (thousands).
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 5 {
		f, unit = f/1000, unit+1
	}
	digits := 0
	if f < 9.95 && unit > 1 {
		digits = 1
	}
	return strconv.FormatFloat(f, 'f', digits, 64) + " " + []string{"B", "KB", "MB", "GB", "TB", "PB"}[unit]
}

// count is n with its thousands apart: 894,201.
func count[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural is n with the word that fits it.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// The length, in characters, up to which a name is shown whole, and what is
// kept of a longer one at its start and end.
const maxShown, keptStart, keptEnd = 64, 40, 20

// short is as much of a build's id as a command needs: BUILD may be the start of one.
func short(uuid string) string { return uuid[:min(len(uuid), 12)] }

// hidden are the characters that turn the writing direction, replaced: with them
// one name could look like another.
var hidden = strings.NewReplacer(hiddenPairs()...)

func hiddenPairs() (pairs []string) {
	for _, r := range "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" {
		pairs = append(pairs, string(r), "\ufffd")
	}
	return pairs
}

// shown is s without what would change how it reads.
func shown(s string) string { return hidden.Replace(s) }

// cut is s as it is shown, or its start and end if it is too long for a row.
func cut(s string) string {
	s = shown(s)
	r := []rune(s)
	if len(r) <= maxShown {
		return s
	}
	return string(r[:keptStart]) + "…" + string(r[len(r)-keptEnd:])
}

// whole is s if [cut] shortens it, for a title, and empty if not.
func whole(s string) string {
	if s = shown(s); cut(s) == s {
		return ""
	}
	return s
}

// long is s if a column may be too narrow for it, for a title, and empty if not.
func long(s string) string {
	if utf8.RuneCountInString(s) <= 12 {
		return ""
	}
	return shown(s)
}

// fingerprint is the start and end of a key's fingerprint, for small print.
func fingerprint(s string) string {
	if r := []rune(s); len(r) > 24 {
		return string(r[:12]) + "…" + string(r[len(r)-5:])
	}
	return s
}

// isolate keeps a name's writing direction from leaking into the words after
// it, where there is no bdi element: in titles and labels.
func isolate(s string) string { return "\u2068" + s + "\u2069" }

// A commandWord is a piece of a command: an option with its dashes, which a narrow
// screen must not break within, or what is between two.
type commandWord struct {
	Text   string
	Option bool
}

var optionWord = regexp.MustCompile(`(?:^|\s)(--?[a-z][a-z0-9-]{0,30})`)

func commandWords(s string) (words []commandWord) {
	at := 0
	for _, m := range optionWord.FindAllStringSubmatchIndex(s, -1) {
		if m[2] > at {
			words = append(words, commandWord{s[at:m[2]], false})
		}
		words = append(words, commandWord{s[m[2]:m[3]], true})
		at = m[3]
	}
	if at < len(s) {
		words = append(words, commandWord{s[at:], false})
	}
	return words
}
