package zuul_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine/zuul"
)

// A source is a Zuul with a list of builds, newest first, as JSON.
type source struct {
	builds   []string
	requests atomic.Int32
	// before answers in the place of the list if it returns true.
	before func(w http.ResponseWriter, r *http.Request, n int) bool
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(s.requests.Add(1))
	if s.before != nil && s.before(w, r, n) {
		return
	}
	if r.URL.Path != "/api/tenant/t/builds" || r.FormValue("complete") != "true" {
		http.NotFound(w, r)
		return
	}
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	list := s.builds
	if v := r.FormValue("idx_max"); v != "" {
		limit, _ := strconv.ParseInt(v, 10, 64)
		list = slices.DeleteFunc(slices.Clone(list), func(b string) bool {
			var x struct {
				ID any `json:"_id"`
			}
			json.Unmarshal([]byte(b), &x)
			id, _ := x.ID.(float64)
			return int64(id) > limit
		})
	}
	skip, _ := strconv.Atoi(r.FormValue("skip"))
	list = list[min(skip, len(list)):]
	list = list[:min(limit, len(list))]
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "[%s]", strings.Join(list, ","))
}

func uuid(n int) string { return fmt.Sprintf("%032x", n) }

// builds makes up n builds, without ids where these are nil.
func builds(n int, id func(i int) int) []string {
	var list []string
	for i := range n {
		b := fmt.Sprintf(`{"uuid":%q,"job_name":"j","result":"SUCCESS","ref":{"project":"p","ref":"refs/heads/m"}`, uuid(n-i))
		if id != nil {
			b += fmt.Sprintf(`,"_id":%d`, id(n-i))
		}
		list = append(list, b+"}")
	}
	return list
}

func open(t *testing.T, h http.Handler, page int) *zuul.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := zuul.NewClient(server.URL, "t")
	if err != nil {
		t.Fatal(err)
	}
	return c.Hurry(page)
}

// readAll reads all uuids, each once.
func readAll(t *testing.T, c *zuul.Client, jobs ...string) (uuids []string, broken []error, err error) {
	t.Helper()
	seen := make(map[string]bool)
	for page, err := range c.Builds(t.Context(), jobs) {
		if err != nil {
			return uuids, broken, err
		}
		broken = append(broken, page.Broken...)
		for _, b := range page.Builds {
			if seen[b.UUID] {
				t.Fatalf("build %s comes twice", b.UUID)
			}
			seen[b.UUID] = true
			uuids = append(uuids, b.UUID)
		}
	}
	return uuids, broken, nil
}

// The whole list is read, whatever the ids and wherever pages end.
func TestBuilds(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]func(int) int{
		"by offset":  nil,
		"by id":      func(i int) int { return i * 3 },
		"shared ids": func(i int) int { return (i + 4) / 5 },
	} {
		for _, n := range []int{0, 1, 4, 5, 6, 23, 50} {
			s := &source{builds: builds(n, id)}
			uuids, broken, err := readAll(t, open(t, s, 10))
			if err != nil || len(broken) > 0 || len(uuids) != n {
				t.Errorf("%s: %d of %d builds, broken %v, error %v", name, len(uuids), n, broken, err)
			}
			if most := int32(n/5 + 3); s.requests.Load() > most {
				t.Errorf("%s: %d requests for %d builds", name, s.requests.Load(), n)
			}
			if !slices.IsSortedFunc(uuids, func(a, b string) int { return strings.Compare(b, a) }) {
				t.Errorf("%s: not newest first", name)
			}
		}
	}
}

// More builds of one id than a page holds: those that can be had come, and the rest.
func TestManyOfOneID(t *testing.T) {
	t.Parallel()
	s := &source{builds: builds(30, func(i int) int { return max(i-20, 1) })}
	uuids, _, err := readAll(t, open(t, s, 10))
	if err != nil || len(uuids) < 10 {
		t.Errorf("%d builds, %v", len(uuids), err)
	}
}

// Builds that come while the list is read move nothing out of it.
func TestGrowing(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]func(int) int{"by offset": nil, "by id": func(i int) int { return i }} {
		all := builds(100, id)
		s := &source{builds: all[20:]}
		s.before = func(_ http.ResponseWriter, _ *http.Request, n int) bool {
			s.builds = all[max(20-2*n, 0):]
			return false
		}
		got := make(map[string]bool)
		for page, err := range open(t, s, 10).Builds(t.Context(), nil) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, b := range page.Builds {
				got[b.UUID] = true
			}
		}
		for n := 1; n <= 80; n++ {
			if !got[uuid(n)] {
				t.Errorf("%s: build %d is missing", name, n)
			}
		}
	}
}

// What is no build is named, and the others are read.
func TestStrangeBuilds(t *testing.T) {
	t.Parallel()
	strange := []string{`null`, `7`, `"x"`, `[]`, `{}`, `{"uuid":7}`, `{"uuid":"a","_id":"7"}`, `{"uuid":"b","artifacts":{}}`,
		`{"uuid":"c","start_time":"yesterday"}`, `{"uuid":"d","start_time":5}`, `{"uuid":"e","ref":{"change":"many"}}`, `{"uuid":"f","change":1.5}`}
	list := builds(30, nil)
	for n, b := range strange {
		list = slices.Insert(list, 2*n, b)
	}
	uuids, broken, err := readAll(t, open(t, &source{builds: list}, 10))
	if err != nil || len(uuids) != 30 || len(broken) != len(strange) {
		t.Errorf("%d builds, %d broken, %v", len(uuids), len(broken), err)
	}
	// A whole page of them has ids, and so does not end the list.
	list = builds(30, func(i int) int { return i })
	for n := range 15 {
		list[n+5] = fmt.Sprintf(`{"_id":%d}`, 25-n)
	}
	uuids, broken, err = readAll(t, open(t, &source{builds: list}, 5))
	if err != nil || len(uuids) != 15 || len(broken) != 15 {
		t.Errorf("%d builds, %d broken, %v", len(uuids), len(broken), err)
	}
}

// A list that goes in circles is an error, not for ever.
func TestEndless(t *testing.T) {
	t.Parallel()
	page := func(from, n int, id bool) []string {
		var of func(int) int
		if id {
			of = func(i int) int { return i }
		}
		return builds(100, of)[from : from+n]
	}
	for name, pages := range map[string][][]string{
		"one page":          {page(0, 10, false)},
		"one page with ids": {page(0, 10, true)},
		"two pages":         {page(0, 10, false), page(10, 10, false)},
		"seven pages, and a first": {page(0, 5, false), page(10, 9, false), page(20, 9, false), page(30, 9, false),
			page(40, 9, false), page(50, 9, false), page(60, 9, false), page(70, 9, false)},
		"no builds":       {{`{}`, `7`}},
		"no builds twice": {{`{}`}, {`7`}},
		"ids that go":     {page(0, 10, true), page(10, 10, false)},
	} {
		s := &source{}
		s.before = func(w http.ResponseWriter, r *http.Request, n int) bool {
			at := (n - 1) % len(pages)
			if strings.Contains(name, "and a first") && n > 1 {
				at = 1 + (n-2)%(len(pages)-1)
			}
			fmt.Fprintf(w, "[%s]", strings.Join(pages[at], ","))
			return true
		}
		count := 0
		var err error
		for _, err = range open(t, s, 10).Builds(t.Context(), nil) {
			if count++; count > 100 {
				t.Fatalf("%s: no end", name)
			}
		}
		if err == nil {
			t.Errorf("%s: ends well", name)
		} else if name != "ids that go" && !errors.Is(err, zuul.ErrPaging) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What may pass is tried again; what can't is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		fail     func(w http.ResponseWriter, r *http.Request)
		requests int32 // in all
		want     string
	}{
		{"500", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, 6, "500"},
		{"429", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		}, 6, "429"},
		{"broken off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "[{")
		}, 6, "breaks off"},
		{"404", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, 1, "404"},
		{"403", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }, 1, "403"},
		{"a page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, 1, "not a list of builds"},
		{"an object", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") }, 1, "not a list of builds"},
		{"half a list", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "[{},") }, 1, "not a list of builds"},
		{"two lists", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "[][]") }, 1, "not a list of builds"},
		{"too many", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "[%s7]", strings.Repeat("7,", 1000))
		}, 1, "asked for 10 builds, got more than 20"},
		{"too large", func(w http.ResponseWriter, r *http.Request) {
			w.Write(make([]byte, 33<<20))
		}, 3, "more than"}, // with smaller pages
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/api/tenant/t/builds", http.StatusFound)
		}, 1, "elsewhere"},
		{"to a file", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		}, 1, "elsewhere"},
		{"round and round", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		}, 6, "redirects"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &source{before: func(w http.ResponseWriter, r *http.Request, _ int) bool { test.fail(w, r); return true }}
			_, _, err := readAll(t, open(t, s, 10))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want something of %q", err, test.want)
			}
			if n := s.requests.Load(); n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
			// It heals.
			if test.requests > 1 && test.want != "redirects" {
				s := &source{builds: builds(5, nil), before: func(w http.ResponseWriter, r *http.Request, n int) bool {
					if n == 1 {
						test.fail(w, r)
					}
					return n == 1
				}}
				if uuids, _, err := readAll(t, open(t, s, 10)); err != nil || len(uuids) != 5 {
					t.Errorf("after one failure: %d builds, %v", len(uuids), err)
				}
			}
		})
	}
}

// A redirect on the same host is followed, with the question.
func TestRedirect(t *testing.T) {
	t.Parallel()
	s := &source{builds: builds(25, nil)}
	s.before = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.HasPrefix(r.URL.Path, "/zuul/") {
			return false
		}
		http.Redirect(w, r, strings.TrimPrefix(r.URL.String(), "/zuul"), http.StatusMovedPermanently)
		return true
	}
	server := httptest.NewServer(s)
	defer server.Close()
	c, err := zuul.NewClient(server.URL+"/zuul", "t")
	if err != nil {
		t.Fatal(err)
	}
	if uuids, _, err := readAll(t, c.Hurry(10)); err != nil || len(uuids) != 25 {
		t.Errorf("%d builds, %v", len(uuids), err)
	}
}

// A cancelled read ends while it waits for the next try.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		w.Header().Set("Retry-After", "200")
		w.WriteHeader(503)
	}), 10)
	began := time.Now()
	for _, err := range c.Builds(ctx, nil) {
		if err == nil {
			t.Error("no error")
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestQuestion(t *testing.T) {
	t.Parallel()
	c := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); r.Method != "GET" || !slices.Equal(q["job_name"], []string{"a*", "b"}) || q.Get("limit") != "10" || q.Get("complete") != "true" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if a := r.UserAgent(); !strings.HasPrefix(a, "vitrine/") {
			t.Errorf("user agent %q", a)
		}
		fmt.Fprint(w, "[]")
	}), 10)
	if _, _, err := readAll(t, c, "a*", "b"); err != nil {
		t.Error(err)
	}
}

func TestNewClient(t *testing.T) {
	const api = "https://zuul.example.org/api/tenant/t"
	for _, test := range []struct{ address, tenant, want string }{
		{"https://zuul.example.org", "t", api},
		{"https://zuul.example.org/", "t", api},
		{"https://zuul.example.org/api", "t", api},
		{"https://zuul.example.org/api/", "t", api},
		{"https://zuul.example.org/t/t", "", api},
		{"https://zuul.example.org/t/t/builds?job_name=x#top", "t", api},
		{"https://zuul.example.org/api/tenant/t", "", api},
		{"https://zuul.example.org/api/tenant/t/builds", "", api},
		{"https://ci.example.org/zuul/t/t", "", "https://ci.example.org/zuul/api/tenant/t"},
		{"https://ci.example.org/zuul", "a b", "https://ci.example.org/zuul/api/tenant/a%20b"},
		{"http://[::1]:9000", "t", "http://[::1]:9000/api/tenant/t"},
		{"https://zuul.example.org", "", ""},
		{"https://zuul.example.org/t/t", "other", ""},
		{"https://zuul.example.org", "a/b", ""},
		{"https://zuul.example.org", "..", ""},
		{"https://u:p@zuul.example.org", "t", ""},
		{"ftp://zuul.example.org", "t", ""},
		{"zuul.example.org", "t", ""},
		{"", "t", ""},
	} {
		c, err := zuul.NewClient(test.address, test.tenant)
		switch {
		case err != nil && test.want != "":
			t.Errorf("%s: %v", test.address, err)
		case err == nil && c.URL() != test.want:
			t.Errorf("%s: %s, want %s", test.address, c.URL(), test.want)
		}
	}
}

// Both shapes of a build's ref, and what older versions leave out.
func TestParseBuild(t *testing.T) {
	const flat = `{"uuid":"u","job_name":"j","result":null,"held":null,"voting":null,"log_url":null,"artifacts":null,
		"project":"p","branch":"b","change":7,"patchset":"2","ref":"refs/changes/07/7/2","newrev":null,"ref_url":"https://r.example.org/7",
		"pipeline":"check","event_id":"e","buildset":{"uuid":"s"},"start_time":"2023-01-02T03:04:05.123","unknown":[1]}`
	const nested = `{"_id":5,"uuid":"u","job_name":"j","final":false,"voting":false,"held":true,
		"ref":{"project":"p","branch":"b","change":7,"patchset":"2","ref":"refs/changes/07/7/2","newrev":null,"ref_url":"https://r.example.org/7"},
		"pipeline":"check","event_id":"e","buildset":{"uuid":"s"}}`
	old, err := zuul.ParseBuild([]byte(flat))
	if err != nil {
		t.Fatal(err)
	}
	now, err := zuul.ParseBuild([]byte(nested))
	if err != nil {
		t.Fatal(err)
	}
	if !old.Final || !old.Voting || old.Held || now.Final || now.Voting || !now.Held || now.ID != 5 {
		t.Errorf("%+v\n%+v", old, now)
	}
	for _, b := range []zuul.Build{old, now} {
		if b.Ref.Project != "p" || *b.Ref.Branch != "b" || *b.Ref.Change != 7 || b.Ref.Ref != "refs/changes/07/7/2" || *b.Ref.RefURL != "https://r.example.org/7" ||
			b.Pipeline != "check" || *b.EventID != "e" || b.Buildset.UUID != "s" {
			t.Errorf("%+v", b)
		}
	}
	if got := time.Time(*old.StartTime); !got.Equal(time.Date(2023, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("start %s", got)
	}
}

// Whatever is parsed has a uuid, and parsing never fails otherwise than by error.
func FuzzParseBuild(f *testing.F) {
	f.Add([]byte(`{"uuid":"u","ref":{"project":"p"},"artifacts":[{"name":"n","url":"u","metadata":{"type":"x"}}],"buildset":{"uuid":"x"}}`))
	f.Add([]byte(`{"uuid":"u","ref":"refs/heads/m","project":"p"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if build, err := zuul.ParseBuild(b); err == nil && build.UUID == "" {
			t.Errorf("%s: no uuid", b)
		}
	})
}
