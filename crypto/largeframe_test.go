package crypto

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
)

// sealLarge seals a log of so many frames of the largest size, each of one byte
// repeated, and a small one.
func sealLarge(t testing.TB, frames int, key *age.X25519Identity) []byte {
	t.Helper()
	var stream []byte
	var entries []seekEntry
	for i := range frames {
		f := encoder().EncodeAll(bytes.Repeat([]byte{'a' + byte(i)}, maxFrameSize), nil)
		stream = append(stream, f...)
		entries = append(entries, seekEntry{uint32(len(f)), maxFrameSize})
	}
	f := encoder().EncodeAll([]byte("\nend\n"), nil)
	entries = append(entries, seekEntry{uint32(len(f)), 5})
	return sealStream(t, appendSeekTable(append(stream, f...), entries), key)
}

// T-8.3: however many read logs of the largest frames, there is memory for one such.
func TestLargeFramesAreReadByTurns(t *testing.T) {
	defer func(d time.Duration) { leftAlone = d }(leftAlone)
	leftAlone = time.Minute
	key := newKey(t)
	sealed := sealLarge(t, 2, key)
	const size = 2*maxFrameSize + 5
	got := allocated(func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r := openAtBytes(t, sealed, key)
				in := r.NewReader(7, r.Size())
				defer in.Close()
				buf, at := make([]byte, 64<<10), 7
				for {
					n, err := in.Read(buf)
					for n := range buf[:n] {
						want := byte('a' + (at+n)/maxFrameSize)
						if at+n >= 2*maxFrameSize {
							want = "\nend\n"[at+n-2*maxFrameSize]
						}
						if buf[n] != want {
							t.Errorf("%q at %d", buf[n], at+n)
							return
						}
					}
					at += n
					if err == io.EOF {
						break
					} else if err != nil {
						t.Error(err)
						return
					}
				}
				if at != size {
					t.Errorf("ended at %d", at)
				}
			})
		}
		wg.Wait()
	})
	// A frame, the packed bytes of several, and of each reader a piece and what it took to open.
	if got > 40<<20 {
		t.Errorf("allocated %d bytes", got)
	}
}

// Who has begun to read a large frame and does not go on keeps nobody waiting.
func TestLargeFrameLeftAlone(t *testing.T) {
	key := newKey(t)
	sealed := sealLarge(t, 2, key)
	a, b := openAtBytes(t, sealed, key), openAtBytes(t, sealed, key)
	in := a.NewReader(0, a.Size())
	if _, err := io.ReadFull(in, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	other := b.NewReader(0, b.Size())
	defer other.Close()
	if n, err := io.Copy(io.Discard, other); n != b.Size() || err != nil {
		t.Errorf("the other: %d bytes, %v", n, err)
	}
	if n, err := io.Copy(io.Discard, in); n != a.Size()-1000 || err != nil {
		t.Errorf("the rest of the first: %d bytes, %v", n, err)
	}
	in.Close()
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Error("reads when it is closed")
	}
}

func TestLargeFrameAltered(t *testing.T) {
	key := newKey(t)
	f := encoder().EncodeAll(make([]byte, maxFrameSize), nil)
	own := appendLineTable(nil, lineTable{feeds: []uint32{3}})
	sealed := sealStream(t, appendSeekTable(append(f, own...), []seekEntry{{uint32(len(f)), maxFrameSize}, {compressed: uint32(len(own))}}), key)
	r := openAtBytes(t, sealed, key)
	for range 2 {
		if n, err := r.ReadAt(make([]byte, 10), 5); n > 0 || !errors.Is(err, ErrAltered) {
			t.Errorf("%d bytes, %v", n, err)
		}
		if got, err := openAtAll(sealed, key); len(got) > 0 || !errors.Is(err, ErrAltered) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// Many small frames are decrypted a chunk at a time, beside a large one too: a log of
// them takes no longer than its sealed bytes do.
func TestSmallFrames(t *testing.T) {
	key := newKey(t)
	const frames = 20_000
	f := encoder().EncodeAll([]byte("x\n"), nil)
	stream, entries := bytes.Repeat(f, frames), slices.Repeat([]seekEntry{{uint32(len(f)), 2}}, frames)
	plain := bytes.Repeat([]byte("x\n"), frames)
	large := bytes.Repeat([]byte{'y'}, maxFrameSize)
	f = encoder().EncodeAll(large, nil)
	for name, c := range map[string]struct {
		stream, plain []byte
		entries       []seekEntry
	}{
		"alone":              {stream, plain, entries},
		"before a large one": {slices.Concat(stream, f), slices.Concat(plain, large), append(entries, seekEntry{uint32(len(f)), maxFrameSize})},
	} {
		sealed := sealStream(t, appendSeekTable(c.stream, c.entries), key)
		got := allocated(func() {
			r := openAtBytes(t, sealed, key)
			in := r.NewReader(0, r.Size())
			defer in.Close()
			buf, at := make([]byte, 64<<10), 0
			for {
				n, err := in.Read(buf)
				if !bytes.Equal(buf[:n], c.plain[at:at+n]) {
					t.Fatalf("%s: other bytes at %d", name, at)
				}
				if at += n; err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if at != len(c.plain) {
				t.Errorf("%s: ended at %d of %d", name, at, len(c.plain))
			}
		})
		if got > 60<<20 {
			t.Errorf("%s: allocated %d bytes", name, got)
		}
	}
}
