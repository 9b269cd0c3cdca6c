package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
)

var swiftKey = vitrine.ArtifactKey("3f0c2b7a9d8e4f10a1b2c3d4e5f60718", "deploy.log.zst.age")

// noOpenStack clears what the environment of the tests may say.
func noOpenStack(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"ST_AUTH", "ST_USER", "ST_KEY", "OS_CLOUD", "OS_AUTH_URL", "OS_AUTH_TYPE", "OS_USERNAME", "OS_USER_ID", "OS_PASSWORD", "OS_PROJECT_NAME",
		"OS_PROJECT_ID", "OS_TENANT_NAME", "OS_TENANT_ID", "OS_USER_DOMAIN_NAME", "OS_USER_DOMAIN_ID", "OS_PROJECT_DOMAIN_NAME",
		"OS_PROJECT_DOMAIN_ID", "OS_DEFAULT_DOMAIN", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME",
		"OS_APPLICATION_CREDENTIAL_SECRET", "OS_REGION_NAME", "OS_INTERFACE", "OS_ENDPOINT_TYPE", "OS_CACERT", "OS_CLIENT_CONFIG_FILE",
		"SWIFT_TEMP_URL_KEY", "OS_TEMP_URL_KEY",
	} {
		t.Setenv(name, "")
	}
}

// A badSwift is a store that logs in and has a container, and answers what is asked
// of objects as a test wants.
func badSwift(t *testing.T, objects http.HandlerFunc) *Swift {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/auth/v1.0":
			w.Header().Set("X-Storage-Url", server.URL+"/v1/AUTH_test")
			w.Header().Set("X-Auth-Token", "CANARY-token")
		case "/v1/AUTH_test/c", "/v1/AUTH_test":
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			objects(w, r)
		default:
			objects(w, r)
		}
	}))
	t.Cleanup(server.Close)
	noOpenStack(t)
	t.Setenv("ST_AUTH", server.URL+"/auth/v1.0")
	t.Setenv("ST_USER", "user")
	t.Setenv("ST_KEY", "CANARY-key")
	b, err := OpenBucket(t.Context(), "swift://c/p")
	if err != nil {
		t.Fatal(err)
	}
	s := b.(*Swift)
	s.backoff, s.idle, s.work = time.Millisecond, 200*time.Millisecond, time.Second
	return s
}

func create(ctx context.Context, s *Swift, body string) error {
	return s.Create(ctx, swiftKey, strings.NewReader(body), CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body))})
}

func TestSwiftURL(t *testing.T) {
	noOpenStack(t)
	for rawURL, want := range map[string]string{
		"swift://":                                "want swift://container",
		"swift:///prefix":                         "want swift://container",
		"swift://c/../x":                          "prefix",
		"swift://c/a//b":                          "prefix",
		"swift://c/a%20b":                         "prefix",
		"swift://c/%00":                           "prefix",
		"swift://c/" + strings.Repeat("x", 300):   "prefix",
		"swift://" + strings.Repeat("x", 300):     "container",
		"swift://c?cluod=x":                       `unknown parameter "cluod"`,
		"swift://c?cloud=a&cloud=b":               "want it once",
		"swift://c?cloud=":                        "with a value",
		"swift://c?cloud=%zz":                     "NAME=VALUE",
		"swift://c?public_url=ftp://x":            "public_url",
		"swift://c?public_url=https://u:pw@host/": "public_url",
		"swift://user:hunter2@c/":                 "not a URL without a user",
		"swift://c":                               "no credentials: set OS_CLOUD",
		"swift://c/p":                             "no credentials",
	} {
		_, err := OpenBucket(t.Context(), rawURL)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenBucket(%q): %v, want %q", rawURL, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error has the password: %v", err)
		}
	}
	u, err := url.Parse("swift://c/a/b/?cloud=here&public_url=https://logs.example.org/x/")
	if err != nil {
		t.Fatal(err)
	}
	s, cloud, err := parseSwiftURL(u)
	if err != nil || s.container != "c" || s.prefix != "a/b/" || cloud != "here" || s.public != "https://logs.example.org/x" {
		t.Errorf("%+v, cloud %q, %v", s, cloud, err)
	}
	got, err := s.SignOpen(t.Context(), swiftKey, "x", time.Time{})
	if want := "https://logs.example.org/x/" + swiftKey; got != want || err != nil {
		t.Errorf("SignOpen: %q, %v, want %q", got, err, want)
	}
}

// What a store answers, and what it means here.
func TestSwiftAnswers(t *testing.T) {
	status := func(codes ...int) http.HandlerFunc {
		var n atomic.Int64
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(codes[min(int(n.Add(1)), len(codes))-1])
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
		text    string
	}{
		{"not there", status(404), fs.ErrNotExist, ""},
		{"always 503", status(503), ErrUnavailable, "503 Service Unavailable"},
		{"always 498", status(498), ErrUnavailable, "498"},
		{"always 429", status(429), ErrUnavailable, "429"},
		{"credentials that were changed", status(403), nil, "were they changed"},
		{"a token that is not taken", status(401), nil, "does not take the credentials"},
		{"a full disk", status(507), ErrUnavailable, "507"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := badSwift(t, test.handler)
			_, err := s.Stat(t.Context(), swiftKey)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Stat: %v, want %v, %q", err, test.want, test.text)
			}
			if test.want != ErrUnavailable && errors.Is(err, ErrUnavailable) {
				t.Errorf("Stat: %v, which is no reason to try again", err)
			}
		})
	}
	good := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "5")
		w.Header().Set("X-Timestamp", "1795372838.96356")
	}
	for _, codes := range [][]int{{503, 500, 200}, {429, 200}, {498, 503, 503, 503, 200}, {401, 200}, {408, 401, 502, 200}} {
		var n atomic.Int64
		s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
			good(w)
			w.WriteHeader(codes[n.Add(1)-1])
		})
		o, err := s.Stat(t.Context(), swiftKey)
		if err != nil || o.Size != 5 || o.ModTime.UnixMicro() != 1795372838963560 {
			t.Errorf("after %v: %+v, %v", codes, o, err)
		}
	}

	var n atomic.Int64
	s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
		good(w)
		if n.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		}
	})
	start := time.Now()
	if _, err := s.Stat(t.Context(), swiftKey); err != nil || time.Since(start) < time.Second {
		t.Errorf("Retry-After: 1 was followed after %s: %v", time.Since(start), err)
	}
	if got := retryAfter(http.Header{"Retry-After": {"86400"}}); got != maxRetryAfter {
		t.Errorf("a store may have us wait for %s", got)
	}
}

func TestSwiftUnreachable(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, auth := range []string{closed.URL + "/auth/v1.0", closed.URL + "/v3", "http://no-such-host.invalid/v3"} {
		noOpenStack(t)
		t.Setenv("OS_AUTH_URL", auth)
		t.Setenv("OS_USERNAME", "user")
		t.Setenv("OS_PASSWORD", "CANARY-key")
		t.Setenv("OS_PROJECT_NAME", "project")
		u, err := url.Parse("swift://c")
		if err != nil {
			t.Fatal(err)
		}
		s, cloud, err := parseSwiftURL(u)
		if err != nil {
			t.Fatal(err)
		}
		login, err := findSwiftLogin(cloud)
		if err != nil {
			t.Fatal(err)
		}
		if s.session, s.client, err = login.session(); err != nil {
			t.Fatal(err)
		}
		s.backoff = time.Millisecond
		if _, err := s.Stat(t.Context(), swiftKey); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", auth, err)
		}
	}
}

// What the store took, and does not have, or another took at the same time.
func TestSwiftLostObject(t *testing.T) {
	for _, test := range []struct {
		name   string
		put    int
		head   func(w http.ResponseWriter)
		want   error
		wanted bool
	}{
		{"it accepts, and loses", 201, func(w http.ResponseWriter) { w.WriteHeader(404) }, ErrUnavailable, false},
		{"another came after", 201, func(w http.ResponseWriter) {
			w.Header().Set(metaSHA256, strings.Repeat("0", 64))
		}, fs.ErrExist, false},
		{"another came before", 412, func(w http.ResponseWriter) {
			w.Header().Set(metaSHA256, strings.Repeat("0", 64))
		}, fs.ErrExist, false},
		{"another came before, by its clock", 202, func(w http.ResponseWriter) {
			w.Header().Set(metaSHA256, strings.Repeat("0", 64))
		}, fs.ErrExist, false},
		{"another with the same bytes", 412, func(w http.ResponseWriter) {
			w.Header().Set(metaSHA256, fmt.Sprintf("%x", sha256.Sum256([]byte("hello"))))
		}, nil, true},
		{"other bytes are stored than were sent", 422, func(w http.ResponseWriter) { w.WriteHeader(404) }, ErrIntegrity, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.Method {
				case http.MethodPut:
					if r.Header.Get("If-None-Match") != "*" || r.Header.Get("ETag") == "" || r.Header.Get(metaSHA256) == "" {
						t.Errorf("PUT with %v", r.Header)
					}
					w.WriteHeader(test.put)
				case http.MethodHead:
					w.Header().Set("Content-Length", "5")
					w.Header().Set("X-Timestamp", "1795372838.96356")
					test.head(w)
				default:
					t.Errorf("%s %s", r.Method, r.URL.Path)
				}
			})
			err := create(t.Context(), s, "hello")
			if test.wanted != (err == nil) || !errors.Is(err, test.want) {
				t.Errorf("Create: %v, want %v", err, test.want)
			}
		})
	}
}

// A manifest that was stored, though the answer was lost and the second try refused,
// keeps its segments.
func TestSwiftLostManifest(t *testing.T) {
	body := bytes.Repeat([]byte("x"), vitrine.MinPartSize+1)
	var mu sync.Mutex
	manifests := 0
	var stored http.Header
	s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.Method == http.MethodPut && r.URL.Query().Get("multipart-manifest") == "put":
			if manifests++; manifests == 1 {
				stored = r.Header.Clone()
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(400) // as where a segment can't be looked at
		case r.Method == http.MethodPut:
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(201)
		case r.Method == http.MethodHead && stored == nil:
			w.WriteHeader(404)
		case r.Method == http.MethodHead:
			for _, name := range []string{metaSHA256, metaSegments, "ETag"} {
				w.Header().Set(name, stored.Get(name))
			}
			w.Header().Set("X-Static-Large-Object", "true")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Header().Set("X-Timestamp", "1795372838.96356")
		default:
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
	})
	s.idle, s.work = 5*time.Second, 5*time.Second
	if err := create(t.Context(), s, string(body)); err != nil || manifests != 2 {
		t.Errorf("Create: %v, with %d manifests", err, manifests)
	}
}

// An object without our metadata, copied by another tool, is read to compare it.
func TestSwiftComparesByReading(t *testing.T) {
	for body, want := range map[string]error{"hello": nil, "HELLO": fs.ErrExist} {
		s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.WriteHeader(412)
				return
			}
			w.Header().Set("X-Timestamp", "1795372838.96356")
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		})
		if err := create(t.Context(), s, "hello"); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s is there: %v, want %v", body, err, want)
		}
	}
}

// A part that is streamed is sent again only where it can be read again, and its
// own failures are not the store's.
func TestSwiftStreamedPart(t *testing.T) {
	body := bytes.Repeat([]byte("x"), partInMemory+1)
	part := vitrine.NewPart(1, body)
	for _, test := range []struct {
		name string
		body io.Reader
		puts int64
		want error
	}{
		{"a seeker", bytes.NewReader(body), 2, nil},
		{"not a seeker", io.MultiReader(bytes.NewReader(body)), 1, ErrUnavailable},
		{"other bytes", io.MultiReader(bytes.NewReader(body[1:])), 1, ErrIntegrity},
	} {
		t.Run(test.name, func(t *testing.T) {
			var puts atomic.Int64
			s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
				puts.Add(1)
				if _, err := io.Copy(io.Discard, r.Body); err == nil && puts.Load() == 1 {
					w.WriteHeader(503)
				}
			})
			err := s.PutPart(t.Context(), swiftKey, part, test.body)
			if !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Errorf("PutPart: %v, want %v", err, test.want)
			}
			if puts.Load() != test.puts {
				t.Errorf("%d requests, want %d", puts.Load(), test.puts)
			}
		})
	}
}

// An answer that comes before the end of a body leaves that to the next try alone.
func TestSwiftEarlyAnswer(t *testing.T) {
	body := bytes.Repeat([]byte("x"), partInMemory+1)
	var puts atomic.Int64
	s := badSwift(t, func(w http.ResponseWriter, r *http.Request) {
		if puts.Add(1) <= 3 {
			io.CopyN(io.Discard, r.Body, 1<<20)
			w.WriteHeader(503)
			w.(http.Flusher).Flush()
			time.Sleep(3 * time.Millisecond)
			return
		}
		io.Copy(io.Discard, r.Body)
	})
	s.idle = 5 * time.Second
	if err := s.PutPart(t.Context(), swiftKey, vitrine.NewPart(1, body), bytes.NewReader(body)); err != nil {
		t.Errorf("PutPart: %v, after %d requests", err, puts.Load())
	}
}

// T-OPS-1: whatever fails, no key, token or signature is in the error.
func TestSwiftErrorsHaveNoSecrets(t *testing.T) {
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
			fmt.Fprint(w, r.Header, r.URL) // as some proxies do
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"400": echo(400), "401": echo(401), "403": echo(403), "409": echo(409), "500": echo(500), "302": echo(302),
		"broken off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"stalled": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // the server does not see else that we go
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := badSwift(t, handler)
			s.idle, s.work = 10*time.Millisecond, 10*time.Millisecond
			t.Setenv("OS_TEMP_URL_KEY", "CANARY-temp")
			ctx := t.Context()
			part := vitrine.NewPart(1, []byte("x"))
			_, statErr := s.Stat(ctx, swiftKey)
			_, openErr := s.Open(ctx, swiftKey)
			_, partsErr := s.Parts(ctx, swiftKey)
			errs := []error{
				statErr, openErr, partsErr, create(ctx, s, "x"), s.Delete(ctx, swiftKey), s.Abort(ctx, swiftKey),
				s.PutPart(ctx, swiftKey, part, strings.NewReader("x")),
				s.Complete(ctx, swiftKey, []vitrine.Part{part}, CreateOptions{Size: 1}), s.Expire(ctx, swiftKey, time.Time{}),
			}
			for _, err := range s.List(ctx, "") {
				errs = append(errs, err)
			}
			for i, err := range errs {
				if err == nil {
					t.Errorf("call %d succeeded", i)
				} else if text := fmt.Sprintf("%v %+v %q", err, err, err); strings.Contains(text, "CANARY") || strings.Contains(text, "temp_url") || strings.Contains(text, "AUTH_test") {
					t.Errorf("call %d: %s", i, text)
				}
			}
		})
	}
}
