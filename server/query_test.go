package server

import (
	"errors"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"vitrine/server/index"
	"vitrine/web"
)

func TestParseQuery(t *testing.T) {
	yes, no := true, false
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	uuid := strings.Repeat("ab", 16)
	for address, want := range map[string]index.Query{
		"":                                {},
		"stranger=x&job_name=&result=":    {},
		"job_name=a&job_name=b*":          {Job: []string{"a", "b*"}},
		"job_name=not:a&job_name=not%3Aa": {Job: []string{"not:a"}},
		"service=s&project=p/q&branch=b&pipeline=l&nodeset=n&ref=refs/x&newrev=9b1f*&patchset=3": {Service: []string{"s"}, Project: []string{"p/q"},
			Branch: []string{"b"}, Pipeline: []string{"l"}, Nodeset: []string{"n"}, Ref: []string{"refs/x"}, NewRev: []string{"9b1f*"}, Patchset: []string{"3"}},
		"result=SUCCESS&result=not:SKIPPED&result=running": {Result: []string{"SUCCESS", "not:SKIPPED", "RUNNING"}},
		"change=894201&change=not:1":                       {Change: []string{"894201", "not:1"}},
		"uuid=" + uuid + "&uuid=ab*&buildset=" + uuid:      {UUID: []string{uuid, "ab*"}, Buildset: []string{uuid}},
		"voting=1&held=FALSE&final=true":                   {Voting: &yes, Held: &no, Final: &yes},
		"text=not:this":                                    {Text: "not:this"},
		"from=2026-11-01&to=2026-11-30":                    {Since: day(2026, 11, 1), Until: day(2026, 12, 1)},
		"from=&from=2026-11-01":                            {Since: day(2026, 11, 1)},
		"before=x&limit=1000&skip=50":                      {Before: "x", Limit: 1000, Skip: 50},
		"after=y":                                          {After: "y"},
	} {
		v, err := url.ParseQuery(address)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseQuery(v)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, error %v; want %+v", address, got, err, want)
		}
	}
}

func TestParseQueryRefuses(t *testing.T) {
	many := ""
	for i := range maxFilters + 1 {
		many += "&job_name=job" + strconv.Itoa(i)
	}
	for address, want := range map[string][2]string{ // the parameter, and a part of what is said
		"result=GREEN":                       {"result", "one of RUNNING, SUCCESS, FAILURE"},
		"result=not:GREEN":                   {"result", `"not:GREEN"`},
		"change=x":                           {"change", "number of a change"},
		"change=-1":                          {"change", ""},
		"change=99999999999999999999":        {"change", ""},
		"change=1*":                          {"change", ""},
		"uuid=xyz":                           {"uuid", "hex digits"},
		"uuid=abc":                           {"uuid", "and a *"},
		"uuid=*":                             {"uuid", ""},
		"uuid=AB*":                           {"uuid", "lower-case"},
		"buildset=abc*":                      {"buildset", ""},
		"voting=maybe":                       {"voting", "1 (yes) or 0 (no)"},
		"held=not:1":                         {"held", ""},
		"voting=1&voting=0":                  {"voting", "one value"},
		"text=a&text=b":                      {"text", "one value"},
		"from=yesterday":                     {"from", "a day such as 2026-11-22"},
		"to=2026-02-30":                      {"to", ""},
		"to=0001-01-01":                      {"to", ""},
		"limit=0":                            {"limit", "1 to 1000"},
		"limit=1001":                         {"limit", ""},
		"skip=-1":                            {"skip", ""},
		"branch=" + strings.Repeat("W", 260): {"branch", "at most 255 bytes"},
		many:                                 {"", "more than 100 values"},
	} {
		v, err := url.ParseQuery(address)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseQuery(v)
		status, detail := statusOf(err)
		var bad *badParam
		if status != 400 || !strings.Contains(detail, want[1]) || len(detail) > 600 {
			t.Errorf("%.60q: %d %q, want 400 with %q", address, status, detail, want[1])
		}
		if want[0] != "" && (!errors.As(err, &bad) || bad.name != want[0] || !strings.HasPrefix(detail, want[0])) {
			t.Errorf("%.60q: error %#v, want one about %s", address, err, want[0])
		}
	}
}

// Whatever is accepted is accepted again in the form that links have, and means
// the same.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"job_name=a&job_name=not:b*", "result=running&voting=TRUE", "uuid=ab*&change=1&change=not:2", "from=2026-11-01&to=2026-11-02&text=%00\xff",
		"before=1-x&limit=3", "patchset=&ref=not:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		v, err := url.ParseQuery(address)
		if err != nil {
			return
		}
		first, err := parseQuery(v)
		if err != nil {
			if status, _ := statusOf(err); status != 400 {
				t.Fatalf("%q: %d %v", address, status, err)
			}
			return
		}
		u, err := url.Parse(web.BuildsPath("t", v))
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseQuery(u.Query())
		first.Limit, first.Skip = 0, 0 // of one request, not of the list
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("%q: %+v, then %+v, %v", address, first, again, err)
		}
	})
}
