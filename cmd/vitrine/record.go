package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/keyring"
	"vitrine/signature"
)

// fetchRecord reads a build's record from the server, and parses it; text is what
// was signed. Nothing about it is verified but that it is the record of this build.
func fetchRecord(ctx context.Context, c *client.Client, uuid string) (record *vitrine.Record, text []byte, err error) {
	text, err = readAll(c.OpenRecord(ctx, uuid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, noRecord(ctx, c, uuid)
	} else if err != nil {
		return nil, nil, err
	}
	record, err = parseRecord(c, uuid, text, vitrine.RecordKey)
	return record, text, err
}

// noRecord says why the server has no record of a build.
func noRecord(ctx context.Context, c *client.Client, uuid string) error {
	known, err := c.Build(ctx, uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build %s: not in the history of this server", uuid)
	} else if err != nil {
		return err
	}
	if known.IsImported() {
		return &importedError{known.Build}
	}
	switch known.State {
	case vitrine.Running:
		return fmt.Errorf("build %s is still running: its artifacts can be read when it has ended", uuid)
	case vitrine.Interrupted:
		return &interruptedError{known.Build}
	case vitrine.Lost:
		return fmt.Errorf("build %s is lost: its job never said how it ended, and published nothing", uuid)
	}
	return fmt.Errorf("%w: the server lists build %s, but does not have its record", errUnverified, uuid)
}

// An importedError says that a build was published elsewhere, and nothing of it
// lies here.
type importedError struct{ build vitrine.Build }

func (e *importedError) Error() string {
	return fmt.Sprintf("build %s was imported from %s: nobody signed it, and its files are links to elsewhere; vitrine show lists them", e.build.UUID, e.build.Imported.Source)
}

// fetchStarted reads the record of how a build began.
func fetchStarted(ctx context.Context, c *client.Client, build *vitrine.Build) (record *vitrine.Record, text []byte, err error) {
	text, err = readAll(c.Open(ctx, vitrine.StartedKey(build.StartTime, build.UUID)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: the server lists build %s, but does not have its record", errUnverified, build.UUID)
	} else if err != nil {
		return nil, nil, err
	}
	record, err = parseRecord(c, build.UUID, text, vitrine.StartedKey)
	return record, text, err
}

// parseRecord parses the record of a build, of the kind that lies at key.
func parseRecord(c *client.Client, uuid string, text []byte, key func(time.Time, string) string) (*vitrine.Record, error) {
	record, err := vitrine.ParseRecord(text)
	if err != nil {
		return nil, fmt.Errorf("%w: record of build %s: %w", errUnverified, uuid, err)
	}
	if record.UUID != uuid || record.Tenant != c.Tenant() {
		return nil, fmt.Errorf("%w: asked for build %s of tenant %s, the server gave the record of %s of %s", errUnverified, uuid, c.Tenant(), record.UUID, record.Tenant)
	}
	if want := key(record.StartTime, uuid); record.Key() != want {
		return nil, fmt.Errorf("%w: asked for %s, the server gave %s", errUnverified, want, record.Key())
	}
	return record, nil
}

// readAll reads a record or a signature, and closes it. It takes the error of
// having opened it.
func readAll(r io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, vitrine.MaxRecordSize+1))
	if err == nil && len(b) > vitrine.MaxRecordSize {
		err = fmt.Errorf("%w: a record or signature of more than %d bytes", errUnverified, vitrine.MaxRecordSize)
	}
	return b, err
}

// checkRecord fetches the signature of a record, of which text is what was signed,
// and checks it, and what the record says, against the keyring at the commit that
// it names.
func checkRecord(ctx context.Context, c *client.Client, repo *keyring.Repository, record *vitrine.Record, text []byte) error {
	sig, err := fetchSignature(ctx, c, record)
	if err != nil {
		return err
	}
	return checkSigned(ctx, repo, record, vitrine.SignedRecord{Record: string(text), Signature: sig})
}

// fetchSignature reads the signature of a record, which is empty if there is none.
func fetchSignature(ctx context.Context, c *client.Client, record *vitrine.Record) (string, error) {
	sig, err := readAll(c.Open(ctx, vitrine.SignatureKey(record.Key())))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(sig), err
}

// checkSigned is checkRecord once the signature is there.
func checkSigned(ctx context.Context, repo *keyring.Repository, record *vitrine.Record, signed vitrine.SignedRecord) error {
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
