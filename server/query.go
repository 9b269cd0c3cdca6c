package server

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

// parseQuery reads the filters and the cursor of a list of builds from an
// address. Names are Zuul's where Zuul has one. Unknown ones are ignored, as
// any link may carry some.
func parseQuery(v url.Values) (index.Query, error) {
	q := index.Query{
		Service: filled(v["service"]), Job: filled(v["job_name"]), Project: filled(v["project"]), Branch: filled(v["branch"]),
		Pipeline: filled(v["pipeline"]), Change: filled(v["change"]), Result: filled(v["result"]), UUID: filled(v["uuid"]),
		Buildset: filled(v["buildset"]), Before: v.Get(web.ParamBefore), After: v.Get(web.ParamAfter),
	}
	for _, r := range q.Result {
		if word := vitrine.Result(r); !word.Known() && r != "RUNNING" {
			return q, refuse(http.StatusBadRequest, "result %q: want RUNNING or one of %v", r, vitrine.Results)
		}
	}
	var err error
	if q.Since, err = parseDay("from", v.Get("from")); err != nil {
		return q, err
	}
	if q.Until, err = parseDay("to", v.Get("to")); err != nil {
		return q, err
	}
	if !q.Until.IsZero() {
		q.Until = q.Until.AddDate(0, 0, 1) // the day itself counts
	}
	if s := v.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 || q.Limit > 1000 {
			return q, refuse(http.StatusBadRequest, "limit %q: want a number from 1 to 1000", s)
		}
	}
	return q, nil
}

// parseFilter is parseQuery for what is not a page of a list: without a cursor
// and a limit.
func parseFilter(v url.Values) (index.Query, error) {
	return parseQuery(filterOf(v))
}

// filled drops the empty values that a form sends for untouched fields.
func filled(values []string) []string {
	var out []string
	for _, v := range values {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

func parseDay(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		return t, refuse(http.StatusBadRequest, "%s %q: want a day such as 2026-11-22", name, s)
	}
	return t, nil
}
