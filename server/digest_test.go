package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

func TestContentDigest(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	sha := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	md5 := "md5=:nd01TitrCUzbVaUSsK9UTQ==:"
	for _, good := range [][]string{{sha}, {sha + ", " + md5}, {md5 + "," + sha}, {sha, md5}, {"sha-512=:eA==:, " + sha}} {
		got, _, err := contentDigest(http.Header{"Content-Digest": good})
		if err != nil || got != sum {
			t.Errorf("%q: %x, error %v", good, got, err)
		}
	}
	if _, got, err := contentDigest(http.Header{"Content-Digest": {sha + "," + md5}}); err != nil || got != "9ddd354e2b6b094cdb55a512b0af544d" {
		t.Errorf("md5 %q, error %v", got, err)
	}
	for _, bad := range [][]string{nil, {""}, {md5}, {sha + "," + sha}, {sha + "," + md5 + "," + md5}, {"sha-256=:eA==:"}, {strings.TrimSuffix(sha, ":")},
		{"SHA-256" + sha[7:]}, {sha + ", md5=:eA==:"}, {sha + ", md5"}, {"sha-256=" + sha}} {
		if _, _, err := contentDigest(http.Header{"Content-Digest": bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// A digest that is taken is the one that the header has.
func FuzzContentDigest(f *testing.F) {
	sum := sha256.Sum256([]byte("x"))
	f.Add("sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":, md5=:nd01TitrCUzbVaUSsK9UTQ==:")
	f.Add("md5=::,sha-256=:")
	f.Fuzz(func(t *testing.T, header string) {
		sha, sum, err := contentDigest(http.Header{"Content-Digest": {header}})
		if err != nil {
			return
		}
		if !strings.Contains(header, base64.StdEncoding.EncodeToString(sha[:])) || sum != "" && len(sum) != 32 {
			t.Errorf("%q: %x, %q", header, sha, sum)
		}
		if bytes.Equal(sha[:], make([]byte, 32)) && !strings.Contains(header, "AAAA") {
			t.Errorf("%q: no digest", header)
		}
	})
}
