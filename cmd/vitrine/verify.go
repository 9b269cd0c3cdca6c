package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
)

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify BUILD --keyring LOCATION",
		Short: "Check a build's signature, keyring and objects",
		Long: `verify checks what a server shows of a build against a keyring that you trust:
that one of the service's publishers signed the record, that its readers are
those of the keyring at the recorded commit, that only files which may be public
are unsealed, and that every object has the recorded size and SHA-256. It needs
no key that opens a log. It prints each check, and exits with 4 if one fails. An
object that the server has removed after the signed record's expiry is gone, and
not a failure.`,
		Example: `  vitrine verify 3f0c9a51 --keyring ~/src/system-config/keyring`,
		Args:    cobra.ExactArgs(1),
		RunE:    verify,
	}
	keyringFlag(cmd)
	return cmd
}

// A check is one thing that verify looked at.
type check struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Gone   bool   `json:"gone,omitempty"` // removed, after its time had come
	Detail string `json:"detail"`
}

func verify(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	repo, err := openKeyring(cmd)
	if err != nil {
		return err
	}
	if repo == nil {
		return usagef("against which keyring? give --keyring LOCATION or set VITRINE_KEYRING: a server's own word proves nothing")
	}
	c, uuid, err := resolve(cmd, args[0])
	if err != nil {
		return err
	}
	asJSON, _ := cmd.Flags().GetBool("json")
	var checks []check
	report := func(what string, err error, detail string) {
		ch := check{What: what, OK: err == nil, Detail: detail}
		word := "ok    "
		var gone *expiredError
		if errors.As(err, &gone) {
			ch.OK, ch.Gone, word = true, true, "gone  "
		} else if err != nil {
			word = "FAILED"
		}
		if err != nil {
			ch.Detail = err.Error()
		}
		checks = append(checks, ch)
		if !asJSON {
			fmt.Printf("%s  %-9s  %s\n", word, ch.What, ch.Detail)
		}
	}
	record, text, err := fetchRecord(ctx, c, uuid)
	var foreign *importedError
	if errors.As(err, &foreign) {
		err = fmt.Errorf("%w: %w", errUnverified, err)
	}
	if err != nil && !errors.Is(err, errUnverified) {
		return err
	}
	report("record", err, fmt.Sprintf("build %s is in the one form that records have", uuid))
	if err == nil {
		unsigned := checkRecord(ctx, c, repo, record, text)
		if unsigned != nil && !isUnverified(unsigned) {
			return unsigned
		}
		if unsigned == nil {
			report("signature", nil, fmt.Sprintf("made by publisher %s of service %s", record.Publisher, record.Service))
			report("keyring", nil, fmt.Sprintf("commit %s gives %s, and skips %d", record.Keyring.Commit, count(len(record.Readers), "reader"), len(record.SkippedReaders)))
		} else {
			report("signature", unsigned, "")
		}
		for _, a := range record.Artifacts {
			err := checkObject(ctx, c, record, a)
			var gone *expiredError
			switch {
			case errors.As(err, &gone):
				if unsigned != nil { // then its expiry proves nothing
					err = fmt.Errorf("%w: %w", errUnverified, errLost(a.Path))
				}
			case err != nil && !isUnverified(err):
				return fmt.Errorf("not checked to the end: %w", err)
			}
			report("object", err, fmt.Sprintf("%s: %d bytes, SHA-256 %s", a.Path, a.Size, a.SHA256))
		}
	}
	failed := 0
	for _, ch := range checks {
		if !ch.OK {
			failed++
		}
	}
	if asJSON {
		out := struct {
			Build  string  `json:"build"`
			OK     bool    `json:"ok"`
			Checks []check `json:"checks"`
		}{uuid, failed == 0, checks}
		if err := newJSON(os.Stdout).Encode(out); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: build %s: %d of %d checks failed", errUnverified, uuid, failed, len(checks))
	}
	return nil
}

// checkObject reads an object whole and compares it with the record.
func checkObject(ctx context.Context, c *client.Client, record *vitrine.Record, a vitrine.Artifact) error {
	r, err := openArtifact(ctx, c, record, a)
	if err != nil {
		return err
	}
	defer r.Close()
	h := &countingHash{Hash: sha256.New()}
	return h.check(a, io.TeeReader(io.LimitReader(r, a.Size+1), h))
}

// An expiredError says that an artifact is gone, as its record said it would be.
type expiredError struct {
	path string
	on   time.Time
}

func (e *expiredError) Error() string {
	return fmt.Sprintf("%s: the build expired on %s, and the server has its logs no longer", e.path, e.on.Format(time.DateOnly))
}

func errLost(path string) error {
	return fmt.Errorf("%s: the record names it, but the server does not have it", path)
}

// openArtifact opens the stored bytes of an artifact.
func openArtifact(ctx context.Context, c *client.Client, record *vitrine.Record, a vitrine.Artifact) (io.ReadCloser, error) {
	r, err := c.Open(ctx, vitrine.ArtifactKey(record.UUID, a.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing(record, a.Path)
	}
	return r, err
}

// errMissing is the error of an artifact that is not there: an expiredError where
// the record lets it be, and errUnverified where not.
func errMissing(record *vitrine.Record, path string) error {
	if !record.Expires.IsZero() && record.Expires.Before(time.Now()) {
		return &expiredError{path, record.Expires}
	}
	return fmt.Errorf("%w: %w", errUnverified, errLost(path))
}
