package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A crashingServer is a real server behind a proxy that kills it, as kill -9
// does, at one of the requests that it passes on, and then starts it anew.
type crashingServer struct {
	t       *testing.T
	keys    demoKeys
	dir     string
	address string // of the server itself
	process *exec.Cmd

	mu    sync.Mutex
	seen  int
	at    int  // kill at this request; 0: never
	after bool // when it was answered, not before it is passed on
}

func vitrineCommand(dir string, keys demoKeys, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAsVitrine+"=1", "HOME="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "VITRINE_TENANT=demo", "VITRINE_KEYRING="+keys.keyring, "VITRINE_KEY="+keys.bridge, "GORACE="+raceExitsAtOnce)
	return cmd
}

func (s *crashingServer) start() {
	s.t.Helper()
	s.process = vitrineCommand(s.dir, s.keys, "serve", "--listen", s.address, "--data", filepath.Join(s.dir, "data"))
	var log bytes.Buffer
	s.process.Stderr = &log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + s.address + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("server not ready: %v\n%s", err, log.String())
		}
	}
}

func (s *crashingServer) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

func (s *crashingServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// ServeHTTP passes a request on, or lets the server crash before or after it.
func (s *crashingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	target := &url.URL{Scheme: "http", Host: s.address}
	crash := s.seen == s.at
	if crash && !s.after {
		s.kill()
	} else {
		out := w
		if crash {
			out = httptest.NewRecorder() // the answer is lost with the server
		}
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(out, r)
		if !crash {
			return
		}
		s.kill()
	}
	s.start()
	panic(http.ErrAbortHandler) // the runner sees its connection break
}

// The server is killed before and after each request of a publish. Whatever the
// runner was told, after a resume the build is there, once and whole.
func TestKillAtEveryStep(t *testing.T) {
	place := t.TempDir()
	keys, err := makeDemoKeyring(place)
	if err != nil {
		t.Fatal(err)
	}
	logs := filepath.Join(place, "logs")
	for _, name := range []string{"one.log", "two.log"} {
		if err := writeNew(filepath.Join(logs, name), strings.Repeat(name+" says hello\n", 1000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const requests = 5 // begin, two artifacts, their summary, commit
	for at := 1; at <= requests; at++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("request %d, after %v", at, after), func(t *testing.T) {
				t.Parallel()
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				l.Close() // the server takes the port
				s := &crashingServer{t: t, keys: keys, dir: t.TempDir(), address: l.Addr().String(), at: at, after: after}
				s.start()
				proxy := httptest.NewServer(s)
				defer s.kill()
				defer proxy.Close() // first, so that nothing starts the server anew

				vitrine := func(args ...string) (string, error) {
					cmd := vitrineCommand(s.dir, keys, append(args, "--server", proxy.URL)...)
					out, err := cmd.CombinedOutput()
					return string(out), err
				}
				const uuid = "3f0c9a51d2e84f0b9d1c5a7e2b60aa91"
				out, err := vitrine("publish", "--retry-for", "0s", "--job", "infra-prod-service-codesearch", "--result", "SUCCESS", "--uuid", uuid, logs)
				// It may have been tried again in time; else it is kept and sent now.
				if err != nil && !strings.Contains(out, "publish --resume") {
					t.Fatalf("publish: %v\n%s", err, out)
				}
				if out, err := vitrine("publish", "--resume"); err != nil {
					t.Fatalf("resume: %v\n%s", err, out)
				}
				if n := s.requests(); n <= requests {
					t.Fatalf("%d requests, want more than %d: was it killed at all?", n, requests)
				}
				if out, err := vitrine("verify", uuid); err != nil || strings.Count(out, "ok    ") != 6 {
					t.Fatalf("verify: %v\n%s", err, out)
				}
				if out, err := vitrine("builds", "--json"); err != nil || strings.Count(out, `"uuid"`) != 1 || !strings.Contains(out, `"state":"finished"`) {
					t.Fatalf("builds: %v\n%s", err, out)
				}
				got := filepath.Join(s.dir, "got")
				if out, err := vitrine("get", uuid, "-i", keys.alice, "-o", got); err != nil {
					t.Fatalf("get: %v\n%s", err, out)
				}
				text, err := os.ReadFile(filepath.Join(got, "two.log"))
				if err != nil || string(text) != strings.Repeat("two.log says hello\n", 1000) {
					t.Fatalf("two.log has %d bytes, error %v", len(text), err)
				}
			})
		}
	}
}
