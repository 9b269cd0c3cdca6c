package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"vitrine"
)

var update = flag.Bool("update", false, "rewrite the golden pages in testdata")

func render(t *testing.T, l Layout, p Page) string {
	t.Helper()
	var b strings.Builder
	if err := Render(&b, l, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGolden holds the words and the order of every page: what is inside main.
func TestGolden(t *testing.T) {
	assetHash := regexp.MustCompile(`/static/[0-9a-f]+/`)
	for name, p := range testPages() {
		got := assetHash.ReplaceAllString(render(t, testLayout, p), "/static/HASH/")
		if name != "error-404" { // one page whole, with header and footer
			got = got[strings.Index(got, "<main"):strings.Index(got, "<footer")]
		}
		file := filepath.Join("testdata", name+".golden.html")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s; if that is meant, run go test -update and read the diff. Got:\n%s", name, file, got)
		}
	}
}

var voidElements = []string{"meta", "link", "img", "input", "br"}

// elements walks a page, checks that it is well formed and gives the names of
// its elements in order with their attributes.
func elements(t *testing.T, page string) (tags []string, attrs [][]html.Attribute) {
	t.Helper()
	var open []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("not closed: %v", open)
			}
			return tags, attrs
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			tags, attrs = append(tags, tok.Data), append(attrs, tok.Attr)
			seen := map[string]bool{}
			for _, a := range tok.Attr {
				if seen[a.Key] {
					t.Errorf("<%s> has two attributes %s", tok.Data, a.Key)
				}
				seen[a.Key] = true
			}
			if tok.Type == html.StartTagToken && !slices.Contains(voidElements, tok.Data) {
				open = append(open, tok.Data)
			}
		case html.EndTagToken:
			name := z.Token().Data
			if len(open) == 0 || open[len(open)-1] != name {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func attr(attrs []html.Attribute, key string) (string, bool) {
	for _, a := range attrs {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func TestPagesAreWellFormedAndAccessible(t *testing.T) {
	for name, p := range testPages() {
		t.Run(name, func(t *testing.T) {
			tags, attrs := elements(t, render(t, testLayout, p))
			level, headings := 0, 0
			ids := make(map[string]bool)
			for i, tag := range tags {
				if id, ok := attr(attrs[i], "id"); ok && ids[id] {
					t.Errorf("two elements have the id %q", id)
				} else if ok {
					ids[id] = true
				}
				switch tag {
				case "h1", "h2", "h3":
					n := int(tag[1] - '0')
					if n > level+1 {
						t.Errorf("%s follows h%d", tag, level)
					}
					if level = n; n == 1 {
						headings++
					}
				case "img":
					if alt, _ := attr(attrs[i], "alt"); alt == "" {
						t.Error("an image without a text")
					}
				case "time":
					if _, ok := attr(attrs[i], "datetime"); !ok {
						t.Error("a time without datetime")
					}
				case "style":
					t.Error("an inline style")
				}
			}
			if headings != 1 {
				t.Errorf("%d h1, want 1", headings)
			}
		})
	}
}

// TestLinks: every link is one that a path function makes, a place on the page,
// or goes to http or https.
func TestLinks(t *testing.T) {
	const T = "opendev"
	rebuild := []struct {
		shape *regexp.Regexp
		path  func(m []string) string
	}{
		{regexp.MustCompile(`^/$`), func([]string) string { return HomePath }},
		{regexp.MustCompile(`^/t/opendev/services$`), func([]string) string { return ServicesPath(T) }},
		{regexp.MustCompile(`^/t/opendev/keyring(#access)?$`), func(m []string) string { return KeyringPath(T) + m[1] }},
		{regexp.MustCompile(`^/t/opendev/search$`), func([]string) string { return SearchPath(T) }},
		{regexp.MustCompile(`^/t/opendev/build/([^/?]+)$`), func(m []string) string { return BuildPath(T, m[1]) }},
		{regexp.MustCompile(`^/t/opendev/buildset/([^/?]+)$`), func(m []string) string { return BuildsetPath(T, m[1]) }},
		{regexp.MustCompile(`^/t/opendev/service/([^/?]+)$`), func(m []string) string { return ServicePath(T, m[1]) }},
		{regexp.MustCompile(`^/t/opendev/job/([^/?]+)$`), func(m []string) string { return JobPath(T, m[1]) }},
		{regexp.MustCompile(`^/t/opendev/job/([^/?]+)\?(.*)$`), func(m []string) string {
			q, _ := url.ParseQuery(m[2])
			return jobView(T, m[1], q.Get(ParamBranch), q.Has(ParamPeriod))
		}},
		{regexp.MustCompile(`^/t/opendev/service/([^/?]+)\?month=(.*)#month$`), func(m []string) string {
			month, _ := time.Parse(MonthFormat, m[2])
			return ServiceMonthPath(T, m[1], month) + "#month"
		}},
		{regexp.MustCompile(`^/t/opendev/latest\?(.*)$`), func(m []string) string { q, _ := url.ParseQuery(m[1]); return LatestPath(T, q) }},
		{regexp.MustCompile(`^/t/opendev/latest-success\?(.*)$`), func(m []string) string { q, _ := url.ParseQuery(m[1]); return LatestSuccessPath(T, q) }},
		{regexp.MustCompile(`^/t/opendev/badge\.svg\?(.*)$`), func(m []string) string { q, _ := url.ParseQuery(m[1]); return BadgePath(T, q) }},
		{regexp.MustCompile(`^/t/opendev/builds(?:\?(.*))?$`), func(m []string) string {
			q, _ := url.ParseQuery(m[1])
			return BuildsPath(T, q)
		}},
		{regexp.MustCompile(`^/api/v1/tenant/opendev/builds/([0-9a-f]+)/artifacts/(.+)$`), func(m []string) string { return ArtifactPath(T, m[1], m[2]) }},
		{regexp.MustCompile(`^/api/v1/tenant/opendev/builds/([0-9a-f]+)/(build|started)\.json$`), func(m []string) string { return RecordPath(T, m[1], m[2] == "started") }},
		{regexp.MustCompile(`^/api/v1/tenant/opendev/builds/([0-9a-f]+)/imported\.json$`), func(m []string) string { return ImportedPath(T, m[1]) }},
		{regexp.MustCompile(`^/api/v1/tenant/opendev/builds/([0-9a-f]+)/(build|started)\.json\.sig$`), func(m []string) string { return SignaturePath(T, m[1], m[2] == "started") }},
		{regexp.MustCompile(`^/api/v1/tenant/opendev/allowed_signers(?:\?commit=([0-9a-f]+))?$`), func(m []string) string { return AllowedSignersPath(T, m[1]) }},
		{regexp.MustCompile(`^/t/opendev/feed\.(atom|json)(?:\?(.*))?$`), func(m []string) string {
			q, _ := url.ParseQuery(m[2])
			return FeedPath(T, m[1], q)
		}},
		{regexp.MustCompile(`^/t/opendev/build/([0-9a-f]+)/gallery(?:\?beside=([0-9a-f]+))?$`), func(m []string) string { return GalleryPath(T, m[1], m[2]) }},
		{regexp.MustCompile(`^/t/opendev/build/([0-9a-f]+)/gallery#view-([0-9]+)$`), func(m []string) string {
			n, _ := strconv.Atoi(m[2])
			return LargePath(T, m[1], n)
		}},
		{regexp.MustCompile(`^/t/opendev/build/([0-9a-f]+)/preview/(.+)$`), func(m []string) string { return PreviewPath(T, m[1], m[2]) }},
		{regexp.MustCompile(`^/logs/opendev/([0-9a-f]+)/(.*)$`), func(m []string) string { return LogPath(T, m[1], m[2]) }},
		{regexp.MustCompile(`^(?:\.\./|[A-Za-z0-9._+@=,-]+/?)$`), func(m []string) string { return m[0] }}, // of a folder
		{regexp.MustCompile(`^/static/[0-9a-f]+/(.+)$`), func(m []string) string { p, _ := AssetPath(m[1]); return p }},
	}
	used := make([]bool, len(rebuild))
	for name, p := range testPages() {
		_, attrs := elements(t, render(t, testLayout, p))
		for _, as := range attrs {
			for _, a := range as {
				if a.Key != "href" && a.Key != "src" && a.Key != "action" {
					continue
				}
				if strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "https://") {
					continue
				}
				ok := false
				for i, r := range rebuild {
					if m := r.shape.FindStringSubmatch(a.Val); m != nil {
						ok, used[i] = ok || r.path(m) == a.Val, true
					}
				}
				if !ok {
					t.Errorf("%s: link %q is not made by a path function", name, a.Val)
				}
			}
		}
	}
	for i, r := range rebuild {
		if !used[i] {
			t.Errorf("no page links to %s", r.shape)
		}
	}
}

// fill sets every string below v.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), s)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem(), s)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), s)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if vs, ok := v.MapIndex(k).Interface().([]string); ok {
				for i := range vs {
					vs[i] = s
				}
			}
		}
	}
}

// TestHostileValues fills every string of every page, tenant and ids too, with
// what should break it. The page must have the very elements that it has with
// harmless text, and no link or attribute that acts.
func TestHostileValues(t *testing.T) {
	filled := func(name, s string) string {
		p := reflect.New(reflect.TypeOf(testPages()[name])).Elem()
		p.Set(reflect.ValueOf(testPages()[name]))
		fill(p, s)
		return render(t, Layout{Tenant: s, Now: testNow, PublicURL: s}, p.Interface().(Page))
	}
	for _, payload := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`,
		`javascript:alert(1)`, `data:text/html,<script>alert(1)</script>`, "]]>--><svg onload=alert(1)>",
		"\u202egnp.exe\u2066 עברית", "\x1b[31mred\x1b]0;t\x07", strings.Repeat("W", 255),
		strings.Repeat("👩‍👩‍👧‍👦", 40), "\xff\xfe", "</title></textarea></svg>", "{{.}}", "a/b?c#d%2e",
		"https://user:pw@example.org/", "//example.org", "-rf",
	} {
		for name := range testPages() {
			page := filled(name, payload)
			tags, attrs := elements(t, strings.ToValidUTF8(page, "?"))
			for i := range attrs {
				for _, a := range attrs[i] {
					if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
						t.Errorf("%s, %q: <%s %s=%q>", name, payload, tags[i], a.Key, a.Val)
					}
					if a.Key != "href" && a.Key != "src" && a.Key != "action" {
						continue
					}
					isFile := strings.HasPrefix(name, "logs") && a.Val != "" && !strings.Contains(a.Val, ":")
					if !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") && !isFile || strings.HasPrefix(a.Val, "//") || strings.Contains(a.Val, "/../") {
						t.Errorf("%s, %q: <%s %s=%q>", name, payload, tags[i], a.Key, a.Val)
					}
				}
			}
			count := func(tags []string, names ...string) (n int) {
				for _, tag := range tags {
					if slices.Contains(names, tag) {
						n++
					}
				}
				return n
			}
			if n := count(tags, "script"); n != len(document{Page: testPages()[name]}.Scripts()) {
				t.Errorf("%s, %q: %d scripts, want the page's own", name, payload, n)
			}
			if n := count(tags, "img", "iframe", "object", "embed", "base", "style"); n != count(tags, "img") || n > 1 {
				t.Errorf("%s, %q: %d elements that load things", name, payload, n)
			}
		}
	}
	for name := range testPages() {
		// Same length, same kind of text, so that the same branches are taken.
		plain, _ := elements(t, filled(name, "xscriptyalertz1ux/scriptv"))
		evil, _ := elements(t, filled(name, "<script>alert(1)</script>"))
		if !slices.Equal(plain, evil) {
			t.Errorf("%s: a name changed the elements of the page", name)
		}
	}
}

// TestTemplatesAreStatic is T-WEB-2: nothing inline in what we write ourselves.
func TestTemplatesAreStatic(t *testing.T) {
	inline := regexp.MustCompile(`(?i)\sstyle\s*=|\son[a-z]+\s*=|<style|javascript:|<script(?:[^>]*)>[^<]`)
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d templates, %v; want 10 at least", len(names), err)
	}
	for _, name := range names {
		b, _ := files.ReadFile(name)
		if m := inline.Find(b); m != nil {
			t.Errorf("%s: %q", name, m)
		}
		for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(string(b), -1) {
			if !strings.Contains(tag, "src=") {
				t.Errorf("%s: %s", name, tag)
			}
		}
	}
	scripts, err := fs.Glob(files, "static/js/*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, name := range scripts {
		js, _ := files.ReadFile(name)
		if m := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|parseFromString|eval\(`).Find(js); m != nil {
			t.Errorf("%s: %q, which the policy forbids", name, m)
		}
	}
}

func TestSizes(t *testing.T) {
	gz := func(s string) int {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(s))
		w.Close()
		return b.Len()
	}
	hash := func(i int) string {
		return fmt.Sprintf("%016x%016x", uint64(i+1)*0x9e3779b97f4a7c15, uint64(i+7)*0xc2b2ae3d27d4eb4f)
	}
	var list []vitrine.Build
	for i := range 50 {
		b := testBuild(i, vitrine.Success, time.Duration(i)*time.Hour, time.Duration(i*37%400)*time.Second)
		b.UUID, b.Ref.NewRev = hash(i), hash(i+1000)
		list = append(list, b)
	}
	var services []ServiceHistory
	for i := range 200 {
		s := ServiceHistory{Service: testService(), History: slices.Clone(list)}
		s.Name = fmt.Sprintf("service-%x", i*7919)
		for j := range s.History {
			s.History[j].UUID = hash(i*50 + j)
			s.History[j].StartTime = testNow.Add(-time.Duration(i*7919%5000) * time.Minute)
			s.History[j].EndTime = s.History[j].StartTime.Add(time.Duration((i+j)*37%400) * time.Second)
		}
		services = append(services, s)
	}
	full := testBuild(1, vitrine.Success, time.Hour, time.Minute)
	for i := range vitrine.MaxArtifacts {
		full.Artifacts = append(full.Artifacts, vitrine.Artifact{Path: fmt.Sprintf("logs/host%04d/ansible.log.zst.age", i), Sealed: true, Size: int64(i * 7919), Lines: int64(i)})
	}
	names := make(map[string][]string)
	for i := range 60 {
		for _, param := range []string{"service", "job_name", "project", "branch", "pipeline"} {
			names[param] = append(names[param], fmt.Sprintf("%s-%x", param, i*7919))
		}
	}
	for name, p := range map[string]Page{
		"builds":       BuildsPage{Builds: list, Newest: true, First: "1795385445-" + hash(1), Suggest: names},
		"job":          JobPage{Name: "job", Builds: slices.Concat(list, services[0].History), Days: testDays()},
		"12 services":  OverviewPage{Services: services[:12]},
		"100 services": OverviewPage{Services: services[:100]},
		"200 services": OverviewPage{Services: services},
		"10,000 files": BuildPage{Build: full, History: list},
		"everything":   bigBuildPage(list),
		"1,000 builds": BuildsetPage{Builds: thousand(), More: true},
	} {
		if n := gz(render(t, testLayout, p)); n > 30_000 {
			t.Errorf("%s: %d bytes compressed, more than 30,000", name, n)
		}
	}
	if n := gz(string(assets["style.css"].Body)); n >= 8_000 {
		t.Errorf("style.css has %d bytes compressed, want less than 8,000", n)
	}
}

// A broken page makes its template fail half way.
type broken struct{ ErrorPage }

func (broken) template() string { return "build" }

func TestRenderWritesWholePagesOrNothing(t *testing.T) {
	var b bytes.Buffer
	if err := Render(&b, testLayout, broken{}); err == nil || b.Len() > 0 {
		t.Errorf("error %v and %d bytes, want an error and none", err, b.Len())
	}
	if err := Render(failingWriter{}, testLayout, ErrorPage{Status: 404}); !errors.Is(err, errGone) {
		t.Errorf("error %v, want that of the writer", err)
	}
	if page := render(t, Layout{Now: testNow}, ErrorPage{Status: 404}); strings.Contains(page, "/t/") {
		t.Error("a page outside of a tenant links into one")
	}
}

var errGone = errors.New("gone")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errGone }

func TestAllTemplatesHaveAPage(t *testing.T) {
	used := make(map[string]bool)
	for _, p := range testPages() {
		used[p.template()] = true
	}
	if got, want := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(pages)); !slices.Equal(got, want) {
		t.Errorf("tested %v, there are %v", got, want)
	}
}
