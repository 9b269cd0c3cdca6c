package keyring

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

// public_summary is read as strictly as all else: a word that is not known must
// not make anything public.
func TestPublicSummary(t *testing.T) {
	load := func(line string) (*Keyring, error) {
		return Load(fstest.MapFS{
			"keys/alice.pub":        {Data: []byte("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n")},
			"publishers/bridge.pub": {Data: []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDvQzbwVAl8e0jKxDnfVZyqNN0xzGhV6PCXGzL8ZV5Zk\n")},
			"services/web.yaml":     {Data: []byte("jobs: [deploy]\nreaders: [alice]\npublishers: [bridge]\n" + line)},
		})
	}
	for line, want := range map[string]bool{"": false, "public_summary: []\n": false, "public_summary: [recap]\n": true} {
		k, err := load(line)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Services["web"].PublicRecap; got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
	for line, want := range map[string]string{
		"public_summary: [failures]\n":     `"failures": want recap`,
		"public_summary: [recap, hosts]\n": `"hosts": want recap`,
		"public_summary: recap\n":          "want a list",
		"public_summary: true\n":           "want a list",
		"public_summary: [1]\n":            "want a list of texts",
		"public_sumary: [recap]\n":         "public_summary",
	} {
		var invalid *Invalid
		if _, err := load(line); !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}
