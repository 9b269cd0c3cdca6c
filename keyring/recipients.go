package keyring

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"

	"vitrine"
)

// ErrTooFewReaders says that fewer readers than a service's min_readers could
// read what would be sealed now.
var ErrTooFewReaders = errors.New("too few readers with a usable key")

// Recipients are who an artifact is sealed to, and what its record says of them.
type Recipients struct {
	Age     []age.Recipient // at most 256, all of one class
	Readers []vitrine.Reader
	Skipped []vitrine.SkippedReader
}

// Recipients returns who may read what the service publishes at a time. It is
// the same for the same keyring and time: people by name, keys as in their
// files. A person whose keys have all expired is skipped and said to be; if
// fewer people than min_readers are left the error wraps [ErrTooFewReaders] and
// names those who are missing; the result then has no recipients, but says who
// is skipped.
func (k *Keyring) Recipients(service string, at time.Time) (Recipients, error) {
	s := k.Services[service]
	if s == nil {
		return Recipients{}, fmt.Errorf("no service %q in the keyring", service)
	}
	var out Recipients
	seen := make(map[string]bool)
	for _, name := range k.readers(s) {
		reader := vitrine.Reader{Name: name}
		var last time.Time
		for _, key := range k.People[name].Keys {
			switch {
			case !key.Fits(s.Class):
			case key.Expired(at):
				if key.Expires.After(last) {
					last = key.Expires
				}
			case !seen[key.canonical]:
				seen[key.canonical] = true
				out.Age = append(out.Age, key.Recipient)
				reader.Fingerprints = append(reader.Fingerprints, key.Fingerprint)
			}
		}
		if len(reader.Fingerprints) > 0 {
			out.Readers = append(out.Readers, reader)
			continue
		}
		out.Skipped = append(out.Skipped, vitrine.SkippedReader{Name: name, Reason: "key expired " + last.Format(time.DateOnly)})
	}
	if len(out.Readers) < s.MinReaders {
		var missing []string
		for _, p := range out.Skipped {
			missing = append(missing, fmt.Sprintf("%s (%s)", p.Name, p.Reason))
		}
		out.Age = nil // not to be sealed to, whatever becomes of the error
		return out, fmt.Errorf("service %s: %w: %d, and min_readers is %d; missing: %s",
			service, ErrTooFewReaders, len(out.Readers), s.MinReaders, strings.Join(missing, ", "))
	}
	if len(out.Age) > vitrine.MaxReaders {
		return Recipients{}, fmt.Errorf("service %s: %d recipients, more than %d", service, len(out.Age), vitrine.MaxReaders)
	}
	return out, nil
}
