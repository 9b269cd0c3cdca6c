package server_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine"
	"vitrine/server"
	"vitrine/storage"
)

const console = "console.log.zst.age"

// interrupted is a build that has the beginning of a console, and was given up.
func (s *site) interrupted() *vitrine.Record {
	s.t.Helper()
	r := s.started(nil)
	s.putPart(s.begin(r), r.UUID, console, "1", half)
	s.until(r.UUID, `"state":"interrupted"`)
	return r
}

func (s *site) putConsole(token map[string]string, r *vitrine.Record, body string) {
	s.t.Helper()
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/"+console, with(token, "Content-Digest", digestOf(body)), body)
}

// A build that one server took back and published is not taken back again by one
// that still thinks that it is interrupted.
func TestPublishedElsewhere(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	r := s.interrupted()
	behind := s.again(s.bucket)
	behind.refresh()
	token := s.begin(r)
	s.putConsole(token, r, sealedBody)
	commit := signed(t, finished(r, artifact(console, sealedBody, true)), s.bridge)
	at := api + "/" + r.UUID
	s.want(201, "", "PUT", at, token, commit)

	token = behind.begin(r)
	s.want(200, sealedBody, "GET", at+"/artifacts/"+console, nil, nil)
	behind.putConsole(token, r, sealedBody)
	behind.want(201, "", "PUT", at, token, commit)
	behind.want(200, `"state":"finished"`, "GET", at, nil, nil)
}

// Nor does it remove what came since, if the build is not published yet.
func TestTakenBackElsewhere(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	r := s.interrupted()
	behind := s.again(s.bucket)
	behind.refresh()
	token := s.begin(r)
	s.putConsole(token, r, sealedBody)
	s.putPart(token, r.UUID, "other.log.zst.age", "1", half)
	behind.begin(r)
	if _, err := s.bucket.Stat(t.Context(), vitrine.ArtifactKey(r.UUID, console)); err != nil {
		t.Error(err)
	}
	if parts, err := s.bucket.Parts(t.Context(), vitrine.ArtifactKey(r.UUID, "other.log.zst.age")); len(parts) != 1 || err != nil {
		t.Errorf("%d parts are left, error %v", len(parts), err)
	}
	behind.want(200, `"state":"running"`, "GET", api+"/"+r.UUID, nil, nil)
}

// A server does not make objects of the parts of a build that it thinks interrupted
// and that goes on by another.
func TestGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	r := s.interrupted()
	behind := *s
	behind.start(func(c *server.Config) { c.InterruptedAfter = silence })
	behind.serve()
	time.Sleep(silence) // it has looked at the bucket, and does so again in a minute
	token := s.begin(r)
	for end := time.Now().Add(5 * silence); time.Now().Before(end); time.Sleep(silence / 6) {
		s.putPart(token, r.UUID, console, "1", half)
	}
	behind.want(200, `"state":"interrupted"`, "GET", api+"/"+r.UUID, nil, nil)
	s.gone(vitrine.ArtifactKey(r.UUID, console))
	s.putConsole(token, r, half+" the rest")
}

// A server that hears no more of a build does not give it up while its parts go by
// another server.
func TestGrowsElsewhere(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	deaf := *s
	deaf.start(func(c *server.Config) { c.InterruptedAfter = silence })
	deaf.serve()
	time.Sleep(silence / 2) // it has looked at the bucket
	r := s.started(nil)
	deaf.begin(r)
	token := s.begin(r)
	for end := time.Now().Add(5 * silence); time.Now().Before(end); time.Sleep(silence / 6) {
		s.putPart(token, r.UUID, console, "1", half)
	}
	deaf.want(200, `"state":"running"`, "GET", api+"/"+r.UUID, nil, nil)
	s.gone(vitrine.MarkKey(vitrine.InterruptedKind, r.StartTime, r.UUID))
	s.putConsole(token, r, half+" the rest")
}

// A part that a signed request brings after the build was given up does not get in
// the way of the artifact when its publisher comes back.
func TestLatePart(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	r := s.started(nil)
	token := s.begin(r)
	s.putPart(token, r.UUID, console, "1", half)
	s.until(r.UUID, `"state":"interrupted"`)
	late := vitrine.ArtifactKey(r.UUID, "late.log.zst.age")
	put := func(key string) {
		if err := s.bucket.PutPart(t.Context(), key, vitrine.NewPart(1, []byte(half)), strings.NewReader(half)); err != nil {
			t.Fatal(err)
		}
	}
	put(late)
	// So that the server has to look again what there is of the build.
	key := vitrine.ArtifactKey(r.UUID, console)
	if err := s.bucket.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	put(key)
	for range 1000 {
		if _, err := s.bucket.Stat(t.Context(), key); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.gone(late)
	put(late)
	token = s.begin(r)
	for u := range s.bucket.Uploads(t.Context(), "") {
		t.Errorf("parts of %s are left", u.Key)
	}
	body := half + " and the rest"
	s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/late.log.zst.age", with(token, "Content-Digest", digestOf(body)), body)
}

// A publisher whose build was given up is told so whatever it asks next, and when it
// has begun again, that the parts it had sent are gone.
func TestPartsGone(t *testing.T) {
	t.Parallel()
	testPartsGone(t, newFakeStore(t))
}

func testPartsGone(t *testing.T, b storage.Bucket) {
	s := newSiteOn(t, b, func(c *server.Config) { c.Direct, c.InterruptedAfter = true, silence })
	s.serve()
	r := s.started(nil)
	token, body := s.begin(r), []byte(sealedBody)
	whole, at := partsOf(body), api+"/"+r.UUID
	put(t, s.grant(token, r.UUID, console, whole).Requests[0], body)
	s.until(r.UUID, `"state":"interrupted"`)
	s.want(401, "begin it again", "POST", at+"/parts/"+console, token, whole)
	s.want(401, "begin it again", "PUT", at+"/artifacts/"+console, completing(token), whole)
	token = s.begin(r)
	s.want(422, "", "PUT", at+"/artifacts/"+console, completing(token), whole)
	put(t, s.grant(token, r.UUID, console, whole).Requests[0], body)
	s.want(201, "", "PUT", at+"/artifacts/"+console, completing(token), whole)
}

// A slowBucket takes time to delete, and counts what it deletes side by side.
type slowBucket struct {
	storage.Bucket
	now, most atomic.Int32
	hurried   atomic.Bool // a delete had less than a minute
}

func (b *slowBucket) Delete(ctx context.Context, key string) error {
	now := b.now.Add(1)
	defer b.now.Add(-1)
	for most := b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < time.Minute {
		b.hurried.Store(true)
	}
	time.Sleep(10 * time.Millisecond)
	return b.Bucket.Delete(ctx, key)
}

// A build of many artifacts is taken back however slow the store is.
func TestTakeBackMany(t *testing.T) {
	t.Parallel()
	b := &slowBucket{Bucket: storage.NewMemory()}
	s := newSiteOn(t, b, func(c *server.Config) { c.InterruptedAfter = silence })
	s.serve()
	r := s.started(nil)
	token := s.begin(r)
	for i := range 40 {
		s.putPart(token, r.UUID, fmt.Sprintf("%d.log.zst.age", i), "1", half)
	}
	s.until(r.UUID, `"state":"interrupted"`)
	s.begin(r)
	for o := range b.List(t.Context(), vitrine.ArtifactsPrefix) {
		t.Errorf("%s is left", o.Key)
	}
	if most := b.most.Load(); most < 2 || most > 8 || b.hurried.Load() {
		t.Errorf("%d removed side by side; in a hurry: %v", most, b.hurried.Load())
	}
}

// A mark that is another build's removes nothing.
func TestMarkOfAnother(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	r := s.interrupted()
	key := vitrine.MarkKey(vitrine.InterruptedKind, r.StartTime, r.UUID)
	m := vitrine.Mark{Version: vitrine.RecordVersion, UUID: newID(), Time: r.StartTime, Partial: []vitrine.PartialArtifact{{Path: console, Size: 1}}}
	text, err := m.Marshal()
	if err == nil {
		err = s.bucket.Delete(t.Context(), key)
	}
	if err == nil {
		err = s.bucket.Create(t.Context(), key, strings.NewReader(string(text)), optionsOf(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.want(500, "", "POST", api, nil, request(t, r, s.bridge))
	if _, err := s.bucket.Stat(t.Context(), vitrine.ArtifactKey(r.UUID, console)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.log.String(), "it is that of build "+m.UUID) {
		t.Error("the log does not say why")
	}
}

// What the store lost of a published build may be sent again, and nothing is said
// to be stored that is not.
func TestPublishedAndLost(t *testing.T) {
	for name, direct := range map[string]bool{"through the server": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			store := newFakeStore(t)
			s := newSiteOn(t, store, func(c *server.Config) { c.Direct = direct })
			r := s.publish()
			token := s.begin(s.startedOf(r))
			const path = "a,b+c.log.zst.age"
			key, at := vitrine.ArtifactKey(r.UUID, path), api+"/"+r.UUID+"/artifacts/"+path
			header := with(token, "Content-Digest", digestOf(sealedBody))
			s.want(201, "", "PUT", at, header, sealedBody)
			if err := store.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if direct {
				whole := partsOf([]byte(sealedBody))
				grant := s.grant(token, r.UUID, path, whole)
				if len(grant.Requests) != 1 {
					t.Fatal("it is said to be stored")
				}
				put(t, grant.Requests[0], []byte(sealedBody))
				s.want(201, "", "PUT", at, completing(token), whole)
			} else {
				s.want(201, "", "PUT", at, header, sealedBody)
			}
			if _, err := store.Stat(t.Context(), key); errors.Is(err, fs.ErrNotExist) {
				t.Error("it is not stored")
			}
			s.want(409, "is published", "PUT", at, with(token, "Content-Digest", digestOf(half)), half)
		})
	}
}

// startedOf is the started record of a final one.
func (s *site) startedOf(r *vitrine.Record) *vitrine.Record {
	started := *r
	started.Result, started.EndTime, started.Artifacts = "", time.Time{}, nil
	return &started
}

// The server takes no record that contradicts what it saw stored, although with
// signed requests it does not read what is stored.
func TestDirectOtherHash(t *testing.T) {
	s := newSiteOn(t, newFakeStore(t), direct)
	r := s.started(nil)
	token := s.begin(r)
	s.putConsole(token, r, sealedBody)
	a := artifact(console, sealedBody, true)
	a.SHA256 = strings.Repeat("ab", 32)
	s.want(409, "other bytes", "PUT", api+"/"+r.UUID, token, signed(t, finished(r, a), s.bridge))
	s.want(201, "", "PUT", api+"/"+r.UUID, token, signed(t, finished(r, artifact(console, sealedBody, true)), s.bridge))
}

// An artifact that is sent again, as the answer was lost, or after the build was
// taken back, takes no more of the quota.
func TestQuotaAgain(t *testing.T) {
	t.Parallel()
	const size = 1000
	body := string(sealedBytes(size))
	s := newSiteOn(t, storage.NewMemory(), func(c *server.Config) {
		c.InterruptedAfter, c.MaxArtifactSize, c.MaxBuildSize, c.MaxPending = silence, size, size, size
	})
	s.serve()
	r := s.started(nil)
	token := s.begin(r)
	s.putPart(token, r.UUID, "other.log.zst.age", "1", body)
	s.until(r.UUID, `"state":"interrupted"`)
	token = s.begin(r)
	for range 3 {
		s.putConsole(token, r, body)
	}
	s.want(413, "too many", "PUT", api+"/"+r.UUID+"/artifacts/x.png", with(token, "Content-Digest", digestOf("png")), "png")
}
