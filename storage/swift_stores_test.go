//go:build stores

package storage_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ncw/swift/v2"

	"vitrine"
	"vitrine/storage"
	"vitrine/storage/storagetest"
)

// A testContainer is what lies below one prefix of a real container, seen by
// another client.
type testContainer struct {
	*swift.Connection
	place, container, prefix string
}

// openSwift opens an empty bucket on the server that the environment names.
func openSwift(t *testing.T) (storage.Bucket, testContainer) {
	t.Helper()
	place := os.Getenv("VITRINE_TEST_SWIFT")
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "swift" {
		t.Fatalf("VITRINE_TEST_SWIFT is %q, want swift://CONTAINER, with ST_AUTH, ST_USER and ST_KEY or OS_AUTH_URL and its companions beside it", place)
	}
	c := testContainer{new(swift.Connection), "", u.Host, rand.Text() + "/"}
	if err := c.ApplyEnvironment(); err != nil {
		t.Fatal(err)
	}
	// The key is that of test/stores/run: with another, what other packages' tests
	// have signed in the same container is refused.
	if err := c.ContainerCreate(t.Context(), u.Host, swift.Headers{"X-Container-Meta-Temp-Url-Key": "key of the test"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range c.names(t) {
			if err := c.ObjectDelete(context.Background(), c.container, c.prefix+name); err != nil && !errors.Is(err, swift.ObjectNotFound) {
				t.Error(err)
			}
		}
	})
	c.place = "swift://" + u.Host + "/" + c.prefix
	b, err := storage.OpenBucket(t.Context(), c.place)
	if err != nil {
		t.Fatal(err)
	}
	return b, c
}

// names lists everything below the prefix, segments and uploads included.
func (c testContainer) names(t *testing.T) []string {
	t.Helper()
	names, err := c.ObjectNamesAll(context.Background(), c.container, &swift.ObjectsOpts{Prefix: c.prefix})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = strings.TrimPrefix(name, c.prefix)
	}
	return names
}

func (c testContainer) headers(t *testing.T, name string) swift.Headers {
	t.Helper()
	_, h, err := c.Object(t.Context(), c.container, c.prefix+name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return h
}

func TestSwift(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		b, _ := openSwift(t)
		return b
	})
}

// want fails unless these names lie below the prefix; those of segments count by
// their number alone.
func (c testContainer) want(t *testing.T, segments int, others ...string) {
	t.Helper()
	names := c.names(t)
	got := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasPrefix(name, "segments/") })
	if !slices.Equal(got, others) || len(names)-len(got) != segments {
		t.Errorf("in the container: %q, want %d segments and %q", names, segments, others)
	}
}

const mebibyte = 1 << 20

// swiftBody is a body that no other test has.
func swiftBody(size int) string {
	b := make([]byte, size)
	rand.Read(b)
	return string(b)
}

func TestSwiftLargeObject(t *testing.T) {
	b, c := openSwift(t)
	body := swiftBody(40 * mebibyte)
	opts := swiftOptions(body)
	broken := errors.New("the runner went away")
	half := io.MultiReader(strings.NewReader(body[:25*mebibyte]), iotest.ErrReader(broken))
	if err := b.Create(t.Context(), key, half, opts); !errors.Is(err, broken) {
		t.Errorf("Create of half a body: %v", err)
	}
	c.want(t, 0)
	if err := b.Create(t.Context(), key, strings.NewReader(body[:39*mebibyte]+swiftBody(mebibyte)), opts); !errors.Is(err, storage.ErrIntegrity) {
		t.Errorf("Create of other bytes: %v", err)
	}
	c.want(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancelling := io.MultiReader(strings.NewReader(body[:25*mebibyte]), swiftReader(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
	if err := b.Create(ctx, key, cancelling, opts); err == nil {
		t.Error("Create with a cancelled context succeeded")
	}
	c.want(t, 0)

	opts.Expires = time.Now().Add(time.Hour)
	for range 2 { // again changes nothing
		if err := b.Create(t.Context(), key, strings.NewReader(body), opts); err != nil {
			t.Fatal(err)
		}
		c.want(t, 5, key)
	}
	for _, name := range c.names(t) {
		if at := c.headers(t, name)["X-Delete-At"]; at != strconv.FormatInt(opts.Expires.Unix(), 10) {
			t.Errorf("%s: X-Delete-At is %q", name, at)
		}
	}
	for o, err := range b.List(t.Context(), "") {
		if err != nil || o.Size != 40*mebibyte {
			t.Errorf("listed %+v, %v", o, err)
		}
		if stat, err := b.Stat(t.Context(), key); stat != o {
			t.Errorf("Stat: %+v, %v; listed: %+v", stat, err, o)
		}
	}
	r, err := b.OpenRange(t.Context(), key, 8*mebibyte-1, 16*mebibyte+2)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != body[8*mebibyte-1:24*mebibyte+1] {
		t.Errorf("a range over three segments: %d bytes, %v", len(got), err)
	}
	other := swiftBody(40 * mebibyte)
	if err := b.Create(t.Context(), key, strings.NewReader(other), swiftOptions(other)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a large object: %v, want fs.ErrExist", err)
	}
	if err := create(t.Context(), b, key, "small"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a small object over a large one: %v, want fs.ErrExist", err)
	}
	c.want(t, 5, key)
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	c.want(t, 0)
}

// What the store has lost of a large object, or has otherwise, is told wherever a
// read comes upon it.
func TestSwiftDamagedSegment(t *testing.T) {
	b, c := openSwift(t)
	body := swiftBody(20 * mebibyte)
	read := func(off int64) (int, error) {
		r, err := b.OpenRange(t.Context(), key, off, -1)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		return len(got), err
	}
	for _, test := range []struct {
		segment string
		replace string // the bytes that are there then; empty: none
		from    int64  // is the first that can't be read
		says    string
	}{
		{"/00001", "", 0, "segment 00001 is lost in the store"},
		{"/00002", "", 8 * mebibyte, "segment 00002 is lost in the store"},
		{"/00002", "other", 8 * mebibyte, "segment 00002 is damaged in the store: 5 bytes, want 8388608"},
		{"/00003", strings.Repeat("x", 4*mebibyte), 16 * mebibyte, "segment 00003 is damaged in the store: MD5"},
	} {
		if err := b.Create(t.Context(), key, strings.NewReader(body), swiftOptions(body)); err != nil {
			t.Fatal(err)
		}
		for _, name := range c.names(t) {
			if !strings.HasSuffix(name, test.segment) {
				continue
			}
			err := c.ObjectDelete(t.Context(), c.container, c.prefix+name)
			if err == nil && test.replace != "" {
				err = c.ObjectPutString(t.Context(), c.container, c.prefix+name, test.replace, "")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, off := range []int64{0, test.from, test.from + 9} {
			n, err := read(off)
			if !errors.Is(err, storage.ErrIntegrity) || !strings.Contains(err.Error(), test.says) || int64(n) > max(0, test.from-off) {
				t.Errorf("%q from %d: %d bytes, %v", test.says, off, n, err)
			}
		}
		if end := int64(19 * mebibyte); test.from < 16*mebibyte {
			if n, err := read(end); n != mebibyte || err != nil {
				t.Errorf("%q: what is whole of it: %d bytes, %v", test.says, n, err)
			}
		}
		if err := b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
}

// Writers of large objects in one process: the winner's segments stay alone. (Of
// several processes two may win on Swift: docs/storage-swift.md.)
func TestSwiftLargeObjectRace(t *testing.T) {
	b, c := openSwift(t)
	same := swiftBody(17 * mebibyte)
	for _, test := range []struct {
		name   string
		bodies []string
		wins   int
	}{
		{"the same bytes", []string{same, same, same}, 3},
		{"other bytes", []string{swiftBody(17 * mebibyte), swiftBody(17 * mebibyte), swiftBody(17 * mebibyte)}, 1},
	} {
		k := vitrine.ArtifactKey(uuid, strings.ReplaceAll(test.name, " ", "-"))
		var wg sync.WaitGroup
		errs := make([]error, len(test.bodies))
		for i, body := range test.bodies {
			wg.Go(func() { errs[i] = b.Create(t.Context(), k, strings.NewReader(body), swiftOptions(body)) })
		}
		wg.Wait()
		wins := 0
		for i, err := range errs {
			if err == nil {
				wins++
			} else if !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s: writer %d: %v", test.name, i, err)
			}
		}
		if wins != test.wins {
			t.Errorf("%s: %d writers succeeded, want %d", test.name, wins, test.wins)
		}
		c.want(t, 3, k)
		if err := b.Delete(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSwiftExpire(t *testing.T) {
	b, c := openSwift(t)
	small, large := vitrine.ArtifactKey(uuid, "small"), vitrine.ArtifactKey(uuid, "large")
	body := swiftBody(9 * mebibyte)
	if err := create(t.Context(), b, small, "small"); err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context(), large, strings.NewReader(body), swiftOptions(body)); err != nil {
		t.Fatal(err)
	}
	e := b.(storage.Expirer)
	for _, at := range []time.Time{time.Now().Add(time.Hour), time.Now().Add(48 * time.Hour), {}} {
		for _, k := range []string{small, large} {
			if err := e.Expire(t.Context(), k, at); err != nil {
				t.Fatal(err)
			}
		}
		want := ""
		if !at.IsZero() {
			want = strconv.FormatInt(at.Unix(), 10)
		}
		names := c.names(t)
		if len(names) != 4 {
			t.Errorf("in the container: %q", names)
		}
		for _, name := range names {
			if got := c.headers(t, name)["X-Delete-At"]; got != want {
				t.Errorf("%s: X-Delete-At is %q, want %q", name, got, want)
			}
		}
	}
	// All else is as it was: the same bytes again are known by their hash.
	for _, k := range []string{small, large} {
		h := c.headers(t, k)
		if h["X-Object-Meta-Sha256"] == "" || h["Content-Type"] != "application/octet-stream" {
			t.Errorf("%s after Expire: %v", k, h)
		}
	}
	if err := b.Create(t.Context(), large, strings.NewReader(body), swiftOptions(body)); err != nil {
		t.Error(err)
	}
	if err := e.Expire(t.Context(), key, time.Time{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Expire of what is not there: %v", err)
	}
	// What has expired is gone, at the second.
	if err := b.Create(t.Context(), key, strings.NewReader("x"), storage.CreateOptions{
		Size: 1, SHA256: swiftOptions("x").SHA256, Expires: time.Now().Add(-time.Hour),
	}); err != nil {
		t.Errorf("Create of what has expired: %v", err)
	}
}

// A writer that went away leaves segments: Uploads tells, Abort removes them, and
// neither touches what is in use or young.
func TestSwiftOrphans(t *testing.T) {
	b, c := openSwift(t)
	body := swiftBody(9 * mebibyte)
	if err := b.Create(t.Context(), key, strings.NewReader(body), swiftOptions(body)); err != nil {
		t.Fatal(err)
	}
	dead := vitrine.ArtifactKey(uuid, "dead")
	for _, name := range []string{key + "/AAAA/00001", dead + "/AAAA/00001", dead + "/BBBB/00002"} {
		if _, err := c.ObjectPut(t.Context(), c.container, c.prefix+"segments/"+name, bytes.NewReader([]byte("x")), true, "", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	uploads := func() (keys []string) {
		for u, err := range b.Uploads(t.Context(), vitrine.ArtifactsPrefix) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, u.Key)
		}
		slices.Sort(keys)
		return keys
	}
	if got := uploads(); len(got) != 0 {
		t.Errorf("uploads, while they are young: %q", got)
	}
	if err := b.Abort(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	c.want(t, 5, key)
	b.(*storage.Swift).OrphanedAfter(0)
	if got := uploads(); !slices.Equal(got, []string{dead, key}) {
		t.Errorf("uploads: %q", got)
	}
	for _, k := range []string{dead, key} {
		if err := b.Abort(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	c.want(t, 2, key)
	if got := uploads(); len(got) != 0 {
		t.Errorf("uploads after Abort: %q", got)
	}
	if err := b.Create(t.Context(), key, strings.NewReader(body), swiftOptions(body)); err != nil {
		t.Error(err)
	}
}

func TestSwiftInspect(t *testing.T) {
	_, c := openSwift(t)
	container := "inspected-" + strings.ToLower(rand.Text())
	place := "swift://" + container
	if _, err := storage.OpenBucket(t.Context(), place); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "swift post "+container) {
		t.Errorf("a container that is not there: %v", err)
	}
	if err := c.ContainerCreate(t.Context(), container, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.ContainerDelete(context.Background(), container); err != nil {
			t.Error(err)
		}
	})
	b, err := storage.OpenBucket(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	bad := func() (bad []string) {
		t.Helper()
		for _, f := range b.(storage.Inspector).Inspect(t.Context()) {
			if f.Detail == "" || f.Good && f.Fix != "" {
				t.Errorf("%+v", f)
			}
			if !f.Good {
				bad = append(bad, f.What)
				if !strings.HasPrefix(f.Fix, "swift post "+container+" ") {
					t.Errorf("%s: fix %q", f.What, f.Fix)
				}
			}
		}
		return bad
	}
	if got := bad(); !slices.Equal(got, []string{"signed requests", "CORS"}) {
		t.Errorf("of a new container: %q", got)
	}
	part := vitrine.NewPart(1, []byte("x"))
	if _, err := b.(storage.Signer).SignPart(t.Context(), key, part, time.Now().Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "swift post "+container) {
		t.Errorf("SignPart without a key: %v", err)
	}
	if err := c.ContainerUpdate(t.Context(), container, swift.Headers{
		"X-Container-Meta-Temp-Url-Key":                  "a secret key",
		"X-Container-Meta-Access-Control-Allow-Origin":   "https://logs.example.org",
		"X-Container-Meta-Access-Control-Expose-Headers": "content-range Accept-Ranges, ETag Content-Length",
	}); err != nil {
		t.Fatal(err)
	}
	if got := bad(); len(got) != 0 {
		t.Errorf("of a container that is set up: %q", got)
	}
}

func swiftOptions(body string) storage.CreateOptions {
	return storage.CreateOptions{Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body))}
}

type swiftReader func(p []byte) (int, error)

func (f swiftReader) Read(p []byte) (int, error) { return f(p) }
