package crypto

import "strings"

// HeaderSize is about how long the header of a file is that was sealed to keys
// with these fingerprints (those of a record), rather too long than too short.
// [OpenAt] reads that much at the beginning, and a little that follows.
func HeaderSize(fingerprints []string) int64 {
	const (
		ends    = 22 + 48 // the first and the last line
		readOn  = 4096    // it is read in steps of this size
		x25519  = 98
		p256    = 150           // of an age1tag1…
		rsa4096 = 18 + 694      // SHA256:… does not tell which kind of SSH key it is of
		hybrid  = 18 + 1538 + 8 // age1pq1… and age1tagpq1…, the latter being longer
		body    = 44            // of those
	)
	n := int64(ends + readOn)
	for _, f := range fingerprints {
		switch {
		case strings.HasPrefix(f, "age1pq1:"), strings.HasPrefix(f, "age1tagpq1:"):
			n += hybrid + body
		case strings.HasPrefix(f, "SHA256:"):
			n += rsa4096
		case strings.HasPrefix(f, "age1tag1"):
			n += p256
		default:
			n += x25519
		}
	}
	return n
}

// TailSize is how much of the end of a sealed file holds all its tables and the
// last of its plaintext, of which there are plainSize bytes: those lines at the
// least that a screen shows, if they compress as logs do.
func TailSize(plainSize int64) int64 {
	const (
		perFrame = seekEntrySize + 3 // and its number of line feeds
		lines    = 40 << 10          // the last pieces, compressed
	)
	// Frames end early where a log was flushed, but no more than a few do.
	frames := plainSize/frameSize + endEntries + 16
	return frames*perFrame + lines + sealedSize // age opens whole chunks
}
