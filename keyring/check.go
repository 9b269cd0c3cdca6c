package keyring

import (
	"errors"
	"fmt"
	"reflect"

	"vitrine"
)

// ErrRecord is wrapped by the error of [Keyring.CheckRecord].
var ErrRecord = errors.New("the record is not what the keyring allows")

// CheckRecord checks what a keyring, at the commit that the record names, says
// about it: that the job belongs to the service and the publisher may publish
// for it, that the readers are those of the start time, that it is kept as long
// as the service says, and that nothing is unsealed, or told of a summary, that is
// not declared public.
// Whether the publisher signed it is for package signature to say.
func (k *Keyring) CheckRecord(r *vitrine.Record) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: keyring at %.12s: %s", ErrRecord, k.Commit, fmt.Sprintf(format, a...))
	}
	service, err := k.ServiceOf(r.JobName)
	if err != nil {
		return bad("%v", err)
	}
	if service.Name != r.Service {
		return bad("job %s belongs to service %s, not to %s", r.JobName, service.Name, r.Service)
	}
	if _, ok := k.PublisherKeys(service.Name)[r.Publisher]; !ok {
		return bad("%s is no publisher of service %s", r.Publisher, service.Name)
	}
	want, err := k.Recipients(service.Name, r.StartTime)
	if err != nil {
		return bad("%v", err)
	}
	if !sameList(r.Readers, want.Readers) || !sameList(r.SkippedReaders, want.Skipped) {
		return bad("its readers are not those of service %s at %s", service.Name, r.StartTime.Format("2006-01-02T15:04:05Z"))
	}
	if !r.Expires.Equal(service.Expires(r.StartTime)) {
		return bad("expires is not its start and the retention of service %s", service.Name)
	}
	for _, a := range r.Artifacts {
		if !a.Sealed && !service.IsPublic(a.Path) {
			return bad("%s is not sealed, and service %s does not declare it public", a.Path, service.Name)
		}
		if a.Metadata["type"] != vitrine.SummaryType {
			continue
		}
		switch recap, err := a.PublicRecap(); {
		case !a.Sealed:
			return bad("%s is a summary, and not sealed", a.Path)
		case err != nil:
			return bad("%s: %v", a.Path, err)
		case recap != nil && !service.PublicRecap:
			return bad("%s tells the counts of the recap, which service %s does not declare public", a.Path, service.Name)
		}
	}
	return nil
}

// sameList compares lists of which an empty one may be nil.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}
