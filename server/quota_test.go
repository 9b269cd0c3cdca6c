package server

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"vitrine"
)

// T-2.8: the 10,001st artifact of a build is not taken, and not more parts than
// can be remembered. (What bytes are bounded to, TestQuotas asks the server.)
func TestClaims(t *testing.T) {
	u := uploads{maxBuild: 1 << 40, maxService: 1 << 40, builds: make(map[string]*buildUploads)}
	build := vitrine.Build{Record: vitrine.Record{UUID: "a", Service: "web"}}
	claim := func(path string, parts ...vitrine.Part) int {
		var refused *refusal
		if err := u.claim(build, path, parts...); errors.As(err, &refused) {
			return refused.status
		} else if err != nil {
			t.Fatal(err)
		}
		return 0
	}
	one := vitrine.Part{Number: 1, Size: 1}
	for i := range vitrine.MaxArtifacts {
		if status := claim(fmt.Sprint(i), one); status != 0 {
			t.Fatalf("artifact %d: %d", i+1, status)
		}
	}
	if status := claim("one more", one); status != http.StatusRequestEntityTooLarge {
		t.Errorf("artifact 10,001: %d", status)
	}
	if status := claim("0", one); status != 0 {
		t.Errorf("the first again: %d", status)
	}
	var many []vitrine.Part
	for i := range vitrine.MaxParts {
		many = append(many, vitrine.Part{Number: i + 1, Size: 1})
	}
	open, status := vitrine.MaxArtifacts, 0
	for i := 0; status == 0; i++ {
		if status = claim(fmt.Sprint(i), many...); status == 0 {
			open += len(many) - 1
		}
	}
	if status != http.StatusTooManyRequests || open > maxOpenParts || open < maxOpenParts-len(many) {
		t.Errorf("%d parts are open: %d", open, status)
	}
	u.done("a", "0", stored{size: int64(len(many))})
	if status := claim("9", many[:100]...); status != 0 {
		t.Errorf("after a completion: %d", status)
	}
	for i := range maxUploads + 10 {
		build.UUID = fmt.Sprint("other", i)
		claim("x", one)
	}
	if len(u.builds) > maxUploads || u.builds["a"] != nil {
		t.Errorf("%d builds are remembered, the oldest is there: %v", len(u.builds), u.builds["a"] != nil)
	}
}
