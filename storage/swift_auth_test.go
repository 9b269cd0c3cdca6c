package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A fakeKeystone takes what a test expects, and has a catalog of two regions.
func fakeKeystone(t *testing.T, want string) *httptest.Server {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v3/auth/tokens" && r.Method == http.MethodPost:
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if string(b) != want {
				t.Errorf("asked for a token with\n%s\nwant\n%s", b, want)
			}
			w.Header().Set("X-Subject-Token", "CANARY-token")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"token":{"expires_at":%q,"catalog":[{"type":"identity","endpoints":[]},{"type":"object-store","endpoints":[
				{"region":"one","interface":"public","url":"%[2]s/one/v1/AUTH_x"},
				{"region":"two","interface":"internal","url":"%[2]s/two/v1/AUTH_x"}]}]}}`,
				time.Now().Add(time.Hour).Format(time.RFC3339), server.URL)
		case (r.URL.Path == "/one/v1/AUTH_x/c" || r.URL.Path == "/two/v1/AUTH_x/c") && r.Header.Get("X-Auth-Token") == "CANARY-token":
			w.WriteHeader(http.StatusNoContent)
		default:
			t.Errorf("%s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestSwiftKeystone(t *testing.T) {
	const (
		byName  = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"id":"default"},"name":"alice","password":"CANARY-pw"}}},"scope":{"project":{"name":"logs","domain":{"id":"default"}}}}}`
		byID    = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"a1","password":"CANARY-pw"}}},"scope":{"project":{"id":"p1"}}}}`
		domains = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"people"},"name":"alice","password":"CANARY-pw"}}},"scope":{"project":{"name":"logs","domain":{"name":"projects"}}}}}`
		appID   = `{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"c1","secret":"CANARY-secret","user":{}}}}}`
		appName = `{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"name":"logs","secret":"CANARY-secret","user":{"domain":{"id":"default"},"name":"alice"}}}}}`
	)
	for _, test := range []struct {
		name, want, path string
		env              map[string]string
	}{
		{"a password, by names", byName, "", map[string]string{"OS_USERNAME": "alice", "OS_PASSWORD": "CANARY-pw", "OS_PROJECT_NAME": "logs"}},
		{"a URL that ends in /v3/", byName, "/v3/", map[string]string{"OS_USERNAME": "alice", "OS_PASSWORD": "CANARY-pw", "OS_TENANT_NAME": "logs", "OS_REGION_NAME": "one"}},
		{"a password, by ids", byID, "/v3", map[string]string{"OS_USER_ID": "a1", "OS_PASSWORD": "CANARY-pw", "OS_PROJECT_ID": "p1"}},
		{"a password, with domains", domains, "/v3", map[string]string{"OS_USERNAME": "alice", "OS_PASSWORD": "CANARY-pw", "OS_PROJECT_NAME": "logs", "OS_USER_DOMAIN_NAME": "people", "OS_PROJECT_DOMAIN_NAME": "projects"}},
		{"another region and interface", byID, "/v3", map[string]string{"OS_USER_ID": "a1", "OS_PASSWORD": "CANARY-pw", "OS_PROJECT_ID": "p1", "OS_REGION_NAME": "two", "OS_INTERFACE": "internalURL"}},
		{"an application credential", appID, "/v3", map[string]string{"OS_AUTH_TYPE": "v3applicationcredential", "OS_APPLICATION_CREDENTIAL_ID": "c1", "OS_APPLICATION_CREDENTIAL_SECRET": "CANARY-secret"}},
		{"an application credential by name", appName, "/v3", map[string]string{"OS_USERNAME": "alice", "OS_APPLICATION_CREDENTIAL_NAME": "logs", "OS_APPLICATION_CREDENTIAL_SECRET": "CANARY-secret"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := fakeKeystone(t, test.want)
			noOpenStack(t)
			t.Setenv("OS_AUTH_URL", server.URL+test.path)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if _, err := OpenBucket(t.Context(), "swift://c"); err != nil {
				t.Error(err)
			}
		})
	}

	server := fakeKeystone(t, byID)
	noOpenStack(t)
	t.Setenv("OS_AUTH_URL", server.URL+"/v3")
	t.Setenv("OS_USER_ID", "a1")
	t.Setenv("OS_PASSWORD", "CANARY-pw")
	t.Setenv("OS_PROJECT_ID", "p1")
	t.Setenv("OS_REGION_NAME", "three")
	if _, err := OpenBucket(t.Context(), "swift://c"); err == nil || !strings.Contains(err.Error(), "region") {
		t.Errorf("a region that is not there: %v", err)
	}
}

func TestSwiftRefusedLogins(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"not a URL":          {map[string]string{"OS_AUTH_URL": "keystone:5000"}, "not an http(s) URL"},
		"no project":         {map[string]string{"OS_AUTH_URL": "https://k/v3", "OS_USERNAME": "a", "OS_PASSWORD": "CANARY"}, "a project"},
		"no password":        {map[string]string{"OS_AUTH_URL": "https://k/v3", "OS_USERNAME": "a", "OS_PROJECT_NAME": "p"}, "a password"},
		"Keystone v2":        {map[string]string{"OS_AUTH_URL": "https://k/v2.0", "OS_USERNAME": "a", "OS_PASSWORD": "CANARY"}, "v2.0 is not supported"},
		"v1 without a key":   {map[string]string{"OS_AUTH_URL": "https://k/auth/v1.0", "OS_USERNAME": "a"}, "v1 auth"},
		"an unknown kind":    {map[string]string{"OS_AUTH_URL": "https://k/v3", "OS_AUTH_TYPE": "v3kerberos"}, "v3kerberos"},
		"no secret":          {map[string]string{"OS_AUTH_URL": "https://k/v3", "OS_AUTH_TYPE": "v3applicationcredential", "OS_APPLICATION_CREDENTIAL_ID": "c"}, "application_credential_secret"},
		"an interface":       {map[string]string{"OS_AUTH_URL": "https://k/v3", "OS_INTERFACE": "secret"}, "interface"},
		"no authority there": {map[string]string{"OS_AUTH_URL": "https://k/v3", "OS_USERNAME": "a", "OS_PASSWORD": "CANARY", "OS_PROJECT_NAME": "p", "OS_CACERT": "/nonexistent"}, "cacert"},
	} {
		noOpenStack(t)
		for name, value := range test.env {
			t.Setenv(name, value)
		}
		if _, err := OpenBucket(t.Context(), "swift://c"); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}

	// What a server may answer to a login.
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"wrong key": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, "does not take the credentials"},
		"sent elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "redirected"},
		"an endless text": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403); w.Write(make([]byte, 2*maxCatalog)) }, "403"},
		"nothing of use":  {func(w http.ResponseWriter, r *http.Request) {}, "no object store"},
		"a strange answer": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Storage-Url", "file:///etc")
			w.Header().Set("X-Auth-Token", "x")
		}, "is not one"},
	} {
		server := httptest.NewServer(test.handler)
		noOpenStack(t)
		t.Setenv("ST_AUTH", server.URL+"/auth/v1.0")
		t.Setenv("ST_USER", "user")
		t.Setenv("ST_KEY", "CANARY")
		_, err := OpenBucket(t.Context(), "swift://c")
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		server.Close()
	}
}

// A token that ends in the middle is asked for once, however many calls see it.
func TestSwiftTokenEnds(t *testing.T) {
	var logins, refused atomic.Int64
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth/v1.0" {
			w.Header().Set("X-Storage-Url", server.URL+"/v1/AUTH_test")
			w.Header().Set("X-Auth-Token", fmt.Sprint("token", logins.Add(1)))
			return
		}
		if logins.Load() == 1 && r.URL.Path != "/v1/AUTH_test/c" {
			refused.Add(1)
		}
		if r.Header.Get("X-Auth-Token") == "token1" && r.URL.Path != "/v1/AUTH_test/c" {
			w.WriteHeader(401)
			return
		}
		w.Header().Set("X-Timestamp", "1795372838.96356")
		w.Header().Set("Content-Length", "0")
	}))
	t.Cleanup(server.Close)
	noOpenStack(t)
	t.Setenv("OS_AUTH_URL", server.URL+"/auth/v1.0")
	t.Setenv("OS_USERNAME", "user")
	t.Setenv("OS_PASSWORD", "key")
	b, err := OpenBucket(t.Context(), "swift://c")
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			_, err := b.Stat(t.Context(), swiftKey)
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if logins.Load() != 2 || refused.Load() == 0 {
		t.Errorf("%d logins, %d refused", logins.Load(), refused.Load())
	}
}

func TestSwiftClouds(t *testing.T) {
	const clouds = `# OpenStack's own
cache: {expiration_time: 3600}
defaults: &defaults
  region_name: one
clouds:
  here:
    <<: *defaults
    auth:
      auth_url: https://keystone.example.org/v3
      application_credential_id: c1
    auth_type: v3applicationcredential
    volume_api_version: 3
  vendor:
    profile: vexxhost
    auth: {username: x}
  insecure:
    verify: false
    auth: {auth_url: "https://k/v3", username: a, password: CANARY, project_name: p}
  broken:
    auth: [CANARY]
`
	dir := t.TempDir()
	t.Chdir(dir)
	noOpenStack(t)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantError := func(cloud, want string) {
		t.Helper()
		login, err := findSwiftLogin(cloud)
		if err == nil {
			_, _, err = login.session()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("cloud %q: %v, want %q", cloud, err, want)
		}
	}
	wantError("here", "no clouds.yaml is found")
	write("config/openstack/clouds.yaml", clouds)
	wantError("here", "application_credential_secret")
	write("config/openstack/secure.yaml", "clouds: {here: {auth: {application_credential_secret: CANARY-secret}}, other: {}}\n")
	t.Setenv("OS_CLOUD", "here")
	t.Setenv("OS_PASSWORD", "of another cloud")
	login, err := findSwiftLogin("")
	if err != nil {
		t.Fatal(err)
	}
	if login.Region != "one" || login.Auth.CredentialID != "c1" || login.Auth.CredentialSecret != "CANARY-secret" || login.Auth.Password != "" {
		t.Errorf("%+v", login)
	}
	conn, err := login.connection()
	if err != nil || conn.AuthUrl != "https://keystone.example.org/v3" || conn.ApplicationCredentialSecret != "CANARY-secret" {
		t.Errorf("%v", err)
	}
	if _, err := findSwiftLogin("nowhere"); !errors.Is(err, errNoCloud) {
		t.Errorf("a cloud that is not there: %v", err)
	}
	wantError("nowhere", `cloud "nowhere": no such cloud`)
	wantError("vendor", "write its auth_url")
	wantError("insecure", "cacert")
	wantError("broken", "not of the kind")
	write("elsewhere.yaml", "clouds: {a: {auth: {auth_url: 'https://k/v3', username: a, password: b, project_name: c}}}")
	t.Setenv("OS_CLIENT_CONFIG_FILE", "elsewhere.yaml")
	if login, err := findSwiftLogin("a"); err != nil || login.Auth.Username != "a" {
		t.Errorf("OS_CLIENT_CONFIG_FILE: %+v, %v", login, err)
	}
	write("elsewhere.yaml", "clouds: {a: {auth: {password: CANARY")
	wantError("a", "not YAML")
	write("elsewhere.yaml", strings.Repeat("# CANARY\n", maxCloudsFile/9+1))
	wantError("a", "more than")
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x]\n")
	for i := range 30 {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	write("elsewhere.yaml", bomb.String()+"clouds: {a: *a30}\n")
	wantError("a", "")
	// A file in this directory is the first.
	t.Setenv("OS_CLIENT_CONFIG_FILE", "")
	write("clouds.yaml", "clouds: {here: {auth: {auth_url: 'https://first/v3'}}}")
	if login, err := findSwiftLogin("here"); err != nil || login.Auth.AuthURL != "https://first/v3" {
		t.Errorf("%+v, %v", login, err)
	}
}

func FuzzSwiftClouds(f *testing.F) {
	f.Add([]byte("clouds: {a: {auth: {auth_url: 'https://k/v3', username: a, password: b, project_name: c}, region_name: x}}"))
	f.Add([]byte("clouds:\n  a: &x\n    auth: {auth_url: 'http://k/v1.0', user: a, key: b}\n    <<: *x\n"))
	f.Add([]byte("clouds: [a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		login := new(swiftLogin)
		if err := parseCloud(b, "a", login); err != nil {
			return
		}
		conn, err := login.connection()
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.ToLower(conn.AuthUrl), "http") || conn.AuthVersion != 1 && conn.AuthVersion != 3 {
			t.Errorf("%q: version %d", conn.AuthUrl, conn.AuthVersion)
		}
		if conn.ApiKey == "" && conn.ApplicationCredentialSecret == "" {
			t.Error("credentials without a secret")
		}
	})
}

func FuzzSwiftListing(f *testing.F) {
	f.Add([]byte(`[{"name":"p/x","bytes":5,"last_modified":"2026-11-22T18:40:38.963560"},{"subdir":"p/y/"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var items []swiftItem
		if json.Unmarshal(b, &items) != nil {
			return
		}
		for _, item := range items {
			if o, err := item.object("x"); err == nil && (o.Size < 0 || o.ModTime.IsZero() && !strings.HasPrefix(item.LastModified, "0001")) {
				t.Errorf("%+v", o)
			}
			if _, number, ok := parseUpload(item.Name); ok && number < 1 {
				t.Errorf("%q has number %d", item.Name, number)
			}
			if folder, ok := parseSegment(item.Name); ok && checkKey(folder.key) != nil {
				t.Errorf("%q has key %q", item.Name, folder.key)
			}
		}
	})
}
