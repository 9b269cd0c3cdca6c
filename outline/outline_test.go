package outline

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		line string
		kind Kind
		name string
	}{
		// Ansible.
		{"PLAY [Deploy codesearch] ***********", Play, "Deploy codesearch"},
		{"TASK [role : Do [it] now] ****", Task, "role : Do [it] now"},
		{"RUNNING HANDLER [Restart sshd] ****", Task, "Restart sshd"},
		{"TASK [" + strings.Repeat("x", 600) + "] ***", Task, strings.Repeat("x", 255)},
		{"PLAY RECAP *****", Recap, ""},
		{"web01.example.org       : ok=10   changed=8    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0   ", Recap, "web01.example.org"},
		{"\x1b[0;33mweb01\x1b[0m   : \x1b[0;32mok=16  \x1b[0m \x1b[0;33mchanged=6   \x1b[0m unreachable=0    failed=0    skipped=0", Recap, "web01"},
		{`fatal: [web01]: FAILED! => {"changed": false}`, Failed, "web01"},
		{`fatal: [web01 -> bridge]: FAILED! => {"changed": false}`, Failed, "web01"},
		{`fatal: [web01]: UNREACHABLE! => {"changed": false}`, Failed, "web01"},
		{`failed: [web01] (item=a]b) => {"msg": "no"}`, Failed, "web01"},
		{"\x1b[0;31mfatal: [web01]: FAILED! => {}\x1b[0m", Failed, "web01"},
		{"2026-11-22 02:11:09.123456 | TASK [Deploy]", Task, "Deploy"},
		{"2026-11-22 02:11:09.123456 | controller | ERROR", Failed, "controller"},
		{"2026-11-22 02:11:09.123456 | controller | ERROR: no space", Error, ""},
		{"[WARNING]: Could not match", Warning, ""},
		{"[DEPRECATION WARNING]: old", Warning, ""},
		{"\x1b[1;35m[WARNING]: Invalid characters\x1b[0m", Warning, ""},
		{"ERROR! the playbook could not be found", Error, ""},
		{"FAILED - RETRYING: [web01]: Wait (3 retries left).", Plain, ""},
		{"TASKS [x]", Plain, ""},
		{"PLAY [x] and then", Plain, ""},
		{"ok: [web01]", Plain, ""},

		// Groups.
		{"::group::Build it", Group, "Build it"},
		{"::endgroup::", GroupEnd, ""},
		{"2026-11-22T02:11:09.1234567Z ##[group]Run make", Group, "Run make"},
		{"##[endgroup]", GroupEnd, ""},
		{"section_start:1560896352:build[collapsed=true]\r\x1b[0KBuild it", Group, "Build it"},
		{"\x1b[0Ksection_start:1560896352:build\r\x1b[0K", Group, "build"},
		{"2026-11-22T02:11:09.123456Z 00O section_start:1560896352:build\r\x1b[0K", Group, "build"},
		{"section_end:1560896353:build\r\x1b[0K", GroupEnd, ""},
		{"the section_start:1560896352:x mark", Plain, ""},
		{"section_start:now:x", Plain, ""},
		{"--- :hammer: Build", Heading, ":hammer: Build"},
		{"\x1b_bk;t=1732241469\x07--- Running tests", Heading, "Running tests"},
		{"+++ :test_tube: Test", Heading, ":test_tube: Test"},
		{"~~~ Preparing working directory", Heading, "Preparing working directory"},
		{"--- Expected", Plain, ""}, {"+++ Actual", Plain, ""}, {"--- want", Plain, ""}, {"+++ got", Plain, ""},
		{"--- Expected results", Heading, "Expected results"},
		{"--- a/main.go", Plain, ""},
		{"+++ b/main.go", Plain, ""},
		{"--- /dev/null", Plain, ""},
		{"--- before: /etc/passwd", Plain, ""},
		{"+++ after", Plain, ""},
		{"--- main.c\t2026-11-22 02:11:09", Plain, ""},
		{"--- main.c", Plain, ""},
		{"+++ dirname x y", Plain, ""},
		{"+++ PATH=/bin make", Plain, ""},
		{"--- PASS: TestX (0.00s)", Plain, ""},
		{"--- FAIL: TestX (0.00s)", Error, ""},
		{"---", Plain, ""}, {"--- ", Plain, ""}, {"----- x", Plain, ""},

		// Errors and warnings.
		{"::error file=a.go,line=3::undefined: x", Error, ""},
		{"::warning::careful", Warning, ""},
		{"##[error]Process completed with exit code 1.", Error, ""},
		{"##[warning]old", Warning, ""},
		{"ERROR: Job failed: exit code 1", Error, ""},
		{"ERROR", Error, ""},
		{"[ERROR] Failed to execute goal", Error, ""},
		{"FATAL: role does not exist", Error, ""},
		{"2026-11-22 02:11:09,123 - app.db - ERROR - no connection", Error, ""},
		{"2026-11-22T02:11:09Z WARN slow", Warning, ""},
		{"[2026-11-22 02:11:09] CRITICAL: x", Error, ""},
		{"error: failed to push some refs", Error, ""},
		{"fatal: not a git repository", Error, ""},
		{"Error: no such file", Error, ""},
		{"error[E0382]: use of moved value", Error, ""},
		{"main.c:12:3: error: expected ';'", Error, ""},
		{"main.c:12:3: fatal error: x.h: No such file", Error, ""},
		{"main.c:12:3: warning: unused", Warning, ""},
		{"a.ts(3,4): error TS2322: Type", Error, ""},
		{"collect2: error: ld returned 1 exit status", Error, ""},
		{"make: *** [Makefile:3: all] Error 2", Error, ""},
		{"make[1]: *** [all] Error 2", Error, ""},
		{"Traceback (most recent call last):", Error, ""},
		{"ValueError: bad", Error, ""},
		{"requests.exceptions.ConnectionError: refused", Error, ""},
		{"java.lang.IllegalStateException: x", Error, ""},
		{"/x/y.py:12: DeprecationWarning: old", Warning, ""},
		{"panic: runtime error: index out of range", Error, ""},
		{"fatal error: all goroutines are asleep - deadlock!", Error, ""},
		{"FAIL\tvitrine/crypto\t0.1s", Error, ""},
		{"FAILED tests/test_x.py::test_y - assert 1 == 2", Error, ""},
		{"npm ERR! code ELIFECYCLE", Error, ""},
		{"npm warn deprecated x", Warning, ""},
		{"E: Unable to locate package x", Error, ""},
		{"W: GPG error", Warning, ""},
		{"exit status 2", Error, ""},
		{"\U0001f6a8 Error: The command exited with status 1", Error, ""},
		{"time=2026-11-22T02:11:09Z level=error msg=x", Error, ""},
		{`{"level":"warn","msg":"x"}`, Warning, ""},
		{`{"time":"x","level": "error"}`, Error, ""},
		{"E1122 02:11:09.123456   12 main.go:3] x", Error, ""},
		{"10%\r50%\rERROR: no space left", Error, ""},
		{"WARNING: x\r", Warning, ""},

		// None.
		{"", Plain, ""}, {" ", Plain, ""}, {"\r", Plain, ""}, {"\x1b", Plain, ""}, {"\x1b[", Plain, ""},
		{"0 errors, 0 warnings", Plain, ""},
		{"no error", Plain, ""},
		{"error_detail: x", Plain, ""},
		{"error: null", Plain, ""},
		{"error:", Plain, ""},
		{"  error: in a field", Plain, ""},
		{"errors: 3", Plain, ""},
		{"ERRORS: 0", Plain, ""},
		{"WARNINGS", Plain, ""},
		{"exit status 0", Plain, ""},
		{"exit code", Plain, ""},
		{"2026-11-22 02:11:09 found no ERROR", Plain, ""},
		{"checking for error: no", Plain, ""},
		{`echo "x: error: y"`, Plain, ""},
		{"time/zoneinfo_read.go:568:24: &errors.errorString{...} escapes to heap", Plain, ""},
		{"ok  \tvitrine/crypto\t0.1s", Plain, ""},
		{"the loglevel=error", Plain, ""},
		{"level=info", Plain, ""},
		{"Errored: x", Plain, ""},
		{"E2E tests", Plain, ""},
	} {
		if got := Of([]byte(tt.line)); got.Kind != tt.kind || got.Name != tt.name {
			t.Errorf("%q: %q %q, want %q %q", tt.line, got.Kind, got.Name, tt.kind, tt.name)
		}
	}
}

func TestTimeOf(t *testing.T) {
	at := time.Date(2026, 11, 22, 2, 11, 9, 0, time.UTC)
	micros := at.Add(123456 * time.Microsecond)
	for line, want := range map[string]time.Time{
		"2026-11-22 02:11:09.123456 | TASK [x]": micros,
		"2026-11-22T02:11:09.123456Z x":         micros,
		"2026-11-22T04:11:09+02:00 x":           at,
		"2026-11-21 22:11:09 -0400 x":           at,
		"2026-11-22 02:11:09,123456 INFO x":     micros,
		"2026/11/22 02:11:09 x":                 at,
		"[2026-11-22 02:11:09] x":               at,
		"\x1b[32m2026-11-22 02:11:09\x1b[0m x":  at,
		"2026-11-22 02:11:09":                   at,
		"Sunday 22 November 2026  02:11:09 +0000 (0:00:00.029)       0:00:00.029 *****": at,
		"2026-11-22 02:11:09.12345678901234567890 x":                                    at.Add(123456789),
		"2026-02-30 02:11:09 x":                      {},
		"2026-13-22 02:11:09 x":                      {},
		"2026-11-22 24:11:09 x":                      {},
		"2026-11-22 02:11:09x":                       {},
		"[2026-11-22 02:11:09 x":                     {},
		"2026-11-22":                                 {},
		"02:11:09 x":                                 {},
		"Nov 22 02:11:09 host x":                     {},
		"11/22/2026 02:11:09 x":                      {},
		"Someday 22 November 2026  02:11:09 +0000 (": {},
		"x 2026-11-22 02:11:09":                      {},
		"":                                           {},
	} {
		if got := TimeOf([]byte(line)); !got.Equal(want) {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
		if got := Of([]byte(line)).Time; !got.Equal(want) {
			t.Errorf("Of %q: %v, want %v", line, got, want)
		}
	}
}

// A date is the one that package time makes of it, if there is such a day.
func TestDates(t *testing.T) {
	for _, year := range []int{1970, 1972, 1999, 2000, 2026, 2028, 2100, 9999} {
		for month := 1; month <= 12; month++ {
			for day := 1; day <= 31; day++ {
				want := time.Date(year, time.Month(month), day, 23, 59, 60, 5000, time.UTC)
				if time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() != day {
					want = time.Time{}
				}
				line := fmt.Sprintf("%d-%02d-%02d 23:59:60.000005 x", year, month, day)
				if got := TimeOf([]byte(line)); got != want {
					t.Errorf("%s: %s, want %s", line, got, want)
				}
			}
		}
	}
}

// TestRealLogs holds what real logs are told to be against what grep finds in them.
func TestRealLogs(t *testing.T) {
	for file, want := range map[string]string{
		"base-success.log":       "play 3 task 16 failed 3 error 0 warning 2 recap 5 group 0",
		"codesearch-success.log": "play 2 task 17 failed 1 error 0 warning 1 recap 2 group 0",
		"codesearch-failure.log": "play 2 task 19 failed 2 error 0 warning 1 recap 2 group 0",
		"codesearch-colour.log":  "play 2 task 17 failed 0 error 0 warning 1 recap 2 group 0",
		"codesearch-verbose.log": "play 2 task 15 failed 0 error 0 warning 1 recap 2 group 0",
		"gitea-failure.log":      "play 1 task 10 failed 1 error 0 warning 1 recap 2 group 0",
	} {
		text, err := os.ReadFile("../testdata/logs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, prefix := range []string{"", "2026-11-22 02:11:09.123456 | ", "2026-11-22 02:11:09.123456 | bridge | ", "\x1b[0m"} {
			counts := make(map[Kind]int)
			for line := range bytes.Lines(text) {
				counts[Of(append([]byte(prefix), line...)).Kind]++
			}
			got := ""
			for _, k := range []Kind{Play, Task, Failed, Error, Warning, Recap, Group} {
				got += fmt.Sprintf(" %s %d", k, counts[k])
			}
			if got[1:] != want {
				t.Errorf("%s with %q: %s, want %s", file, prefix, got[1:], want)
			}
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c": "abc",
		"a\x1b]0;never end":                         "a0;never end",
		"a\x1b[31":                                  "a31",
		"a\u009b31mb\x9bc\x00d\x7f":                 "a31mb\uFFFDcd",
		"a\x1b(Bb\x1bc\x1b":                         "ab",
		"a\u202eb\u2066c":                           "abc",
		" \x1b[0mäöü ":                              "äö",
	} {
		if got := Text([]byte(in), 12); in[0] != ' ' && got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Text([]byte(" \x1b[0mäöü "), 5); got != "äö" {
		t.Errorf("cut in a rune: %q", got)
	}
}

func FuzzOf(f *testing.F) {
	for _, s := range []string{
		"2026-11-22 02:11:09.123456 | TASK [x] ***", "\x1b[31mfatal: [a]: FAILED! =>\x1b[0m", "section_start:1:x[a]\r\x1b[0Ky",
		"a : ok=1 unreachable=0 failed=0", "--- FAIL: x", "x: *** y", `"level":"error"`, "Sunday 22 November 2026  02:11:09 +0000 (",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		l := Of(line)
		if !bytes.Equal(line, before) {
			t.Fatal("the line was changed")
		}
		if len(l.Name) > MaxName || !utf8.ValidString(l.Name) ||
			strings.ContainsFunc(l.Name, func(c rune) bool { return unicode.IsControl(c) && c != '\t' && c != '\n' }) {
			t.Fatalf("name %q", l.Name)
		}
	})
}

// Plain lines, which most are, cost no memory.
func TestNoAllocation(t *testing.T) {
	for _, line := range []string{
		"internal/abi/bounds.go:110:9: \"BoundsDecode decoding error\" escapes to heap",
		"2026-11-22 02:11:09.123456 | ok: [web01]", "\x1b[0;32mok: [web01]\x1b[0m", "ERROR: x",
	} {
		b := []byte(line)
		if n := testing.AllocsPerRun(100, func() { Of(b) }); n > 0 {
			t.Errorf("%q: %v allocations", line, n)
		}
	}
}

func BenchmarkOf(b *testing.B) {
	for _, file := range []string{"codesearch-verbose.log", "codesearch-colour.log", "base-success.log"} {
		text, err := os.ReadFile("../testdata/logs/" + file)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(file, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for line := range bytes.Lines(text) {
					Of(line)
				}
			}
		})
	}
}
