package vitrine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/test/allocs"
)

// golden is the record in testdata, as its text and as what it says.
func golden(t testing.TB) ([]byte, *vitrine.Record) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors/record/build.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := vitrine.ParseRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	return b, r
}

func startedOf(r *vitrine.Record) *vitrine.Record {
	s := *r
	s.Result, s.EndTime, s.Artifacts = "", time.Time{}, nil
	return &s
}

func TestGoldenRecord(t *testing.T) {
	b, r := golden(t)
	want := &vitrine.Record{
		Version: 1, Tenant: "opendev", Service: "codesearch", UUID: "3f0c2b7a9d8e4f10a1b2c3d4e5f60718",
		JobName: "infra-prod-service-codesearch", Result: vitrine.Success, Voting: true, Pipeline: "deploy",
		EventID: "9c1d7e52a0b94b6f8e3d2c1b0a998877", Buildset: "77c1d4e2f3a54b6c8d9e0f1a2b3c4d5e",
		Ref: vitrine.Ref{
			Project: "opendev/system-config", Branch: "master", Change: 894201, Patchset: "3", Ref: "refs/changes/01/894201/3",
			NewRev: "5b1f0c7e9a8d6c4b2e3f1a0d9c8b7a6f5e4d3c2b", RefURL: "https://review.example.org/c/opendev/system-config/+/894201",
		},
		StartTime:      time.Date(2026, 11, 22, 2, 11, 9, 0, time.UTC),
		EndTime:        time.Date(2026, 11, 22, 2, 14, 31, 0, time.UTC),
		Keyring:        vitrine.Keyring{Commit: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c", URL: "https://git.example.org/ops/config"},
		Readers:        []vitrine.Reader{{Name: "alice", Fingerprints: []string{"SHA256:7Zk1XQ0h5mYb3cUqv8jvN4a1pL2sR6tW9xE0yD3fG5s"}}},
		SkippedReaders: []vitrine.SkippedReader{{Name: "bob", Reason: "key expired 2026-10-01"}},
		Artifacts: []vitrine.Artifact{{
			Name: "Ansible log", Path: "service-codesearch.yaml.log.zst.age", Size: 48213, Sealed: true, MediaType: "text/plain",
			SHA256:    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			PlainSize: 611204, Lines: 8122, Metadata: map[string]string{"type": "ansible_log", "what": `größer < 3 & "so"`},
		}, {
			Name: "Search page", Path: "screenshots/search.png", Size: 48122, MediaType: "image/png", PlainSize: 48122,
			SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		}},
		Publisher: "bridge", Expires: time.Date(2027, 5, 21, 0, 0, 0, 0, time.UTC),
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("parsed\n%+v\nwant\n%+v", r, want)
	}
	again, err := want.Marshal()
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("marshalled, %v:\n%s", err, again)
	}
	if r.IsStarted() || !startedOf(r).IsStarted() {
		t.Error("IsStarted is wrong")
	}
	// What is nil in Go is still a list in JSON, and a build that began has no end.
	short := startedOf(r)
	short.Readers, short.SkippedReaders, short.Expires = nil, nil, time.Time{}
	again, err = short.Marshal()
	if err != nil || bytes.Contains(again, []byte("null")) || bytes.Contains(again, []byte("end_time")) || bytes.Contains(again, []byte("expires")) {
		t.Errorf("started.json, %v:\n%s", err, again)
	}
	if _, err := vitrine.ParseRecord(again); err != nil {
		t.Error(err)
	}
}

// ID rises with the start, is the same for the same build, and fits a JavaScript number.
func TestID(t *testing.T) {
	_, r := golden(t)
	if got, want := r.ID(), int64(217476669)<<22|0x3f0c2b>>2; got != want {
		t.Errorf("ID is %d, want %d", got, want)
	}
	later := *r
	later.StartTime, later.UUID = r.StartTime.Add(time.Second), strings.Repeat("0", 32)
	if later.ID() <= r.ID() {
		t.Error("ID does not rise with the start")
	}
	last := *r
	last.StartTime, last.UUID = time.Date(2087, 12, 31, 23, 59, 59, 0, time.UTC), strings.Repeat("f", 32)
	first := *r
	first.StartTime, first.UUID = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), strings.Repeat("0", 32)
	if first.ID() != 0 || last.ID() >= 1<<53 {
		t.Errorf("IDs from %d to %d, want 0 to less than 2⁵³", first.ID(), last.ID())
	}
}

// Only the one form of a record is accepted.
func TestParseRecordForm(t *testing.T) {
	b, _ := golden(t)
	text := string(b)
	replaced := func(old, new string) string {
		t.Helper()
		if strings.Count(text, old) != 1 {
			t.Fatalf("%q is there %d times", old, strings.Count(text, old))
		}
		return strings.Replace(text, old, new, 1)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"empty": "", "null": "null\n", "no object": "[]\n", "empty object": "{}\n", "cut off": text[:len(text)-10],
		"no newline": strings.TrimSuffix(text, "\n"), "two newlines": text + "\n", "space in front": " " + text, "BOM": "\ufeff" + text,
		"two records": text + text, "compact": compact.String() + "\n", "tabs": strings.ReplaceAll(text, "  ", "\t"), "CRLF": strings.ReplaceAll(text, "\n", "\r\n"),
		"unknown field":      replaced(`"version": 1,`, `"version": 1,`+"\n"+`  "more": 1,`),
		"field twice":        replaced(`"tenant": "opendev",`, `"tenant": "opendev",`+"\n"+`  "tenant": "opendev",`),
		"missing field":      replaced(`  "nodeset": "",`+"\n", ""),
		"other case":         replaced(`"nodeset"`, `"Nodeset"`),
		"other order":        replaced(`"voting": true,`+"\n"+`  "error_detail": "",`, `"error_detail": "",`+"\n"+`  "voting": true,`),
		"escaped letter":     replaced(`"codesearch"`, `"\u0063odesearch"`),
		"escaped HTML":       replaced(`größer < 3`, `größer \u003c 3`),
		"null list":          replaced(`"skipped_readers": [`+"\n    {\n"+`      "name": "bob",`+"\n"+`      "reason": "key expired 2026-10-01"`+"\n    }\n  ]", `"skipped_readers": null`),
		"null text":          replaced(`"nodeset": ""`, `"nodeset": null`),
		"number as text":     replaced(`"change": 894201`, `"change": "894201"`),
		"number with a dot":  replaced(`"change": 894201`, `"change": 894201.0`),
		"number with an E":   replaced(`"size": 48213`, `"size": 48213e0`),
		"huge number":        replaced(`"size": 48213`, `"size": 99999999999999999999`),
		"other zone":         replaced(`T02:11:09Z`, `T03:11:09+01:00`),
		"UTC, written out":   replaced(`T02:11:09Z`, `T02:11:09+00:00`),
		"fraction of second": replaced(`T02:11:09Z`, `T02:11:09.5Z`),
		"zero fraction":      replaced(`T02:11:09Z`, `T02:11:09.000Z`),
		"no such day":        replaced(`2026-11-22T02:11:09Z`, `2026-11-31T02:11:09Z`),
		"invalid UTF-8":      replaced(`größer`, "gr\xf6\xdfer"),
		"raw control":        replaced(`größer`, "gr\x01"),
		"metadata order":     replaced(`"type": "ansible_log",`+"\n"+`        "what": "größer < 3 & \"so\""`, `"what": "größer < 3 & \"so\"",`+"\n"+`        "type": "ansible_log"`),
		"empty metadata":     replaced(`"lines": 0`, `"lines": 0,`+"\n"+`      "metadata": {}`),
		"deep":               strings.Repeat("[", 1<<20),
		"too big":            text + strings.Repeat(" ", vitrine.MaxRecordSize),
	} {
		if _, err := vitrine.ParseRecord([]byte(s)); !errors.Is(err, vitrine.ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
	}
}

// Each rule of a record refuses it alone, naming the field; both Marshal and
// ParseRecord keep it.
func TestRecordRefusals(t *testing.T) {
	long := strings.Repeat("x", vitrine.MaxString+1)
	type R = vitrine.Record
	sealed := func(path string) vitrine.Artifact {
		return vitrine.Artifact{Name: "x", Path: path, Sealed: true, SHA256: strings.Repeat("0", 64)}
	}
	public := func(path string) vitrine.Artifact {
		return vitrine.Artifact{Name: "x", Path: path, SHA256: strings.Repeat("0", 64)}
	}
	for _, test := range []struct {
		field string
		alter func(r *R)
	}{
		{"version", func(r *R) { r.Version = 0 }},
		{"version", func(r *R) { r.Version = 2 }},
		{"tenant", func(r *R) { r.Tenant = "" }},
		{"tenant", func(r *R) { r.Tenant = "Open Dev" }},
		{"tenant", func(r *R) { r.Tenant = "../x" }},
		{"tenant", func(r *R) { r.Tenant = ".x" }},
		{"tenant", func(r *R) { r.Tenant = "x\n" }},
		{"service", func(r *R) { r.Service = "" }},
		{"service", func(r *R) { r.Service = strings.Repeat("x", 65) }},
		{"publisher", func(r *R) { r.Publisher = "" }},
		{"publisher", func(r *R) { r.Publisher = "Bridge" }},
		{"uuid", func(r *R) { r.UUID = "" }},
		{"uuid", func(r *R) { r.UUID = r.UUID[1:] }},
		{"uuid", func(r *R) { r.UUID = strings.ToUpper(r.UUID) }},
		{"uuid", func(r *R) { r.UUID += "\n" }},
		{"buildset", func(r *R) { r.Buildset = "" }},
		{"buildset", func(r *R) { r.Buildset += "0" }},
		{"job_name", func(r *R) { r.JobName = "" }},
		{"job_name", func(r *R) { r.JobName = long }},
		{"job_name", func(r *R) { r.JobName = "job\n{\"level\":\"fake\"}" }},
		{"job_name", func(r *R) { r.JobName = "job\x1b[2J" }},
		{"job_name", func(r *R) { r.JobName = "job\u009b" }},
		{"job_name", func(r *R) { r.JobName = "job\x7f" }},
		{"job_name", func(r *R) { r.JobName = "job\u2028" }},
		{"job_name", func(r *R) { r.JobName = "job\xff" }},
		{"pipeline", func(r *R) { r.Pipeline = long }},
		{"pipeline", func(r *R) { r.Pipeline = "a\x00b" }},
		{"event_id", func(r *R) { r.EventID = long }},
		{"nodeset", func(r *R) { r.Nodeset = long }},
		{"error_detail", func(r *R) { r.ErrorDetail = strings.Repeat("x", vitrine.MaxText+1) }},
		{"error_detail", func(r *R) { r.ErrorDetail = "two\nlines" }},
		{"ref.project", func(r *R) { r.Ref.Project = long }},
		{"ref.branch", func(r *R) { r.Ref.Branch = long }},
		{"ref.patchset", func(r *R) { r.Ref.Patchset = long }},
		{"ref.ref", func(r *R) { r.Ref.Ref = long }},
		{"ref.oldrev", func(r *R) { r.Ref.OldRev = long }},
		{"ref.newrev", func(r *R) { r.Ref.NewRev = long }},
		{"ref.change", func(r *R) { r.Ref.Change = -1 }},
		{"ref.ref_url", func(r *R) { r.Ref.RefURL = "javascript:alert(1)" }},
		{"ref.ref_url", func(r *R) { r.Ref.RefURL = "//example.org/x" }},
		{"ref.ref_url", func(r *R) { r.Ref.RefURL = "https:///x" }},
		{"ref.ref_url", func(r *R) { r.Ref.RefURL = "https://:80/x" }},
		{"ref.ref_url", func(r *R) { r.Ref.RefURL = "https://user:pass@example.org/" }},
		{"ref.ref_url", func(r *R) { r.Ref.RefURL = "https://example.org/%zz" }},
		{"ref.ref_url", func(r *R) { r.Ref.RefURL = "https://example.org/" + strings.Repeat("x", vitrine.MaxText) }},
		{"keyring.commit", func(r *R) { r.Keyring.Commit = "" }},
		{"keyring.commit", func(r *R) { r.Keyring.Commit = "HEAD" }},
		{"keyring.commit", func(r *R) { r.Keyring.Commit += "0" }},
		{"keyring.url", func(r *R) { r.Keyring.URL = "https://bot:hunter2@example.org/x" }},
		{"keyring.url", func(r *R) { r.Keyring.URL = "https://ghp_token@example.org/x" }},
		{"keyring.url", func(r *R) { r.Keyring.URL = "ssh://git:hunter2@example.org/x" }},
		{"keyring.url", func(r *R) { r.Keyring.URL = "bot:hunter2@example.org/x" }},
		{"keyring.url", func(r *R) { r.Keyring.URL = "https://ghp_token%zz@example.org/x" }},
		{"keyring.url", func(r *R) { r.Keyring.URL = strings.Repeat("x", vitrine.MaxText+1) }},
		{"result", func(r *R) { r.Result = "OK" }},
		{"result", func(r *R) { r.Result = "success" }},
		{"result", func(r *R) { r.Result = "RUNNING" }},
		{"result", func(r *R) { r.Result, r.EndTime = "", time.Time{} }},
		{"result", func(r *R) { r.Result, r.EndTime, r.Artifacts, r.ErrorDetail = "", time.Time{}, nil, "x" }},
		{"start_time", func(r *R) { r.StartTime = time.Time{} }},
		{"start_time", func(r *R) { r.StartTime = time.Date(2019, 12, 31, 23, 59, 59, 0, time.UTC) }},
		{"start_time", func(r *R) { r.StartTime = r.StartTime.Add(time.Nanosecond) }},
		{"start_time", func(r *R) { r.StartTime = r.StartTime.In(time.FixedZone("x", 3600)) }},
		{"end_time", func(r *R) { r.EndTime = time.Time{} }},
		{"end_time", func(r *R) { r.EndTime = r.StartTime.Add(-time.Second) }},
		{"end_time", func(r *R) { r.EndTime = time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"end_time", func(r *R) { r.Result, r.Artifacts = "", nil }},
		{"expires", func(r *R) { r.Expires = r.Expires.Add(time.Millisecond) }},
		{"readers", func(r *R) { r.Readers = make([]vitrine.Reader, vitrine.MaxReaders+1) }},
		{"readers", func(r *R) { r.SkippedReaders = make([]vitrine.SkippedReader, vitrine.MaxReaders+1) }},
		{"readers[0].name", func(r *R) { r.Readers[0].Name = "" }},
		{"readers[0].name", func(r *R) { r.Readers[0].Name = "Алиса" }},
		{"readers[0].fingerprints", func(r *R) { r.Readers[0].Fingerprints = nil }},
		{"readers[0].fingerprints", func(r *R) { r.Readers[0].Fingerprints = []string{""} }},
		{"readers[0].fingerprints", func(r *R) { r.Readers[0].Fingerprints = []string{long} }},
		{"readers[0].fingerprints", func(r *R) { r.Readers[0].Fingerprints = []string{"a\nb"} }},
		{"readers[0].fingerprints", func(r *R) { r.Readers[0].Fingerprints = make([]string, vitrine.MaxReaders+1) }},
		{"skipped_readers[0].name", func(r *R) { r.SkippedReaders[0].Name = "bob smith" }},
		{"skipped_readers[0].reason", func(r *R) { r.SkippedReaders[0].Reason = long }},
		{"skipped_readers[0].reason", func(r *R) { r.SkippedReaders[0].Reason = "\x1b]52;c;x\a" }},
		{"artifacts", func(r *R) { r.Artifacts = make([]vitrine.Artifact, vitrine.MaxArtifacts+1) }},
		{"artifacts[0].name", func(r *R) { r.Artifacts[0].Name = "" }},
		{"artifacts[0].name", func(r *R) { r.Artifacts[0].Name = long }},
		{"artifacts[1].name", func(r *R) { r.Artifacts[1].Name = "a\rb" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Path = "" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Path = "../x.zst.age" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Path = ".zst.age" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Path = "a/.age" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Path = "CON.zst.age" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Path = strings.Repeat("x", vitrine.MaxPath+1) + ".zst.age" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Path = "sealed.log" }},
		{"artifacts[0].path", func(r *R) { r.Artifacts[0].Sealed = false }},
		{"artifacts[1].path", func(r *R) { r.Artifacts[1].Path = "screenshots/../../search.png" }},
		{"artifacts[1].path", func(r *R) { r.Artifacts[1].Path = strings.Repeat("x", vitrine.MaxPath+1) }},
		{"artifacts[1].path", func(r *R) { r.Artifacts[1].Path = "x..age" }},
		{"artifacts[0].sha256", func(r *R) { r.Artifacts[0].SHA256 = "" }},
		{"artifacts[0].sha256", func(r *R) { r.Artifacts[0].SHA256 = strings.ToUpper(r.Artifacts[0].SHA256) }},
		{"artifacts[0].size", func(r *R) { r.Artifacts[0].Size = -1 }},
		{"artifacts[0].size", func(r *R) { r.Artifacts[0].Size = vitrine.MaxArtifactSize + 1 }},
		{"artifacts[0].size", func(r *R) { r.Artifacts[0].PlainSize = -1 }},
		{"artifacts[0].size", func(r *R) { r.Artifacts[0].Lines = -1 }},
		{"artifacts[0].size", func(r *R) { r.Artifacts[0].Lines = r.Artifacts[0].PlainSize + 1 }},
		{"artifacts[0].media_type", func(r *R) { r.Artifacts[0].MediaType = long }},
		{"artifacts[0].media_type", func(r *R) { r.Artifacts[0].MediaType = "text/plain\r\nSet-Cookie: x=y" }},
		{"artifacts[0].metadata", func(r *R) { r.Artifacts[0].Metadata = map[string]string{long: ""} }},
		{"artifacts[0].metadata", func(r *R) { r.Artifacts[0].Metadata = map[string]string{"x": "a\x00"} }},
		{"artifacts[0].metadata", func(r *R) { r.Artifacts[0].Metadata = many(33) }},
		{"artifacts[0].metadata", func(r *R) { r.Artifacts[0].Metadata = header("") }},
		{"artifacts[0].metadata", func(r *R) { r.Artifacts[0].Metadata = header(strings.ToUpper(r.Artifacts[0].SHA256)) }},
		{"artifacts[1].metadata", func(r *R) { r.Artifacts[1].Metadata = header(r.Artifacts[0].SHA256) }}, // not sealed
		// Files that could not lie in one folder, as published or as stored.
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{sealed("a.log.zst.age"), public("a.log")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{sealed("a.zst.age"), sealed("a.age")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{public("a"), public("a")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{public("Readme"), public("README")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{public("a"), public("a/b")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{public("A/b/c"), sealed("a/B.age")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{sealed("a.zst.age"), sealed("a.zst.age/b.age")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{public("A.age/b"), sealed("a.age")} }},
		{"artifacts[1].path", func(r *R) { r.Artifacts = []vitrine.Artifact{sealed("a.zst.age"), public("a.zst.age")} }},
	} {
		_, r := golden(t)
		test.alter(r)
		_, err := r.Marshal()
		if !errors.Is(err, vitrine.ErrRecord) || !strings.Contains(err.Error(), ": "+test.field+": ") {
			t.Errorf("%s: %v, want an ErrRecord of that field", test.field, err)
		}
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := vitrine.ParseRecord(append(b, '\n')); !errors.Is(err, vitrine.ErrRecord) {
			t.Errorf("%s: parsed, %v", test.field, err)
		}
	}
}

func header(sum string) map[string]string {
	return map[string]string{vitrine.HeaderSHA256: sum}
}

func many(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		m[fmt.Sprint(i)] = ""
	}
	return m
}

// Limits hold to the byte: what is just within them passes.
func TestRecordAtItsLimits(t *testing.T) {
	_, r := golden(t)
	name := strings.Repeat("ä", vitrine.MaxString/2) + "x"
	text := strings.Repeat("x", vitrine.MaxText)
	r.Tenant = strings.Repeat("x", 64)
	r.JobName, r.Pipeline, r.Ref.Branch, r.ErrorDetail = name, "", `<script>"'&`, text
	r.Ref.RefURL = "http://x/" + text[:vitrine.MaxText-9]
	r.Ref.Change, r.Keyring.Commit, r.Keyring.URL = 1<<63-1, strings.Repeat("a", 64), "git@example.org:ops/config"
	r.StartTime, r.EndTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2200, 12, 31, 23, 59, 59, 0, time.UTC)
	r.Expires = r.StartTime
	a := &r.Artifacts[0]
	a.Path, a.Size, a.PlainSize, a.Lines = strings.Repeat("x", vitrine.MaxPath)+".zst.age", vitrine.MaxArtifactSize, 1<<63-1, 1<<63-1
	a.Name, a.MediaType, a.Metadata = name, "", many(31)
	a.Metadata[vitrine.HeaderSHA256] = a.SHA256
	r.Readers, r.SkippedReaders = nil, nil
	for i := range vitrine.MaxReaders {
		r.Readers = append(r.Readers, vitrine.Reader{Name: fmt.Sprintf("r%d", i), Fingerprints: []string{"x"}})
		r.SkippedReaders = append(r.SkippedReaders, vitrine.SkippedReader{Name: fmt.Sprintf("s%d", i), Reason: name})
	}
	for i := len(r.Artifacts); i < vitrine.MaxArtifacts; i++ {
		r.Artifacts = append(r.Artifacts, vitrine.Artifact{Name: "x", Path: fmt.Sprintf("d%d/%d", i%7, i), SHA256: a.SHA256})
	}
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := vitrine.ParseRecord(b)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("not the same again: %v", err)
	}
	// A record may be of legal parts and still too big.
	for i := range r.Artifacts {
		r.Artifacts[i].Metadata = map[string]string{"x": text}
	}
	if _, err := r.Marshal(); !errors.Is(err, vitrine.ErrRecord) {
		t.Errorf("a record of twenty megabytes: %v", err)
	}
}

// What a few bytes claim takes no memory before it is refused.
func TestParseAllocates(t *testing.T) {
	for _, list := range []string{`"artifacts":[`, `"readers":[`, `"skipped_readers":[`, `"partial":[`, `"imported":{"links":[`} {
		text := []byte(`{"version":1,` + list + `{}` + strings.Repeat(",{}", vitrine.MaxRecordSize/3-20) + `]}`)
		if strings.Contains(list, "{") {
			text = append(text, '}')
		}
		allocs.Check(t, 1<<20, func() {
			if _, err := vitrine.ParseRecord(text); !errors.Is(err, vitrine.ErrRecord) {
				t.Errorf("%s: %v", list, err)
			}
			if _, err := vitrine.ParseMark(text); !errors.Is(err, vitrine.ErrMark) {
				t.Errorf("%s: %v", list, err)
			}
		})
	}
}

// Whatever is accepted is exactly what would be written.
func FuzzParseRecord(f *testing.F) {
	b, r := golden(f)
	f.Add(b)
	started, err := startedOf(r).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(started)
	f.Add(bytes.Replace(b, []byte("codesearch"), []byte("\\u0063odesearch"), 1))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r *vitrine.Record
		var err error
		allocs.Check(t, 200*int64(len(b)), func() { r, err = vitrine.ParseRecord(b) }) // an artifact may be three bytes, and 136 in memory
		if err != nil {
			if !errors.Is(err, vitrine.ErrRecord) {
				t.Errorf("%v is no ErrRecord", err)
			}
			return
		}
		again, err := r.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("accepted, and would be written otherwise (%v):\n%s\n%s", err, b, again)
		}
		if r.ID() < 0 {
			t.Errorf("ID %d", r.ID())
		}
		for _, a := range r.Artifacts {
			if k, err := vitrine.ParseKey(vitrine.ArtifactKey(r.UUID, a.Path)); err != nil || k.Path != a.Path {
				t.Errorf("its artifact %q has no key: %v", a.Path, err)
			}
		}
	})
}
