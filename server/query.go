package server

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine"
	"vitrine/server/index"
	"vitrine/web"
)

// A badParam is an error about one value of an address's query.
type badParam struct {
	name, value string
	err         error
}

func (e *badParam) Error() string { return e.err.Error() }
func (e *badParam) Unwrap() error { return e.err }

// refuseParam refuses a value and says what is wanted instead.
func refuseParam(name, value, want string) error {
	return &badParam{name, value, refuse(http.StatusBadRequest, "%s %.60q: want %s", name, value, want)}
}

// maxFilters bounds the values of all filters of an address together.
const maxFilters = 100

// parseQuery reads the filters and the cursor of a list of builds from an
// address. Names are Zuul's where Zuul has one. Unknown ones are ignored, as
// any link may carry some.
func parseQuery(v url.Values) (index.Query, error) {
	f, err := cleanFilter(v)
	if err != nil {
		return index.Query{}, err
	}
	q := index.Query{
		Service: f["service"], Job: f["job_name"], Project: f["project"], Branch: f["branch"], Pipeline: f["pipeline"],
		Change: f["change"], Patchset: f["patchset"], Ref: f["ref"], NewRev: f["newrev"], Nodeset: f["nodeset"],
		Text: f.Get("text"), Result: f["result"], UUID: f["uuid"], Buildset: f["buildset"],
		Voting: yesOrNo(f.Get("voting")), Held: yesOrNo(f.Get("held")), Final: yesOrNo(f.Get("final")),
		Before: v.Get(web.ParamBefore), After: v.Get(web.ParamAfter),
	}
	q.Since, _ = parseDay("from", f.Get("from"))
	if q.Until, _ = parseDay("to", f.Get("to")); !q.Until.IsZero() {
		q.Until = q.Until.AddDate(0, 0, 1) // the day itself counts
	}
	if q.Limit, err = parseNumber(v, "limit", 1, index.MaxLimit); err != nil {
		return q, err
	}
	q.Skip, err = parseNumber(v, "skip", 0, index.MaxSkip)
	return q, err
}

// parseFilter is parseQuery for what is not a page of a list, which takes the
// filters of an address alone. It returns them too.
func parseFilter(v url.Values) (url.Values, index.Query, error) {
	filter, err := cleanFilter(v)
	if err != nil {
		return nil, index.Query{}, err
	}
	q, err := parseQuery(filter)
	return filter, q, err
}

// cleanFilter checks the filters of an address and returns them in the one form
// that links have: without empty values, which forms send for untouched fields,
// and without any twice.
func cleanFilter(v url.Values) (url.Values, error) {
	v = withoutZuulWords(v)
	f := make(url.Values)
	total := 0
	for _, name := range web.FilterParams {
		for _, value := range v[name] {
			if value == "" {
				continue
			}
			if len(value) > len(web.Not)+vitrine.MaxString {
				return nil, refuseParam(name, value, "at most "+strconv.Itoa(vitrine.MaxString)+" bytes")
			}
			value, err := parseValue(name, value)
			if err != nil {
				return nil, err
			}
			if total++; total > maxFilters {
				return nil, refuse(http.StatusBadRequest, "more than %d values to filter by", maxFilters)
			}
			if !slices.Contains(f[name], value) {
				f[name] = append(f[name], value)
			}
		}
		if slices.Contains(web.SingleParams, name) && len(f[name]) > 1 {
			return nil, refuseParam(name, f[name][1], "one value, and there is "+strconv.Quote(f[name][0])+" already")
		}
	}
	return f, nil
}

// withoutZuulWords says in our words what the addresses of Zuul's pages say in
// its own: complete builds have a result, and so do those that have another.
func withoutZuulWords(v url.Values) url.Values {
	excluded, complete := strings.Join(v["exclude_result"], ""), v.Get("complete")
	if excluded == "" && complete == "" {
		return v
	}
	out := maps.Clone(v)
	out["result"] = slices.Clone(v["result"])
	for _, r := range v["exclude_result"] {
		if r != "" {
			out.Add("result", web.Not+r)
		}
	}
	if complete == "" || strings.EqualFold(complete, "true") {
		out.Add("result", web.Not+web.ResultRunning)
	} else {
		out.Add("result", web.ResultRunning)
	}
	return out
}

// parseValue checks one value and returns it in the form that links have.
func parseValue(name, value string) (string, error) {
	plain := value
	if !slices.Contains(web.SingleParams, name) {
		plain = strings.TrimPrefix(value, web.Not)
	}
	not := strings.TrimSuffix(value, plain)
	switch name {
	case "result":
		plain = strings.ToUpper(plain)
		if !vitrine.Result(plain).Known() && plain != web.ResultRunning {
			words := []string{web.ResultRunning}
			for _, r := range vitrine.Results {
				words = append(words, string(r))
			}
			return "", refuseParam(name, value, "one of "+strings.Join(words, ", "))
		}
	case "change":
		if n, err := strconv.ParseInt(plain, 10, 64); err != nil || n < 1 {
			return "", refuseParam(name, value, "the number of a change, such as 894201")
		}
	case "uuid":
		beginning, _ := strings.CutSuffix(plain, "*")
		if !vitrine.ValidUUID(plain) && (beginning == plain || !isHex(beginning) || len(beginning) > 32) {
			return "", refuseParam(name, value, "32 lower-case hex digits, or the first of them and a *")
		}
	case "buildset":
		if !vitrine.ValidUUID(plain) {
			return "", refuseParam(name, value, "32 lower-case hex digits")
		}
	case "voting", "held", "final":
		switch strings.ToLower(plain) {
		case "1", "true":
			plain = "1"
		case "0", "false":
			plain = "0"
		default:
			return "", refuseParam(name, value, "1 (yes) or 0 (no)")
		}
	case "from", "to":
		if _, err := parseDay(name, plain); err != nil {
			return "", err
		}
	}
	return not + plain, nil
}

func yesOrNo(s string) *bool {
	if s == "" {
		return nil
	}
	yes := s == "1"
	return &yes
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// parseDay reads a day that may be left out, as its first moment in UTC.
func parseDay(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		return time.Time{}, refuseParam(name, s, "a day such as 2026-11-22")
	}
	return t, nil
}

// parseNumber reads a number that may be left out.
func parseNumber(v url.Values, name string, least, most int) (int, error) {
	s := v.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, refuseParam(name, s, "a number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	return n, nil
}

// without is a query without one value of a parameter, and so from its first page.
func without(v url.Values, name, value string) url.Values {
	rest := make(url.Values)
	for n, values := range v {
		if n == web.ParamBefore || n == web.ParamAfter {
			continue
		}
		for _, s := range values {
			if n != name || s != value {
				rest.Add(n, s)
			}
		}
	}
	return rest
}
