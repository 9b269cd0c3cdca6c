package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// runAsVitrine makes the test binary the command itself, for tests that need
// its process.
const runAsVitrine = "VITRINE_TEST_RUN"

// raceExitsAtOnce is GORACE for the commands that tests run: by default each
// process under the race detector waits a second before it ends.
const raceExitsAtOnce = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if os.Getenv(runAsVitrine) != "" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"vitrine": main})
}

// TestScripts runs the command's journeys: each a real server, a real keyring in
// git, and the real command.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("../../testdata/script/*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d scripts, error %v", len(files), err)
	}
	if signal.Ignored(syscall.SIGHUP) { // under nohup; what is started would ignore it too
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGHUP)
		t.Cleanup(func() { signal.Stop(signals) }) // when all scripts, which run side by side, have ended
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		Setup:               setupScript,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":    scriptServe,
			"kill9":    scriptKill,
			"exitcode": scriptExitCode,
			"noplain":  scriptNoPlain,
			"tamper":   scriptTamper,
			"fetch":    scriptFetch,
			"zuul":     scriptZuul,
			"await":    scriptAwait,
			"look":     scriptLook,
			"count":    scriptCount,
			"requests": scriptRequests,
		},
	})
}

// setupScript gives every script the demo's keyring and keys: KEYRING, ALICE (an
// age identity, reads both services), BOB (an SSH key, reads codesearch alone),
// and BRIDGE (the publisher's SSH key).
func setupScript(e *testscript.Env) error {
	e.Values[countedKey{}] = new(counted)
	place := filepath.Join(e.WorkDir, "demo")
	keys, err := makeDemoKeyring(place)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"HOME":            e.WorkDir,
		"XDG_CACHE_HOME":  filepath.Join(e.WorkDir, ".cache"),
		"XDG_STATE_HOME":  filepath.Join(e.WorkDir, ".state"),
		"XDG_CONFIG_HOME": filepath.Join(e.WorkDir, ".config"),
		"KEYRING":         keys.keyring,
		"ALICE":           keys.alice,
		"BOB":             keys.bob,
		"BRIDGE":          keys.bridge,
		"LOGS":            absolute("../../testdata/logs"),
		"SCREENSHOTS":     absolute("../../testdata/screenshots"),
		"VITRINE_TENANT":  "demo",
		"VITRINE_KEYRING": keys.keyring,
		"VITRINE_KEY":     keys.bridge,
		"GORACE":          raceExitsAtOnce,
	} {
		e.Setenv(name, value)
	}
	return nil
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return abs
}

// serve [ARG…] starts `vitrine serve` on a free port with its data in $WORK/data,
// waits until it is ready, and sets VITRINE_SERVER. Used again, it starts the
// server anew on the same port.
func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	address := strings.TrimPrefix(ts.Getenv("VITRINE_SERVER"), "http://")
	if address == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		address = l.Addr().String()
		l.Close()
	}
	// testscript put the command first in the PATH.
	vitrine := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "vitrine")
	cmd := exec.Command(vitrine, append([]string{"serve", "--listen", address, "--data", ts.MkAbs("data")}, args...)...)
	cmd.Env = append(os.Environ(), "VITRINE_TENANT=demo", "VITRINE_KEYRING="+ts.Getenv("KEYRING"),
		"HOME="+ts.Getenv("HOME"), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"), "GORACE="+raceExitsAtOnce)
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	defer log.Close()
	cmd.Stderr, cmd.Stdout = log, log
	ts.Check(cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	ts.Defer(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-exited
		}
	})
	ts.Setenv("VITRINE_SERVER", "http://"+address)
	ts.Setenv("SERVER_PID", fmt.Sprint(cmd.Process.Pid))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the server is not ready: %v\n%s", err, ts.ReadFile("server.log"))
		}
	}
}

// kill9 kills the server as a crash would.
func scriptKill(ts *testscript.TestScript, neg bool, args []string) {
	var pid int
	fmt.Sscan(ts.Getenv("SERVER_PID"), &pid)
	p, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(p.Kill())
	for range 500 {
		resp, err := http.Get(ts.Getenv("VITRINE_SERVER") + "/healthz")
		if err != nil {
			return
		}
		resp.Body.Close()
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("the server still answers")
}

// exitcode N COMMAND… runs a command and wants it to end with N.
func scriptExitCode(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exitcode N command…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// noplain CANARY FILE… fails if the text is in one of the files or folders, as
// it is, in hex or in base64.
func scriptNoPlain(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args[0]) < 12 {
		ts.Fatalf("usage: noplain TEXT FILE…, with a text of 12 bytes or more")
	}
	forms := []string{args[0], hex.EncodeToString([]byte(args[0]))}
	for shift := range 3 { // what comes before it decides between three forms
		coded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + args[0]))
		forms = append(forms, coded[4:len(coded)-4]) // the ends depend on their neighbours
	}
	for _, place := range args[1:] {
		err := filepath.WalkDir(ts.MkAbs(place), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			for _, form := range forms {
				if strings.Contains(string(text), form) {
					return fmt.Errorf("%s holds %q", path, form)
				}
			}
			return err
		})
		ts.Check(err)
	}
}

// tamper FILE OFFSET|cut|add: flips a bit at the offset, cuts the last byte, or
// adds one.
func scriptTamper(ts *testscript.TestScript, neg bool, args []string) {
	matches, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(matches) != 1 {
		ts.Fatalf("%s: %d files, want one", args[0], len(matches))
	}
	text, err := os.ReadFile(matches[0])
	ts.Check(err)
	switch args[1] {
	case "cut":
		text = text[:len(text)-1]
		text[len(text)-1] ^= 1 // what is added later must not mend it
	case "add":
		text = append(text, 'x')
	default:
		var at int
		if n, _ := fmt.Sscan(args[1], &at); n != 1 || at >= len(text) {
			ts.Fatalf("offset %s of %d bytes", args[1], len(text))
		}
		text[at] ^= 1
	}
	ts.Check(os.Chmod(matches[0], 0o644))
	ts.Check(os.WriteFile(matches[0], text, 0o644))
}

// await FILE waits until a file is there.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	for range 6000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s does not come", args[0])
}

// count has what goes to the server counted from here on.
func scriptCount(ts *testscript.TestScript, neg bool, args []string) {
	target, err := url.Parse(ts.Getenv("VITRINE_SERVER"))
	ts.Check(err)
	counted := ts.Value(countedKey{}).(*counted)
	forward := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted.mu.Lock()
		_, path, _ := strings.Cut(r.URL.Path, "/builds/")
		counted.requests = append(counted.requests, path+" "+r.Header.Get("Range")+"\n")
		counted.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	ts.Defer(proxy.Close)
	ts.Setenv("VITRINE_SERVER", proxy.URL)
}

// requests FILE writes what was asked for since the last time, in its order.
func scriptRequests(ts *testscript.TestScript, neg bool, args []string) {
	counted := ts.Value(countedKey{}).(*counted)
	counted.mu.Lock()
	defer counted.mu.Unlock()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(counted.requests, "")), 0o644))
	counted.requests = nil
}

type countedKey struct{}

type counted struct {
	mu       sync.Mutex
	requests []string
}

// fetch PATH FILE writes what the server answers to a GET of PATH, its status
// first, into FILE.
func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.Getenv("VITRINE_SERVER")+args[0], nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append([]byte(resp.Status+"\n"), body...), 0o644))
}
