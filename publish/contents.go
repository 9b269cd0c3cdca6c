package publish

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"

	"vitrine"
)

// sealContents adds the artifact that tells readers the names of the hidden
// files, if there are any. b.mu is held. It is sent with the final record and
// not before: a publish that is cut short here seals it again.
func (b *Build) sealContents() error {
	contents := vitrine.Contents{Version: 1, Names: make(map[string]string)}
	for source, a := range b.artifacts {
		if strings.HasPrefix(a.Path, vitrine.HiddenPrefix) && a.Sealed && a.PlainPath() != source {
			contents.Names[a.PlainPath()] = source
		}
	}
	if len(contents.Names) == 0 {
		return nil
	}
	text, err := json.Marshal(contents)
	if err != nil {
		return err
	}
	return b.sealOwn(vitrine.ContentsPath, text, map[string]string{"type": vitrine.ContentsType})
}

// sealOwn adds a file that is not the runner's, and is sealed whatever the keyring
// declares public. b.mu is held.
func (b *Build) sealOwn(path string, text []byte, metadata map[string]string) error {
	text = padJSON(text)
	w, err := b.beginArtifact(path, text, true, true)
	if err != nil {
		return err
	}
	maps.Copy(w.record.Metadata, metadata)
	if _, err := w.Write(text); err != nil {
		w.discard()
		return err
	}
	if err := w.end(); err != nil {
		return err
	}
	if err := b.folder.keepArtifact(w.temp, w.record); err != nil {
		return err
	}
	b.artifacts[w.record.Source] = w.record
	b.meter.add(func(t *Totals) {
		t.Files++
		t.SealedFiles++
		t.PlainBytes += w.record.PlainSize
		t.SealedBytes += w.record.PlainSize
		t.SpoolBytes += w.record.Size
	})
	return nil
}

// padJSON ends a JSON text with spaces, up to 16 KiB or the next power of two: its
// length is public, and would tell of two that they say the same.
func padJSON(text []byte) []byte {
	text = bytes.TrimRight(text, "\n")
	size := 16 << 10
	for size < len(text) {
		size *= 2
	}
	return append(text, bytes.Repeat([]byte{' '}, size-len(text))...)
}
