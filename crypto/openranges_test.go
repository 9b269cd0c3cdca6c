package crypto

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"math/big"
	"sync"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/ssh"
)

// fingerprintOf is a key's fingerprint as a record has it.
func fingerprintOf(t *testing.T, r any) string {
	t.Helper()
	const hash = "SHA256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	switch r := r.(type) {
	case *age.HybridRecipient:
		return "age1pq1:" + hash
	case *age.X25519Recipient:
		return r.String()
	case *agessh.RSARecipient, *agessh.Ed25519Recipient:
		return hash
	}
	t.Fatalf("a recipient of type %T", r)
	return ""
}

func hybridKey(t *testing.T) *age.HybridIdentity {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestHeaderSizeIsRatherTooLong(t *testing.T) {
	// Nobody has its private half: to find one takes long.
	modulus := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 4096), big.NewInt(1))
	public, err := ssh.NewPublicKey(&rsa.PublicKey{N: modulus, E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := agessh.NewRSARecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []age.Recipient{newKey(t).Recipient(), hybridKey(t).Recipient(), rsaKey} {
		for _, n := range []int{1, 20, 256} {
			var all []age.Recipient
			var prints []string
			for range n {
				all = append(all, r)
				prints = append(prints, fingerprintOf(t, r))
			}
			header := int64(headerSize(t, seal(t, nil, all...)))
			// It is read in steps of 4 KiB.
			if got := HeaderSize(prints); got < header+4096 || got > header+4096+header/2+200 {
				t.Errorf("%d keys of type %T: %d, the header has %d", n, r, got, header)
			}
		}
	}
}

// A longFile is a sealed file of any length of which only the end is real: it is
// encrypted when it is read, and what was asked for is noted.
type longFile struct {
	header, key []byte
	end         []byte // of the stream
	stream      int64  // its length
	size        int64  // of the file
	mu          sync.Mutex
	asked       [][2]int64
}

func newLongFile(t *testing.T, stream int64, end []byte, id age.Identity, recipients ...age.Recipient) *longFile {
	t.Helper()
	sealed := sealRaw(t, nil, recipients...)
	n := headerSize(t, sealed)
	fileKey, err := unwrap(sealed[:n], []age.Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	f := &longFile{header: sealed[:n+nonceSize], end: end, stream: stream}
	if f.key, err = payloadKey(fileKey, f.header[n:]); err != nil {
		t.Fatal(err)
	}
	f.size = int64(len(f.header)) + stream + (stream+chunkSize-1)/chunkSize*chacha20poly1305.Overhead
	return f
}

// chunk encrypts a chunk: zeros, but for the beginning of a zstd frame and the end.
func (f *longFile) chunk(i int64) []byte {
	from, to := i*chunkSize, min((i+1)*chunkSize, f.stream)
	plain := make([]byte, to-from)
	if i == 0 {
		copy(plain, "\x28\xb5\x2f\xfd")
	}
	if start := f.stream - int64(len(f.end)); to > start {
		copy(plain[max(0, start-from):], f.end[max(0, from-start):])
	}
	aead, err := chacha20poly1305.New(f.key)
	if err != nil {
		panic(err)
	}
	return aead.Seal(nil, chunkNonce(i, to == f.stream), plain, nil)
}

func (f *longFile) ReadAt(p []byte, off int64) (n int, err error) {
	f.mu.Lock()
	f.asked = append(f.asked, [2]int64{off, off + int64(len(p))})
	f.mu.Unlock()
	if off < int64(len(f.header)) {
		n = copy(p, f.header[off:])
	}
	for n < len(p) && off+int64(n) < f.size {
		at := off + int64(n) - int64(len(f.header))
		n += copy(p[n:], f.chunk(at / sealedSize)[at%sealedSize:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// The end of a log of 10 GB takes one range at the head of the file, one at its
// end, and no more than 256 KiB, whatever the keys are that it is sealed to.
func TestTailOfALongLog(t *testing.T) {
	const frames, packed = 10_240, 100_000
	var entries []seekEntry
	var table lineTable
	for range frames {
		entries = append(entries, seekEntry{packed, frameSize})
		table.feeds = append(table.feeds, 11_000)
	}
	table.search = len(entries)
	entries = append(entries, seekEntry{compressed: 200_000}, seekEntry{compressed: 16 << 20})
	text := logText(3 * pieceSize)
	var end []byte
	for i := range 3 {
		piece := text[i*pieceSize : (i+1)*pieceSize]
		b := encoder().EncodeAll(piece, nil)
		end = append(end, b...)
		entries = append(entries, seekEntry{uint32(len(b)), pieceSize})
		table.feeds = append(table.feeds, uint32(bytes.Count(piece, []byte{'\n'})))
	}
	lines := appendLineTable(nil, table)
	entries = append(entries, seekEntry{compressed: uint32(len(lines))})
	end = appendSeekTable(append(end, lines...), entries)
	stream := int64(frames*packed + 200_000 + 16<<20 + len(end))

	classic, pq := newKey(t), hybridKey(t)
	for _, c := range []struct {
		name string
		n    int
		id   age.Identity
		to   age.Recipient
	}{
		{"one", 1, classic, classic.Recipient()},
		{"20", 20, classic, classic.Recipient()},
		{"20 post-quantum", 20, pq, pq.Recipient()},
	} {
		t.Run(c.name, func(t *testing.T) {
			var to []age.Recipient
			var prints []string
			for range c.n {
				to = append(to, c.to)
				prints = append(prints, fingerprintOf(t, c.to))
			}
			f := newLongFile(t, stream, end, c.id, to...)
			r, err := OpenAt(f, f.size, c.id)
			if err != nil {
				t.Fatal(err)
			}
			if n, ok := r.Lines(); !ok || n < frames*11_000 || r.Size() != frames*frameSize+3*pieceSize {
				t.Fatalf("%d lines in %d bytes", n, r.Size())
			}
			got := make([]byte, 50_000)
			if _, err := r.ReadAt(got, r.Size()-int64(len(got))); err != nil || !bytes.HasSuffix(text, got) {
				t.Fatalf("other bytes than those of the end: %v", err)
			}
			head, tail := HeaderSize(prints), TailSize(r.Size())
			for _, a := range f.asked {
				if a[1] > head && a[0] < f.size-tail {
					t.Errorf("asked for bytes %d to %d of %d, neither the first %d nor the last %d", a[0], a[1], f.size, head, tail)
				}
			}
			if head+tail > 256<<10 {
				t.Errorf("head and end are %d and %d bytes", head, tail)
			}
		})
	}
}

// A log of any length is read from the end by its head and by what TailSize says,
// as long as it compresses like a log.
func TestTailSizeHoldsTheEnd(t *testing.T) {
	key := newKey(t)
	text := logText(9 << 20)
	for _, size := range []int{0, 1000, 300_000, frameSize, longLog - 1, longLog, longLog + 1, len(text)} {
		sealed := seal(t, text[:size], key.Recipient())
		src := &noting{ReaderAt: bytes.NewReader(sealed)}
		r, err := OpenAt(src, int64(len(sealed)), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadAt(make([]byte, min(size, 10_000)), int64(max(0, size-10_000))); err != nil {
			t.Fatal(err)
		}
		head, from := HeaderSize([]string{key.Recipient().String()}), int64(len(sealed))-TailSize(int64(size))
		more := 0
		for _, a := range src.asked {
			if a[1] > head && a[0] < from {
				more++
			}
		}
		if more > 1 || more > 0 && size >= longLog {
			t.Errorf("%d bytes: %d ranges beside head and end were read", size, more)
		}
	}
}

// noting notes what is asked for.
type noting struct {
	io.ReaderAt
	mu        sync.Mutex
	asked     [][2]int64
	announced [][2]int64
}

func (n *noting) ReadAt(p []byte, off int64) (int, error) {
	n.mu.Lock()
	n.asked = append(n.asked, [2]int64{off, off + int64(len(p))})
	n.mu.Unlock()
	return n.ReaderAt.ReadAt(p, off)
}

func (n *noting) Prefetch(off, size int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.announced = append(n.announced, [2]int64{off, off + size})
}

// What is read in order is read in few pieces, each announced before, and none
// beyond what was asked for.
func TestReaderAnnouncesWhatItReads(t *testing.T) {
	key := newKey(t)
	plain := make([]byte, 6<<20)
	rand.Read(plain)
	sealed := seal(t, plain, key.Recipient())
	src := &noting{ReaderAt: bytes.NewReader(sealed)}
	r, err := OpenAt(src, int64(len(sealed)), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ off, n int64 }{{0, 6 << 20}, {1 << 20, 3 << 20}, {2 << 20, 10}} {
		src.asked, src.announced = nil, nil
		in := r.NewReader(c.off, c.n)
		if _, err := io.Copy(io.Discard, in); err != nil {
			t.Fatal(err)
		}
		in.Close()
		if most := int(c.n>>20)*2 + 2; len(src.asked) > most || len(src.announced) > most {
			t.Errorf("%d reads, %d announced", len(src.asked), len(src.announced))
		}
		limit := src.announced[len(src.announced)-1][1]
		for i, a := range src.announced {
			if i > 0 && a[0] != src.announced[i-1][1] {
				t.Errorf("announced %v", src.announced)
			}
		}
		for _, a := range src.asked {
			if a[0] < src.announced[0][0] || a[1] > limit {
				t.Errorf("read %v, announced %v", a, src.announced)
			}
		}
		if got := limit - src.announced[0][0]; got > c.n+2<<20+3*sealedSize {
			t.Errorf("%d bytes were announced for %d", got, c.n)
		}
	}
}

// What lies between two frames, such as the padding, is not asked for: whoever
// sealed the file may have put any number of bytes there.
func TestReaderPassesOverWhatIsBetween(t *testing.T) {
	key := newKey(t)
	text := logText(2 << 20)
	const gap = 40 << 20
	var stream []byte
	var entries []seekEntry
	for i, plain := range [][]byte{text[:1<<20], text[1<<20:]} {
		if i > 0 {
			stream = append(appendSkippableHeader(stream, skippableMagic, gap), make([]byte, gap)...)
			entries = append(entries, seekEntry{compressed: gap + skippableHeader})
		}
		before := len(stream)
		stream = encoder().EncodeAll(plain, stream)
		entries = append(entries, seekEntry{uint32(len(stream) - before), uint32(len(plain))})
	}
	sealed := sealStream(t, appendSeekTable(stream, entries), key)
	src := &noting{ReaderAt: bytes.NewReader(sealed)}
	r, err := OpenAt(src, int64(len(sealed)), key)
	if err != nil {
		t.Fatal(err)
	}
	in := r.NewReader(0, r.Size())
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	var announced int64
	for _, a := range src.announced {
		announced += a[1] - a[0]
	}
	if announced > 4<<20 {
		t.Errorf("%d bytes are announced for %d, in %d pieces", announced, r.Size(), len(src.announced))
	}
}
