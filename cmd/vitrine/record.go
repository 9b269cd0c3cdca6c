package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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
	if known.IsImported() {
		return nil, signed, &importedError{known.Build}
	}
	switch known.State {
	case vitrine.Running:
		return nil, signed, fmt.Errorf("build %s is still running: its artifacts can be read when it has ended", uuid)
	case vitrine.Interrupted:
		return nil, signed, &interruptedError{known.Build}
	case vitrine.Lost:
		return nil, signed, fmt.Errorf("build %s is lost: its job never said how it ended, and published nothing", uuid)
	}
	return fetchSigned(ctx, c, vitrine.RecordKey(known.StartTime, uuid), uuid)
}

// An importedError says that a build was published elsewhere, and nothing of it
// lies here.
type importedError struct{ build vitrine.Build }

func (e *importedError) Error() string {
	return fmt.Sprintf("build %s was imported from %s: nobody signed it, and its files are links to elsewhere; vitrine show lists them", e.build.UUID, e.build.Imported.Source)
}

// fetchSigned reads the record at key, of the end or the start of a build, and its
// signature.
func fetchSigned(ctx context.Context, c *client.Client, key, uuid string) (*vitrine.Record, vitrine.SignedRecord, error) {
	var signed vitrine.SignedRecord
	text, err := readObject(ctx, c, key, vitrine.MaxRecordSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, signed, fmt.Errorf("%w: the server lists build %s, but does not have its record", errUnverified, uuid)
	} else if err != nil {
		return nil, signed, err
	}
	record, err := vitrine.ParseRecord(text)
	if err != nil {
		return nil, signed, fmt.Errorf("%w: record of build %s: %w", errUnverified, uuid, err)
	}
	if record.UUID != uuid || record.Tenant != c.Tenant() || key != record.Key() {
		return nil, signed, fmt.Errorf("%w: asked for build %s of tenant %s, the server gave the record of %s of %s", errUnverified, uuid, c.Tenant(), record.UUID, record.Tenant)
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

// checkRecord checks a record's signature, and what it says, against the keyring
// at the commit that it names.
func checkRecord(ctx context.Context, repo *keyring.Repository, record *vitrine.Record, signed vitrine.SignedRecord) error {
	k, err := repo.At(ctx, record.Keyring.Commit)
	if err == nil {
		err = k.CheckRecord(record)
	}
	if err == nil {
		err = signature.VerifyRecord(record, signed, k.PublisherKeys(record.Service))
	}
	if err != nil {
		return fmt.Errorf("%w: build %s: %w", errUnverified, record.UUID, err)
	}
	return nil
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
