package server_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"vitrine"
)

// Every address that the documentation of the API and the feeds asks for is
// answered as it says.
func TestDocumentedAddresses(t *testing.T) {
	s := newSite(t)
	r := s.publish()
	address := regexp.MustCompile(`(?:\$V|\$T|\$Z|\$L|https://vitrine\.example\.org/t/main)/[^\s")]*`)
	checked := 0
	for _, file := range []string{"../docs/api.md", "../docs/feeds.md", "../docs/zuul.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```") {
			if i%2 == 0 {
				continue
			}
			for _, path := range address.FindAllString(block, -1) {
				if strings.Contains(path, "/events") {
					continue // it never ends
				}
				path = strings.NewReplacer("$Z", "/api/tenant/demo", "$L", "/logs/demo/"+r.UUID, "$V", "/api/v1/tenant/demo", "$T", "/t/demo", "https://vitrine.example.org/t/main", "/t/demo",
					`\&`, "&", "ansible.log.zst.age", r.Artifacts[0].Path, "UUID", r.UUID, "BUILDSET", r.Buildset).Replace(path)
				want := 200
				switch {
				case strings.Contains(path, "GREEN"):
					want = 400
				case strings.Contains(path, "/latest"):
					want = 303
				}
				if resp, body := s.ask("GET", path); resp.StatusCode != want {
					t.Errorf("%s: %s: %d, want %d: %.300s", file, path, resp.StatusCode, want, body)
				}
				checked++
			}
		}
	}
	if checked < 28 {
		t.Errorf("%d addresses checked", checked)
	}
	if _, body := s.ask("GET", api+"?result=GREEN"); !strings.Contains(body, `"detail":"result \"GREEN\": want one of RUNNING, `+string(vitrine.Results[0])) {
		t.Errorf("the error is documented otherwise than %s", body)
	}
}
