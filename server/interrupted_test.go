package server_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine"
	"vitrine/server"
	"vitrine/storage"
)

const silence = time.Second

// newServing is a site whose server gives silent builds up soon.
func newServing(t *testing.T) *site {
	t.Helper()
	s := newSiteOn(t, storage.NewMemory(), func(c *server.Config) { c.InterruptedAfter = silence })
	s.serve()
	return s
}

// serve lets the site's server do what it does by itself.
func (s *site) serve() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, l) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.url = "http://" + l.Addr().String()
}

// until asks for a build until the answer has a part.
func (s *site) until(uuid, part string) string {
	s.t.Helper()
	text := ""
	for range 1000 {
		if _, text = s.do("GET", api+"/"+uuid, nil, nil); strings.Contains(text, part) {
			return text
		}
		// What is not let in is no word of the publisher.
		s.want(401, "", "PUT", api+"/"+uuid, map[string]string{"Authorization": "Bearer AAAA"}, "{}")
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("build %s does not come to %q: %s", uuid, part, text)
	return ""
}

const half = sealedBody + " and half of what follows"

func (s *site) putPart(token map[string]string, uuid, name string, number string, body string) {
	s.t.Helper()
	sum := md5.Sum([]byte(body))
	digest := digestOf(body) + ", md5=:" + base64Std(sum[:]) + ":"
	s.want(201, "", "PUT", api+"/"+uuid+"/parts/"+number+"/"+name, with(token, "Content-Digest", digest), body)
}

func (s *site) gone(key string) {
	s.t.Helper()
	if _, err := s.bucket.Stat(context.Background(), key); !errors.Is(err, fs.ErrNotExist) {
		s.t.Errorf("%s is there (error %v)", key, err)
	}
}

// What a runner sent before it died is made readable, and when it comes back after
// all, its build is published whole.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	r := s.started(nil)
	token := s.begin(r)
	at := api + "/" + r.UUID
	whole := with(token, "Content-Digest", digestOf(sealedBody))
	s.want(201, "", "PUT", at+"/artifacts/report.zst.age", whole, sealedBody)
	s.putPart(token, r.UUID, "console.log.zst.age", "1", half)
	// The last part of an artifact whose first one never came.
	s.putPart(token, r.UUID, "lost.log.zst.age", "2", half)

	text := s.until(r.UUID, `"state":"interrupted"`)
	if !strings.Contains(text, "console.log.zst.age") || !strings.Contains(text, "report.zst.age") || strings.Contains(text, "lost.log") {
		t.Errorf("the build says %s", text)
	}
	s.want(200, half, "GET", at+"/artifacts/console.log.zst.age", nil, nil)
	s.want(404, "", "GET", at+"/artifacts/lost.log.zst.age", nil, nil)
	s.want(200, "nterrupted", "GET", "/t/demo/build/"+r.UUID, nil, nil)
	s.want(200, r.UUID, "GET", api+"?result=LOST", nil, nil)
	if _, text := s.do("GET", api+"?result=RUNNING", nil, nil); strings.Contains(text, r.UUID) {
		t.Error("it counts as running")
	}
	// The token is from before.
	s.want(401, "begin it again", "PUT", at+"/artifacts/console.log.zst.age", whole, sealedBody)
	console, report := artifact("console.log.zst.age", sealedBody, true), artifact("report.zst.age", sealedBody, true)
	commit := signed(t, finished(r, console, report), s.bridge)
	s.want(401, "begin it again", "PUT", at, token, commit)

	token = s.begin(r)
	s.want(200, `"state":"running"`, "GET", at, nil, nil)
	s.gone(vitrine.ArtifactKey(r.UUID, "console.log.zst.age"))
	s.gone(vitrine.MarkKey(vitrine.InterruptedKind, r.StartTime, r.UUID))
	s.want(201, "", "PUT", at+"/artifacts/console.log.zst.age", with(token, "Content-Digest", digestOf(sealedBody)), sealedBody)
	// What had been acknowledged is still there.
	s.want(201, "", "PUT", at, token, commit)
	s.want(200, `"state":"finished"`, "GET", at, nil, nil)
	time.Sleep(2 * silence)
	s.want(200, `"state":"finished"`, "GET", at, nil, nil)
}

// A build of which nothing came stays as it is, and so does one that is heard of.
func TestNotInterrupted(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	empty, alive := s.started(nil), s.started(nil)
	token := s.begin(empty)
	s.putPart(s.begin(alive), alive.UUID, "console.log.zst.age", "1", half)
	for end := time.Now().Add(4 * silence); time.Now().Before(end); time.Sleep(silence / 6) {
		s.begin(alive)
	}
	s.want(200, `"state":"running"`, "GET", api+"/"+empty.UUID, nil, nil)
	s.want(200, `"state":"running"`, "GET", api+"/"+alive.UUID, nil, nil)
	s.putPart(token, empty.UUID, "console.log.zst.age", "1", half)
	s.until(empty.UUID, `"state":"interrupted"`)
}

// A build that this process never heard of is given up once it counts as lost,
// also if a server crashed before it had marked it.
func TestInterruptedUnheard(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	ctx := context.Background()
	begin := func(age time.Duration) *vitrine.Record {
		r := s.started(func(r *vitrine.Record) {
			r.StartTime = r.StartTime.Add(-age)
			r.Expires = r.Expires.Add(-age)
		})
		key, text := vitrine.StartedKey(r.StartTime, r.UUID), signed(t, r, s.bridge)
		for key, body := range map[string]string{vitrine.SignatureKey(key): text.Signature, key: text.Record} {
			if err := s.bucket.Create(ctx, key, strings.NewReader(body), optionsOf([]byte(body))); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	put := func(r *vitrine.Record, name, body string) {
		key := vitrine.ArtifactKey(r.UUID, name)
		if err := s.bucket.PutPart(ctx, key, vitrine.NewPart(1, []byte(body)), strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	young, old, crashed, plain, nothing := begin(time.Hour), begin(25*time.Hour), begin(26*time.Hour), begin(27*time.Hour), begin(28*time.Hour)
	marked := begin(2 * time.Hour) // and its parts not made an object
	put(marked, "console.log.zst.age", half)
	m := vitrine.Mark{Version: vitrine.RecordVersion, UUID: marked.UUID, Time: marked.StartTime,
		Partial: []vitrine.PartialArtifact{{Path: "console.log.zst.age", Size: int64(len(half))}}}
	text, err := m.Marshal()
	if err == nil {
		err = s.bucket.Create(ctx, vitrine.MarkKey(vitrine.InterruptedKind, marked.StartTime, marked.UUID), bytes.NewReader(text), optionsOf(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	put(young, "console.log.zst.age", half)
	put(old, "console.log.zst.age", half)
	if err := s.bucket.Create(ctx, vitrine.ArtifactKey(crashed.UUID, "console.log.zst.age"), strings.NewReader(half), optionsOf([]byte(half))); err != nil {
		t.Fatal(err)
	}
	put(plain, "console.log.zst.age", "what nobody sealed")
	put(plain, "console.log", "what is not public")
	s.refresh()
	for _, r := range []*vitrine.Record{old, crashed, marked, plain} {
		text := s.until(r.UUID, `"state":"interrupted"`)
		if !strings.Contains(text, "console.log.zst.age") {
			t.Errorf("the build says %s", text)
		}
	}
	for range 1000 {
		if _, err := s.bucket.Stat(ctx, vitrine.ArtifactKey(marked.UUID, "console.log.zst.age")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.want(200, half, "GET", api+"/"+marked.UUID+"/artifacts/console.log.zst.age", nil, nil)
	time.Sleep(2 * silence)
	s.want(200, `"state":"running"`, "GET", api+"/"+young.UUID, nil, nil)
	s.want(200, `"state":"lost"`, "GET", api+"/"+nothing.UUID, nil, nil)
	s.gone(vitrine.ArtifactKey(plain.UUID, "console.log.zst.age"))
	s.want(410, "", "GET", api+"/"+plain.UUID+"/artifacts/console.log.zst.age", nil, nil)
	s.want(404, "", "GET", api+"/"+plain.UUID+"/artifacts/console.log", nil, nil)
	// It may be begun again even so.
	s.begin(old)
	s.gone(vitrine.ArtifactKey(old.UUID, "console.log.zst.age"))
	s.gone(vitrine.MarkKey(vitrine.InterruptedKind, old.StartTime, old.UUID))
}

// Two servers over one bucket give up the same builds, and see what the other did.
func TestInterruptedByTwo(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	second := *s
	second.start(func(c *server.Config) { c.InterruptedAfter = silence })
	second.refresh()
	second.serve()
	var builds []*vitrine.Record
	tokens := make(map[*vitrine.Record]map[string]string)
	for range 10 {
		r := s.started(nil)
		builds = append(builds, r)
		tokens[r] = second.begin(r)
		s.putPart(s.begin(r), r.UUID, "console.log.zst.age", "1", half)
	}
	for _, r := range builds {
		s.until(r.UUID, `"state":"interrupted"`)
		s.want(200, half, "GET", api+"/"+r.UUID+"/artifacts/console.log.zst.age", nil, nil)
	}
	second.refresh()
	for _, r := range builds {
		second.until(r.UUID, `"state":"interrupted"`)
		second.want(200, half, "GET", api+"/"+r.UUID+"/artifacts/console.log.zst.age", nil, nil)
	}
	time.Sleep(2 * silence)
	r := builds[0]
	second.want(401, "begin it again", "PUT", api+"/"+r.UUID, tokens[r], "{}")
	token := second.begin(r)
	body := sealedBody + "the whole"
	second.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/console.log.zst.age", with(token, "Content-Digest", digestOf(body)), body)
	second.want(201, "", "PUT", api+"/"+r.UUID, token, signed(t, finished(r, artifact("console.log.zst.age", body, true)), s.bridge))
	s.refresh()
	s.want(200, `"state":"finished"`, "GET", api+"/"+r.UUID, nil, nil)
}

// Of parts with a gap, or with one that is too short not to be the last, those
// before it are kept.
func TestInterruptedParts(t *testing.T) {
	t.Parallel()
	bucket, err := storage.OpenLocal(filepath.Join(t.TempDir(), "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	s := newSiteOn(t, bucket, func(c *server.Config) {
		c.InterruptedAfter = silence
		c.MaxArtifactSize = 32 << 20
	})
	s.serve()
	full := sealedBody + strings.Repeat("x", vitrine.MinPartSize)
	gap, short := s.started(nil), s.started(nil)
	token := s.begin(gap)
	for _, n := range []string{"1", "3"} {
		s.putPart(token, gap.UUID, "console.log.zst.age", n, full)
	}
	token = s.begin(short)
	for n, body := range map[string]string{"1": full, "2": half, "3": half} {
		s.putPart(token, short.UUID, "console.log.zst.age", n, body)
	}
	for r, want := range map[*vitrine.Record]int{gap: len(full), short: len(full) + len(half)} {
		s.until(r.UUID, `"state":"interrupted"`)
		text := s.want(200, "", "GET", api+"/"+r.UUID+"/artifacts/console.log.zst.age", nil, nil)
		if len(text) != want {
			t.Errorf("%d bytes, want %d", len(text), want)
		}
	}
}
