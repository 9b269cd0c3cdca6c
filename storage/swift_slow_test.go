//go:build slow

package storage

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// zeros is a body of so many zero bytes, whose hash is found once.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

// A large object takes little memory. The server that throws its bytes away is
// another process: this binary, started again.
func TestSwiftMemory(t *testing.T) {
	const size = 12 << 30
	if os.Getenv("VITRINE_DISCARDING_SWIFT") != "" {
		discardingSwift()
	}
	server := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSwiftMemory$")
	server.Env = append(os.Environ(), "VITRINE_DISCARDING_SWIFT=1")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	var address string
	if _, err := fmt.Fscanln(out, &address); err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, &zeros{size}); err != nil {
		t.Fatal(err)
	}
	noOpenStack(t)
	t.Setenv("ST_AUTH", address+"/auth/v1.0")
	t.Setenv("ST_USER", "user")
	t.Setenv("ST_KEY", "key")
	b, err := OpenBucket(t.Context(), "swift://c")
	if err != nil {
		t.Fatal(err)
	}
	opts := CreateOptions{Size: size, SHA256: [32]byte(h.Sum(nil))}
	if err := b.Create(t.Context(), swiftKey, io.MultiReader(&zeros{size}), opts); err != nil {
		t.Fatal(err)
	}
	if o, err := b.Stat(t.Context(), swiftKey); err != nil || o.Size != size {
		t.Errorf("%+v, %v", o, err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d MiB of heap for %d GiB", m.HeapSys>>20, int64(size)>>30)
	if m.HeapSys > 100<<20 {
		t.Errorf("HeapSys is %d MiB, want below 100", m.HeapSys>>20)
	}
}

// discardingSwift keeps the sizes of what it is given, and ends with its parent.
func discardingSwift() {
	var mu sync.Mutex
	sizes := make(map[string]int64)
	etags := make(map[string]string)
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			w.Header().Set("X-Storage-Url", server.URL+"/v1/AUTH_test")
			w.Header().Set("X-Auth-Token", "token")
		case http.MethodPut:
			var size int64
			etag := ""
			if r.URL.RawQuery != "" {
				var manifest []struct {
					Path string
					ETag string
					Size int64 `json:"size_bytes"`
				}
				if err := json.NewDecoder(r.Body).Decode(&manifest); err != nil {
					panic(err)
				}
				all := md5.New()
				for _, s := range manifest {
					size += s.Size
					io.WriteString(all, s.ETag)
				}
				etag = hex.EncodeToString(all.Sum(nil))
			} else {
				n, err := io.Copy(io.Discard, r.Body)
				if err != nil {
					panic(err)
				}
				size, etag = n, r.Header.Get("ETag")
			}
			mu.Lock()
			sizes[r.URL.Path], etags[r.URL.Path+" meta"] = size, r.Header.Get(metaSHA256)+" "+r.Header.Get(metaSegments)
			etags[r.URL.Path] = etag
			mu.Unlock()
			w.WriteHeader(http.StatusCreated)
		case http.MethodHead:
			mu.Lock()
			size, ok := sizes[r.URL.Path]
			sha, segments, _ := strings.Cut(etags[r.URL.Path+" meta"], " ")
			w.Header().Set("ETag", etags[r.URL.Path])
			mu.Unlock()
			if !ok && strings.Contains(r.URL.Path, "artifacts") {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set(metaSHA256, sha)
			w.Header().Set(metaSegments, segments)
			w.Header().Set("X-Timestamp", "1795372838.96356")
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
	})
	server.Start()
	fmt.Println(server.URL)
	select {}
}
