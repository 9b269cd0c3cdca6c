//go:build writevectors

package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"vitrine/ngram"
)

// TestWriteVectors makes the test vectors. It is needed when the format gets a
// new version, and then for a new folder.
func TestWriteVectors(t *testing.T) {
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(vectorsDir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key, other := newKey(t), newKey(t)
	put("age.key", []byte("# a key for tests, known to everybody\n"+key.String()+"\n"))
	put("other.key", []byte("# a key for tests, known to everybody\n"+other.String()+"\n"))
	_, edKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(edKey, "a key for tests, known to everybody")
	if err != nil {
		t.Fatal(err)
	}
	put("ssh.key", pem.EncodeToMemory(block))
	signer, err := ssh.NewSignerFromKey(edKey)
	if err != nil {
		t.Fatal(err)
	}
	sshRecipient, err := agessh.NewEd25519Recipient(signer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	put("pq.key", []byte("# a key for tests, known to everybody\n"+hybrid.String()+"\n"))

	var vectors []vector
	add := func(file, identity, expect string, sealed, plain []byte, comment string) {
		t.Helper()
		v := vector{File: file, Identity: identity, Expect: expect, Comment: comment}
		if expect == "ok" {
			sum := sha256.Sum256(plain)
			v.Size, v.SHA256 = int64(len(plain)), hex.EncodeToString(sum[:])
		}
		put(file, sealed)
		vectors = append(vectors, v)
	}
	to := key.Recipient()
	inAge := func(stream []byte) []byte {
		t.Helper()
		var b bytes.Buffer
		w, err := age.Encrypt(&b, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(stream); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	small := []byte("PLAY RECAP\nbridge : ok=12 changed=3 unreachable=0 failed=0\n")
	long := []byte(strings.Repeat("TASK [wait] ok: [bridge] => {\"attempts\": 1, \"changed\": false}\n", 40_000)) // 2.5 MB
	image := noise(3000)
	whole := seal(t, small, to)
	flipped := slices.Clone(whole)
	flipped[len(flipped)-2000] ^= 0x10
	flippedHeader := slices.Clone(whole)
	flippedHeader[bytes.Index(whole, []byte("\n--- "))+10] ^= 1
	frame := encoder().EncodeAll(small, nil)
	size, plainSize := uint32(len(frame)), uint32(len(small))
	table := func(entries ...seekEntry) []byte { return appendSeekTable(nil, entries) }

	add("small.zst.age", "age.key", "ok", whole, small, "one frame")
	add("empty.zst.age", "age.key", "ok", seal(t, nil, to), nil, "no plaintext: one empty frame")
	add("frames.zst.age", "age.key", "ok", seal(t, long, to), long, "three frames, the last one shorter")
	add("two-readers.zst.age", "ssh.key", "ok", seal(t, small, to, sshRecipient), small, "sealed to an X25519 and an ssh-ed25519 key")
	add("pq.zst.age", "pq.key", "ok", seal(t, small, hybrid.Recipient()), small, "sealed to a post-quantum key")
	add("image.age", "age.key", "ok", sealRaw(t, image, to), image, "sealed as it is, without zstd")
	add("empty.age", "age.key", "ok", sealRaw(t, nil, to), nil, "sealed as it is, no plaintext")
	add("not-yours.zst.age", "other.key", "no match", whole, nil, "sealed to another key")
	add("truncated.zst.age", "age.key", "truncated", whole[:len(whole)-1000], nil, "the last 1000 bytes are missing")
	add("truncated-header.zst.age", "age.key", "truncated", whole[:50], nil, "ends within the header")
	add("extended.zst.age", "age.key", "extended", append(slices.Clone(whole), 0), nil, "one byte more")
	add("flipped.zst.age", "age.key", "altered", flipped, nil, "one bit of the payload differs")
	add("flipped-mac.zst.age", "age.key", "altered", flippedHeader, nil, "one bit of the header's MAC differs")
	flippedImage := sealRaw(t, image, to)
	flippedImage[len(flippedImage)-100] ^= 1
	add("flipped-image.age", "age.key", "corrupt", flippedImage, nil, "one bit of the only chunk differs; without padding it could be truncated as well")
	add("lying-table.zst.age", "age.key", "altered", inAge(slices.Concat(frame, table(seekEntry{size, plainSize + 1}))), nil, "the seek table declares another size than the frame")
	add("short-table.zst.age", "age.key", "altered", inAge(slices.Concat(frame, frame, table(seekEntry{size, plainSize}))), nil, "the seek table lacks a frame")
	add("after-table.zst.age", "age.key", "extended", inAge(slices.Concat(frame, table(seekEntry{size, plainSize}), frame)), nil, "a frame follows the seek table")
	add("no-table.zst.age", "age.key", "foreign", inAge(frame), nil, "a plain zstd file; age -d and zstd -d open it")
	add("cut-frame.zst.age", "age.key", "truncated", inAge(frame[:len(frame)-2]), nil, "intact for age, but the zstd stream ends within a frame")
	add("bomb.zst.age", "age.key", "foreign", inAge(withTable(bomb(4<<30, 100), 0)), nil, "a frame that declares 4 GiB")
	add("liar-bomb.zst.age", "age.key", "altered", inAge(withTable(bomb(1<<20, 1000), 1<<20)), nil, "a frame that declares 1 MiB and holds 125")
	add("not-age.zst.age", "age.key", "altered", frame, nil, "not an age file")

	writeVectorList(t, vectors)
}

func writeVectorList(t *testing.T, vectors []vector) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(vectors); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorsDir, "vectors.json"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAddVectors adds to the vectors those that came later, for the keys that are
// there. One that is there stays as it is.
func TestAddVectors(t *testing.T) {
	vectors := readVectors(t)
	key, ok := vectorIdentities(t, "age.key")[0].(*age.X25519Identity)
	if !ok {
		t.Fatal("age.key is of another kind")
	}
	add := func(v vector, sealed, plain []byte) {
		t.Helper()
		if slices.ContainsFunc(vectors, func(o vector) bool { return o.File == v.File }) {
			return
		}
		v.Identity = "age.key"
		if v.Expect == "ok" {
			sum := sha256.Sum256(plain)
			v.Size, v.SHA256 = int64(len(plain)), hex.EncodeToString(sum[:])
		}
		if v.Tables == "ok" {
			s, err := takeApart(sealed, key)
			if err != nil {
				t.Fatal(err)
			}
			v.Feeds, v.Blocks = s.countFeeds(), s.countBlocks()
		}
		if err := os.WriteFile(filepath.Join(vectorsDir, v.File), sealed, 0o644); err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, v)
	}
	plain := logText(1000)
	flushed := sealFlushing(t, plain, 400, key.Recipient())
	add(vector{File: "flushed.zst.age", Expect: "ok", Comment: "flushed twice: short frames, each followed by padding"}, flushed, plain)
	cut := headerSize(t, flushed) + nonceSize + sealedSize
	add(vector{File: "flushed-cut.zst.age", Expect: "truncated", Comment: "ends after the first flush"}, flushed[:cut], nil)

	// With the tables of those who seek and search.
	task := "TASK [wait] ok: [bridge] => {\"attempts\": 1, \"changed\": false}\n"
	long := []byte(strings.Repeat(task, 70_000) + "the last line has no line feed")
	short := []byte(task + "fatal: [bridge]: FAILED! => No space left on device\n")
	add(vector{File: "lines.zst.age", Expect: "ok", Tables: "ok", Comment: "a line table"}, seal(t, short, key.Recipient()), short)
	add(vector{File: "long.zst.age", Expect: "ok", Tables: "ok", Comment: "pieces at the end, three of them behind the padding"}, seal(t, long, key.Recipient()), long)
	add(vector{File: "searchable.zst.age", Expect: "ok", Tables: "ok", Comment: "a search index"}, sealSearchable(t, long, key.Recipient()), long)
	frame := encoder().EncodeAll(short, nil)
	with := func(own ...[]byte) []byte {
		entries := []seekEntry{{uint32(len(frame)), uint32(len(short))}}
		stream := slices.Clone(frame)
		for _, f := range own {
			entries = append(entries, seekEntry{compressed: uint32(len(f))})
			stream = append(stream, f...)
		}
		var b bytes.Buffer
		w, err := age.Encrypt(&b, key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(appendSeekTable(stream, entries)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	lines := func(search int, feeds ...uint32) []byte { return appendLineTable(nil, lineTable{search, feeds}) }
	for _, v := range []struct {
		file, comment string
		own           [][]byte
	}{
		{"lines-too-many", "the line table tells of two frames, and there is one", [][]byte{lines(0, 2, 2)}},
		{"lines-too-few", "the line table tells of no frame", [][]byte{lines(0)}},
		{"lines-lie", "the line table claims more line feeds than the frame has bytes", [][]byte{lines(0, 1000)}},
		{"lines-miscounted", "the line table claims one line feed of the frame, which has two", [][]byte{lines(0, 1)}},
		{"search-beyond", "the line table names a search index that is not there", [][]byte{lines(7, 2)}},
		{"search-no-index", "the line table names a frame as search index that is padding", [][]byte{appendSkippableHeader(nil, skippableMagic, 0), lines(1, 2)}},
		{"search-other-frames", "the search index is of two frames, and there is one", [][]byte{appendSearchIndex(nil, []*searchBlock{{frames: 2}}), lines(1, 2)}},
		{"search-two-zstd", "the search index is in two zstd frames", [][]byte{
			ownPacked(encoder().EncodeAll(make([]byte, ngram.Size), encoder().EncodeAll([]byte{1, 1}, nil))), lines(1, 2)}},
		{"search-bomb", "the search index decompresses to 2 GiB", [][]byte{ownFrame([]byte{0}), lines(1, 2)}},
	} {
		if v.file == "search-bomb" {
			b := append([]byte(searchIndexTag), bomb(2<<30, 100)...)
			v.own[0] = append(appendSkippableHeader(nil, ownMagic, uint32(len(b))), b...)
		}
		add(vector{File: v.file + ".zst.age", Expect: "ok", Tables: "altered", Comment: v.comment}, with(v.own...), short)
	}
	later := func(frame []byte) []byte {
		frame = slices.Clone(frame)
		frame[skippableHeader+4] = 2
		return frame
	}
	add(vector{File: "later-lines.zst.age", Expect: "ok", Tables: "ok", Comment: "a line table of version 2, which counts as none"}, with(later(lines(0, 2))), short)
	add(vector{File: "later-search.zst.age", Expect: "ok", Tables: "ok", Comment: "a search index of version 2, which counts as none"},
		with(later(appendSearchIndex(nil, []*searchBlock{{frames: 1}})), lines(1, 2)), short)
	writeVectorList(t, vectors)
}
