package vitrine

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxParts bounds the parts of one object: Swift's default for a large object
	// (max_manifest_segments); S3 takes ten times as many.
	MaxParts = 1000
	// MinPartSize is the least size in bytes of every part but the last: S3's own.
	MinPartSize = 8 << 20
)

// A Part is one piece of a stored object that travels by itself.
type Part struct {
	Number int    `json:"number"` // from 1 to MaxParts
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // lower-case hex
	MD5    string `json:"md5"`    // lower-case hex; Swift names what it stores by it
}

// NewPart describes the part that consists of b.
func NewPart(number int, b []byte) Part {
	part, _ := ReadPart(number, bytes.NewReader(b))
	return part
}

// ReadPart describes the part that consists of what r has.
func ReadPart(number int, r io.Reader) (Part, error) {
	sha, sum := sha256.New(), md5.New()
	n, err := io.Copy(io.MultiWriter(sha, sum), r)
	return Part{Number: number, Size: n, SHA256: hex.EncodeToString(sha.Sum(nil)), MD5: hex.EncodeToString(sum.Sum(nil))}, err
}

// Check reports what is wrong with a part that comes from outside.
func (p Part) Check() error {
	switch {
	case p.Number < 1 || p.Number > MaxParts:
		return fmt.Errorf("part number %d: want 1 to %d", p.Number, MaxParts)
	case p.Size < 1 || p.Size > MaxArtifactSize:
		return fmt.Errorf("part %d: size %d bytes: want 1 to %d", p.Number, p.Size, int64(MaxArtifactSize))
	case !hexSHA256.MatchString(p.SHA256):
		return fmt.Errorf("part %d: sha256 %q is not 64 lower-case hex digits", p.Number, p.SHA256)
	case !ValidUUID(p.MD5): // which has the same form
		return fmt.Errorf("part %d: md5 %q is not 32 lower-case hex digits", p.Number, p.MD5)
	}
	return nil
}

// CheckParts checks that parts are those of one object of size bytes: numbered
// from 1 without a gap, none but the last below [MinPartSize]. It does not look
// at their hashes.
func CheckParts(parts []Part, size int64) error {
	if len(parts) == 0 {
		return errors.New("no parts")
	}
	var sum int64
	for i, p := range parts {
		switch {
		case i >= MaxParts:
			return fmt.Errorf("%d parts, more than %d", len(parts), MaxParts)
		case p.Number != i+1:
			return fmt.Errorf("part %d stands where part %d should", p.Number, i+1)
		case p.Size < 1 || p.Size > size-sum:
			return fmt.Errorf("part %d: %d bytes of an object of %d", p.Number, p.Size, size)
		case p.Size < MinPartSize && i+1 < len(parts):
			return fmt.Errorf("part %d: %d bytes, less than %d, and not the last", p.Number, p.Size, MinPartSize)
		}
		sum += p.Size
	}
	if sum != size {
		return fmt.Errorf("the parts have %d bytes, the object %d", sum, size)
	}
	return nil
}

// PartSize is the size in bytes of each part, but the last, of an object whose
// size is known: the least that needs no more than [MaxParts].
func PartSize(size int64) int64 {
	const mib = 1 << 20
	least := (size + MaxParts - 1) / MaxParts
	return max(MinPartSize, (least+mib-1)/mib*mib)
}

// GrowingPartSize is the size in bytes of a part of an object that still grows,
// so that nobody knows how many there will be: 170 GB fit into [MaxParts].
func GrowingPartSize(number int) int64 {
	return MinPartSize << (2 * min((number-1)/250, 3))
}
