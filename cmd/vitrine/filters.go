package main

import (
	"context"
	"errors"
	"iter"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
)

// listFilters are the flags of builds that may be repeated, and the API's names
// for them.
var listFilters = []struct{ flag, param, help string }{
	{"service", "service", "only of this `service`"},
	{"job", "job_name", "only of this `job`"},
	{"project", "project", "only of this `project`"},
	{"branch", "branch", "only of this `branch`"},
	{"pipeline", "pipeline", "only of this `pipeline`"},
	{"change", "change", "only of this `change`"},
	{"patchset", "patchset", "only of this `patchset` of a change"},
	{"ref", "ref", "only of this `ref`"},
	{"newrev", "newrev", "only of this `commit`"},
	{"result", "result", "only with this `result`, such as FAILURE, RUNNING or LOST"},
	{"nodeset", "nodeset", "only on this `nodeset`"},
	{"uuid", "uuid", "only builds whose `uuid` is this, or begins with it if a * follows"},
	{"buildset", "buildset", "only of this `buildset`"},
}

// listFlags are those that are told by yes or no.
var listFlags = []struct{ flag, help string }{
	{"voting", "only builds that vote; with =false, only others"},
	{"held", "only builds whose nodes are held"},
	{"final", "only the last attempt of each; with =false, only those that were tried again"},
}

// filterFlags gives a command the filters of a history's builds.
func filterFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	for _, l := range listFilters {
		f.StringArray(l.flag, nil, l.help)
	}
	for _, l := range listFlags {
		f.Bool(l.flag, false, l.help)
	}
	f.String("text", "", "only with this `text` in the job's or the project's name")
	f.String("since", "", "only builds that began at this `time` or later: 2026-11-22, 2026-11-22T08:00:00Z, or an age as 12h or 30d")
	f.String("until", "", "only builds that began at this `time` or earlier")
}

// filtered reports whether one of the filters is given.
func filtered(cmd *cobra.Command) bool {
	for _, l := range listFilters {
		if cmd.Flags().Changed(l.flag) {
			return true
		}
	}
	for _, l := range listFlags {
		if cmd.Flags().Changed(l.flag) {
			return true
		}
	}
	return cmd.Flags().Changed("text") || cmd.Flags().Changed("since") || cmd.Flags().Changed("until")
}

// A selection is the builds that the filters leave.
type selection struct {
	query        url.Values
	since, until time.Time // zero: not bounded
	most         int       // 0: all
}

// chosenBuilds makes of the filters the selection of the newest builds, of most of
// them, or of all if that is 0.
func chosenBuilds(cmd *cobra.Command, most int) (selection, error) {
	s := selection{query: make(url.Values), most: most}
	for _, l := range listFilters {
		s.query[l.param], _ = cmd.Flags().GetStringArray(l.flag)
	}
	for _, l := range listFlags {
		if v, _ := cmd.Flags().GetBool(l.flag); v {
			s.query.Set(l.flag, "1")
		} else if cmd.Flags().Changed(l.flag) {
			s.query.Set(l.flag, "0")
		}
	}
	if text, _ := cmd.Flags().GetString("text"); text != "" {
		s.query.Set("text", text)
	}
	s.query.Set("limit", "500")
	if most > 0 {
		s.query.Set("limit", strconv.Itoa(min(most, 500)))
	}
	var err error
	now := time.Now()
	since, _ := cmd.Flags().GetString("since")
	if s.since, _, err = parseWhen(since, now); err != nil {
		return s, usagef("--since %v", err)
	}
	until, _ := cmd.Flags().GetString("until")
	if _, s.until, err = parseWhen(until, now); err != nil {
		return s, usagef("--until %v", err)
	}
	// The server filters by days, and what is beside them is left out by list.
	if !s.since.IsZero() {
		s.query.Set("from", s.since.UTC().Format(time.DateOnly))
	}
	if !s.until.IsZero() {
		s.query.Set("to", s.until.UTC().Format(time.DateOnly))
	}
	return s, nil
}

// list asks for the builds, newest first. It ends with the first error.
func (s selection) list(ctx context.Context, c *client.Client) iter.Seq2[vitrine.Build, error] {
	return func(yield func(vitrine.Build, error) bool) {
		n := 0
		for b, err := range c.AllBuilds(ctx, s.query) {
			if err == nil && (b.StartTime.Before(s.since) || !s.until.IsZero() && b.StartTime.After(s.until)) {
				continue
			}
			if n++; !yield(b, err) || n == s.most {
				return
			}
		}
	}
}

// parseWhen parses a time as people say it: a day in UTC, of which first and last
// are the beginning and the end; a time, which is both; or how long ago it was.
func parseWhen(text string, now time.Time) (first, last time.Time, err error) {
	if text == "" {
		return first, last, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, day.Add(24*time.Hour - time.Second), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, at, nil
	}
	units := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	unit := units[text[len(text)-1]]
	if n, err := strconv.ParseUint(text[:len(text)-1], 10, 16); err == nil && unit > 0 && n <= uint64(math.MaxInt64/unit) {
		at := now.Add(-time.Duration(n) * unit)
		return at, at, nil
	}
	return first, last, errors.New(strconv.Quote(text) + ": want a day as 2026-11-22, a time as 2026-11-22T08:00:00Z, or an age as 90m, 12h, 30d or 4w")
}
