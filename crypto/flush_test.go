package crypto

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"filippo.io/age"
)

// sealFlushing seals, and flushes after every so many bytes.
func sealFlushing(t testing.TB, plain []byte, every int, recipients ...age.Recipient) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := Seal(&b, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(plain, every) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What was written before a flush can be read from what is there after it. The
// file only grows: no chunk is encrypted a second time with other content.
func TestFlush(t *testing.T) {
	key := newKey(t)
	for name, steps := range map[string][]int{
		"few bytes":      {1, 2, 3, 40, 1, 1},
		"lines":          {80, 81, 500, 7000, 80},
		"many frames":    {frameSize + 17, 5, frameSize, frameSize - 1},
		"grows by a lot": {1, 100, 10_000, 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w, err := Seal(&b, key.Recipient())
			if err != nil {
				t.Fatal(err)
			}
			var plain, before []byte
			for _, n := range steps {
				more := noise(n)
				plain = append(plain, more...)
				if _, err := w.Write(more); err != nil {
					t.Fatal(err)
				}
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				got, err := openAll(b.Bytes(), key)
				if !errors.Is(err, ErrTruncated) || !bytes.Equal(got, plain) {
					t.Fatalf("after %d bytes %d can be read, error %v", len(plain), len(got), err)
				}
				if !bytes.HasPrefix(b.Bytes(), before) {
					t.Fatal("a flush changed what was written before it")
				}
				before = slices.Clone(b.Bytes())
				if err := w.Flush(); err != nil || b.Len() != len(before) {
					t.Fatalf("nothing new took %d bytes, error %v", b.Len()-len(before), err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b.Bytes(), before) {
				t.Fatal("the end changed what was written before it")
			}
			if got, err := openAll(b.Bytes(), key); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes, error %v, want the %d that were sealed", len(got), err, len(plain))
			}
			r, err := age.Decrypt(bytes.NewReader(b.Bytes()), key)
			if err != nil {
				t.Fatal(err)
			}
			if stream, err := io.ReadAll(r); err != nil || !isPadme(int64(len(stream))) {
				t.Errorf("a stream of %d bytes, no Padmé size, error %v", len(stream), err)
			}
		})
	}
}

// The last frame may end anywhere in a chunk of age, and at its very end.
func TestFlushAtTheEndOfAChunk(t *testing.T) {
	key := newKey(t)
	text := noise(chunkSize + 100)
	exact := false
	for n := chunkSize - 40; n < chunkSize+10; n++ {
		var b bytes.Buffer
		w, err := Seal(&b, key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		w.Write(text[:n])
		f := w.frames.(*frameWriter)
		f.writeAll(f.takeRest())
		exact = exact || f.offset == chunkSize
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if got, err := openAll(b.Bytes(), key); !errors.Is(err, ErrTruncated) || len(got) != n {
			t.Errorf("of %d bytes, a frame of %d, %d can be read, error %v", n, f.entries[0].compressed, len(got), err)
		}
		if added := f.offset - int64(f.entries[0].compressed); added > chunkSize+skippableHeader {
			t.Errorf("a flush took %d bytes", added)
		}
	}
	if !exact {
		t.Error("no frame ended with a chunk")
	}
	// A frame shorter than the longest header, with nothing behind it.
	for n := range 4 {
		var b bytes.Buffer
		w, err := Seal(&b, key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		f := w.frames.(*frameWriter)
		f.writePadding(uint32(chunkSize - skippableHeader - 13 - n))
		w.Write([]byte("abcd")[:n])
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if got, err := openAll(b.Bytes(), key); !errors.Is(err, ErrTruncated) || string(got) != "abcd"[:n] {
			t.Errorf("%q can be read of %d bytes, error %v", got, n, err)
		}
	}
}

// Whatever is cut off, what is left gives out a beginning of the plaintext, never
// other bytes, and no end of the file.
func TestTruncatedGivesItsBeginning(t *testing.T) {
	key := newKey(t)
	plain := logText(600_000)
	sealed := sealFlushing(t, plain, 140_000, key.Recipient())
	most := 0
	for cut := len(sealed) - 1; cut > 0; cut -= 19_997 {
		got, err := openAll(sealed[:cut], key)
		if !errors.Is(err, ErrCorrupt) || !bytes.HasPrefix(plain, got) {
			t.Fatalf("cut at %d: %d bytes, error %v", cut, len(got), err)
		}
		most = max(most, len(got))
	}
	if most < 400_000 {
		t.Errorf("at most %d bytes could be read", most)
	}
	// A file sealed as it is gives out its whole chunks.
	raw := noise(5*chunkSize + 9)
	sealed = sealRaw(t, raw, key.Recipient())
	if got, err := openAll(sealed[:headerSize(t, sealed)+nonceSize+4*sealedSize+300], key); !errors.Is(err, ErrCorrupt) || !bytes.Equal(got, raw[:4*chunkSize]) {
		t.Errorf("%d bytes of a raw file, error %v, want %d", len(got), err, 4*chunkSize)
	}
}

func TestFlushRefuses(t *testing.T) {
	key := newKey(t)
	raw, err := SealRaw(io.Discard, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Flush(); err == nil {
		t.Error("a file without frames was flushed")
	}
	if _, err := raw.Write([]byte("it goes on")); err != nil || raw.Close() != nil {
		t.Errorf("the refusal ended the file: %v", err)
	}
	var b bytes.Buffer
	w, err := Seal(&b, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	empty := b.Len()
	if err := w.Flush(); err != nil || b.Len() != empty {
		t.Errorf("nothing was written, and a flush took %d bytes, error %v", b.Len()-empty, err)
	}
	w.frames.(*frameWriter).entries = make([]seekEntry, maxFlushed)
	w.Write([]byte("too often"))
	if err := w.Flush(); err == nil || b.Len() != empty {
		t.Errorf("flushed too often: %d bytes, error %v", b.Len()-empty, err)
	}
	w.frames.(*frameWriter).entries = nil
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := openAll(b.Bytes(), key); err != nil || string(got) != "too often" {
		t.Errorf("%q, error %v", got, err)
	}
	if err := w.Flush(); err == nil {
		t.Error("flushed after Close")
	}
	w, err = Seal(&failAfter{n: 300}, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("hello"))
	if err := w.Flush(); err == nil {
		t.Error("dst failed, and the flush did not")
	}
	if _, err := w.Write([]byte("hello")); err == nil {
		t.Error("dst failed, and the Writer goes on")
	}
}
