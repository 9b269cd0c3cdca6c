package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/client"
	"vitrine/storage"
)

// begun returns a publisher that has begun the build. Its requests for artifacts
// are answered by put.
func begun(t *testing.T, put http.HandlerFunc, change ...func(*client.Client)) *client.Publisher {
	t.Helper()
	return begunBy(t, put, "", change...)
}

// begunBy is begun with more in the server's grant.
func begunBy(t *testing.T, serveArtifact http.HandlerFunc, grant string, change ...func(*client.Client)) *client.Publisher {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/builds") {
			io.WriteString(w, `{`+grant+`"token":"t","expires":"2099-01-01T00:00:00Z"}`)
			return
		}
		serveArtifact(w, r)
	})
	for _, f := range change {
		f(c)
	}
	p := c.Publisher(signer)
	record := &vitrine.Record{
		Version: vitrine.RecordVersion, Tenant: "demo", Service: "web", UUID: uuid, Buildset: uuid, JobName: "deploy",
		StartTime: time.Now().UTC().Truncate(time.Second), Keyring: vitrine.Keyring{Commit: strings.Repeat("a", 40)}, Publisher: "bridge",
	}
	text, err := record.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	opts := storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text)}
	if err := p.Create(context.Background(), vitrine.StartedKey(record.StartTime, uuid), bytes.NewReader(text), opts); err != nil {
		t.Fatal(err)
	}
	return p
}

// A countedBody counts as publishing does, without a lock: the race detector
// sees who still reads it.
type countedBody struct {
	*bytes.Reader
	off int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.off += int64(n)
	return n, err
}

func (b *countedBody) Seek(offset int64, whence int) (int64, error) {
	off, err := b.Reader.Seek(offset, whence)
	b.off = off
	return off, err
}

// A server may answer before it has read what it is sent. Then nobody reads the
// body any more when it is sent again, or given back to the caller.
func TestAnswerBeforeBody(t *testing.T) {
	text := make([]byte, 32<<20) // more than a connection holds
	opts := storage.CreateOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text)}
	key := vitrine.ArtifactKey(uuid, "a.log.zst.age")
	early := func(w http.ResponseWriter, status int) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		http.NewResponseController(w).Flush()
	}
	t.Run("sent again", func(t *testing.T) {
		var tries atomic.Int32
		p := begun(t, func(w http.ResponseWriter, r *http.Request) {
			if tries.Add(1) == 1 {
				early(w, http.StatusServiceUnavailable)
				io.Copy(io.Discard, r.Body)
				return
			}
			if got, err := io.Copy(io.Discard, r.Body); got != opts.Size || err != nil {
				t.Errorf("the second try sent %d bytes, error %v", got, err)
			}
			w.WriteHeader(http.StatusCreated)
		})
		if err := p.Create(context.Background(), key, &countedBody{Reader: bytes.NewReader(text)}, opts); err != nil || tries.Load() != 2 {
			t.Fatalf("error %v after %d tries", err, tries.Load())
		}
	})
	t.Run("given back", func(t *testing.T) {
		p := begun(t, func(w http.ResponseWriter, r *http.Request) {
			early(w, http.StatusConflict)
			time.Sleep(100 * time.Millisecond) // the rest waits in the runner
			io.Copy(io.Discard, r.Body)
		})
		body := &countedBody{Reader: bytes.NewReader(text)}
		if err := p.Create(context.Background(), key, body, opts); !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		was := body.off
		time.Sleep(200 * time.Millisecond)
		if body.off != was || was == opts.Size {
			t.Errorf("%d bytes were read when Create returned, %d later, of %d", was, body.off, opts.Size)
		}
	})
}
