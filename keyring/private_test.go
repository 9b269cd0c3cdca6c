package keyring_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"filippo.io/age"

	"vitrine/keyring"
)

// T-1.5: what a service of class private seals holds no mark of who may open it,
// also where a reader has keys that would leave one.
func TestPrivateLeavesNoMark(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	alice, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	const ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP774Jj7aYNDbZIIQQV1AkJCLzyytizQcAhZOJgD+Lrr"
	const bridge = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDgflfedzAW8G1n7EWBR2Sf0WOSFOxrwK9tz7jUEBt9/"
	k, err := keyring.Load(fstest.MapFS{
		"keys/alice.pub":        file(alice.Recipient().String() + "\n" + ssh + "\n"),
		"publishers/bridge.pub": file(bridge + "\n"),
		"services/hr.yaml":      file("jobs: [deploy-hr]\nreaders: [alice]\npublishers: [bridge]\nclass: private\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := k.Recipients("hr", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, r.Age...)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	header, err := age.ExtractHeader(&sealed)
	if err != nil {
		t.Fatal(err)
	}
	stanzas := 0
	for line := range strings.Lines(string(header)) {
		if !strings.HasPrefix(line, "-> ") {
			continue
		}
		// age greases headers with stanzas of random names; those are no marks.
		if strings.HasPrefix(line, "-> ssh-") || strings.HasPrefix(line, "-> p256tag") {
			t.Errorf("a mark of a key: %q", line)
		}
		if strings.HasPrefix(line, "-> X25519 ") {
			stanzas++
		}
	}
	if stanzas != 1 || len(r.Readers) != 1 || len(r.Readers[0].Fingerprints) != 1 {
		t.Errorf("%d X25519 stanzas for readers %v", stanzas, r.Readers)
	}
}
