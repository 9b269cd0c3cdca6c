package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"vitrine"
	"vitrine/crypto"
	"vitrine/ngram"
)

// A broken search index, which verify knows nothing of: what can do without it does,
// and grep says how to.
func TestBrokenIndex(t *testing.T) {
	const dir = "../../testdata/vectors/sealed/"
	key, err := os.Open(dir + "age.key")
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	ids, err := crypto.ParseIdentities(key, "age.key", crypto.UI{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir + "search-other-frames.zst.age")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := crypto.OpenAt(f, info.Size(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if within, ok, err := mayHold(r, ngram.NewQuery("some text")); within != nil || ok || err != nil {
		t.Errorf("%v, %v, %v; all is to be read", within, ok, err)
	}
	_, _, err = r.MayHold(ngram.NewQuery("some text"))
	err = errReading(&vitrine.Record{UUID: "0f"}, "a.log.zst.age", err)
	if !isUnverified(err) || !errors.Is(err, crypto.ErrSearchIndex) {
		t.Fatal(err)
	}
	if text := err.Error(); !strings.HasSuffix(text, "\n  --no-index searches without it") || strings.Contains(text, "verify") {
		t.Error(text)
	}
}
