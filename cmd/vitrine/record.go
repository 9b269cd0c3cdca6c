package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/keyring"
	"vitrine/signature"
)

// fetchRecord reads a build's signed record from the server, and parses it.
// Nothing about it is verified but that it is the record of this build.
func fetchRecord(ctx context.Context, c *client.Client, uuid string) (*vitrine.Record, vitrine.SignedRecord, error) {
	var signed vitrine.SignedRecord
	known, err := c.Build(ctx, uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, signed, fmt.Errorf("build %s: not in the history of this server", uuid)
	} else if err != nil {
		return nil, signed, err
	}
	if known.State != vitrine.Finished {
		return nil, signed, fmt.Errorf("build %s is %s: its artifacts are there when it has ended", uuid, known.State)
	}
	key := vitrine.RecordKey(known.StartTime, uuid)
	text, err := readObject(ctx, c, key, vitrine.MaxRecordSize)
	if err != nil {
		return nil, signed, err
	}
	record, err := vitrine.ParseRecord(text)
	if err != nil {
		return nil, signed, fmt.Errorf("%w: record of build %s: %w", errUnverified, uuid, err)
	}
	if record.UUID != uuid {
		return nil, signed, fmt.Errorf("%w: the server gave the record of build %s for %s", errUnverified, record.UUID, uuid)
	}
	sig, err := readObject(ctx, c, vitrine.SignatureKey(key), vitrine.MaxSignatureSize)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, signed, err
	}
	return record, vitrine.SignedRecord{Record: string(text), Signature: string(sig)}, nil
}

func readObject(ctx context.Context, c *client.Client, key string, limit int64) ([]byte, error) {
	r, err := c.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w: %s has more than %d bytes", errUnverified, key, limit)
	}
	return b, err
}

// checkRecord checks a record's signature and its readers against the keyring
// at the commit that it names, and returns that keyring.
func checkRecord(ctx context.Context, repo *keyring.Repository, record *vitrine.Record, signed vitrine.SignedRecord) (*keyring.Keyring, error) {
	fail := func(err error) (*keyring.Keyring, error) {
		return nil, fmt.Errorf("%w: build %s: %w", errUnverified, record.UUID, err)
	}
	k, err := repo.At(ctx, record.Keyring.Commit)
	if err != nil {
		return fail(err)
	}
	service, err := k.ServiceOf(record.JobName)
	if err != nil {
		return fail(err)
	}
	if service.Name != record.Service {
		return fail(fmt.Errorf("job %s belongs to service %s, not to %s", record.JobName, service.Name, record.Service))
	}
	if signed.Signature == "" {
		return fail(errors.New("the record is not signed"))
	}
	signer, err := signature.Verify([]byte(signed.Record), []byte(signed.Signature), vitrine.RecordNamespace, k.PublisherKeys(service.Name))
	if err != nil {
		return fail(err)
	}
	if signer != record.Publisher {
		return fail(fmt.Errorf("the record names publisher %s, but %s signed it", record.Publisher, signer))
	}
	want, err := k.Recipients(service.Name, record.StartTime)
	if err != nil {
		return fail(err)
	}
	if !sameList(record.Readers, want.Readers) || !sameList(record.SkippedReaders, want.Skipped) {
		return fail(fmt.Errorf("the record's readers are not those that the keyring gives %s", service.Name))
	}
	for _, a := range record.Artifacts {
		if !a.Sealed && !service.IsPublic(a.Path) {
			return fail(fmt.Errorf("%s was published unsealed, and the keyring does not allow it", a.Path))
		}
	}
	return k, nil
}

func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

// keyringFlag gives a command --keyring.
func keyringFlag(cmd *cobra.Command) {
	cmd.Flags().String("keyring", os.Getenv("VITRINE_KEYRING"), "`location` of the keyring: DIR[#REV] or GIT-URL[#BRANCH[:PATH]] (VITRINE_KEYRING)")
}

// openKeyring opens the repository that --keyring names, as it is now; nil if it
// names none.
func openKeyring(cmd *cobra.Command) (*keyring.Repository, error) {
	location, _ := cmd.Flags().GetString("keyring")
	if location == "" {
		return nil, nil
	}
	return openKeyringAt(cmd.Context(), location)
}

func openKeyringAt(ctx context.Context, location string) (*keyring.Repository, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("open keyring %s: %w", location, err)
	}
	return keyring.Open(ctx, location, filepath.Join(cache, "vitrine", "keyrings"))
}
