package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/crypto"
)

func getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get BUILD [ARTIFACT…] -o DIR",
		Short: "Fetch artifacts of a build, check and open them",
		Long: `get fetches a build's artifacts, or only the named ones, checks the hash of each
against the record, opens the sealed ones with your identity, and writes each
under its own path. A file gets its name after its last byte was authenticated,
and nothing is overwritten; one that fails is named, and the others are written.
With --keyring the record's signature is checked too.

Of a build whose runner went away, --partial writes what there is of each artifact
as NAME.partial, says where it ends, and exits with 1.

BUILD is a uuid, the start of one, or the address of a build's page. ARTIFACT is
a path as the page shows it.`,
		Example: `  vitrine get 3f0c9a51 -o logs/
  vitrine get https://vitrine.example.org/t/main/build/3f0c9a51d2e84f0b9d1c5a7e2b60aa91 -i key.txt -o logs/`,
		Args: cobra.MinimumNArgs(1),
		RunE: get,
	}
	cmd.Flags().StringP("output", "o", "", "`directory` to write into; made if it is not there")
	partialFlag(cmd)
	keyringFlag(cmd)
	return cmd
}

func get(cmd *cobra.Command, args []string) error {
	dir, _ := cmd.Flags().GetString("output")
	if dir == "" {
		return usagef("where to? give -o DIR")
	}
	ctx := cmd.Context()
	c, record, partial, err := openBuild(cmd, args[0])
	if err != nil {
		return err
	}
	ids, err := reveal(cmd, c, record, args[1:])
	if err != nil {
		return err
	}
	artifacts, err := choose(record, args[1:])
	if err != nil {
		return err
	}
	if ids == nil {
		if ids, err = identitiesFor(cmd, artifacts); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if partial != nil {
		written, err := getPartial(cmd, c, partial, artifacts, ids, root)
		for i := range written {
			written[i] = path.Join(dir, written[i])
		}
		return errors.Join(printList(cmd, written), cmp.Or(err, errIncomplete(partial)))
	}

	var total int64
	for _, a := range artifacts {
		total += a.Size
	}
	bar := newBar("get", len(artifacts), total)
	defer bar.end()
	var written []string
	var bad error // those that are not what the record says; the others are still wanted
	for _, a := range artifacts {
		err := writeFile(root, a.Name, func(w io.Writer) error {
			return fetch(ctx, c, record, a, ids, w, bar)
		})
		if isUnverified(err) {
			bad = errors.Join(bad, err)
			continue
		} else if err != nil {
			bar.end()
			return errors.Join(bad, err)
		}
		bar.file()
		written = append(written, path.Join(dir, a.Name))
	}
	bar.end()
	return errors.Join(printList(cmd, written), bad)
}

// openBuild fetches a build's record, and checks it against the keyring if one
// is given. Of an interrupted build of which what there is is wanted, that is
// partial, and nothing is signed but its start, which is checked as well.
func openBuild(cmd *cobra.Command, build string) (c *client.Client, record *vitrine.Record, partial *vitrine.Build, err error) {
	c, uuid, err := resolve(cmd, build)
	if err != nil {
		return nil, nil, nil, err
	}
	record, text, err := fetchRecord(cmd.Context(), c, uuid)
	if err != nil {
		if partial, err = wantsPartial(cmd, err); err != nil {
			return nil, nil, nil, err
		}
		if record, text, err = fetchStarted(cmd.Context(), c, partial); err != nil {
			return nil, nil, nil, err
		}
		record.Artifacts = partial.Artifacts // the server's word; which may be unsealed the keyring says
		partial.Record = *record
		record = &partial.Record
	}
	repo, err := openKeyring(cmd)
	if err != nil {
		return nil, nil, nil, err
	}
	if repo != nil {
		if err := checkRecord(cmd.Context(), c, repo, record, text); err != nil {
			return nil, nil, nil, err
		}
	}
	return c, record, partial, nil
}

// reveal names each artifact of the record by the path that it is written under,
// which only readers know where the keyring keeps names from the public. It
// returns the identities if it took them to know. What is left of the record's
// artifacts are the files. asked are those that the user wants, for errors.
func reveal(cmd *cobra.Command, c *client.Client, record *vitrine.Record, asked []string) (ids []age.Identity, err error) {
	err = revealNames(record, func(a vitrine.Artifact, w io.Writer) (err error) {
		if ids, err = identities(cmd); err != nil {
			return err
		}
		a.Name = "build " + record.UUID
		if len(asked) > 0 {
			a.Name = asked[0]
		}
		return fetch(cmd.Context(), c, record, a, ids, w, nil)
	})
	return ids, err
}

// revealNames is reveal, where read reads the artifact that holds the names.
func revealNames(record *vitrine.Record, read func(vitrine.Artifact, io.Writer) error) error {
	for i := range record.Artifacts {
		record.Artifacts[i].Name = record.Artifacts[i].PlainPath()
	}
	a, ok := record.Contents()
	if !ok {
		return nil
	}
	if a.PlainSize > vitrine.MaxContentsSize {
		return fmt.Errorf("%w: %s: more than %d bytes", errUnverified, a.Path, vitrine.MaxContentsSize)
	}
	var text bytes.Buffer
	if err := read(a, &text); err != nil {
		return err
	}
	contents, err := vitrine.ParseContents(text.Bytes())
	if err != nil {
		return fmt.Errorf("%w: %w", errUnverified, err)
	}
	record.Artifacts = slices.DeleteFunc(record.Artifacts, func(o vitrine.Artifact) bool { return o.Path == a.Path })
	for i := range record.Artifacts {
		if real, ok := contents.Names[record.Artifacts[i].PlainPath()]; ok {
			record.Artifacts[i].Name = real
		}
	}
	return nil
}

// jobFiles are the artifacts that the job left: all but the summary, which whoever
// wants it names.
func jobFiles(record *vitrine.Record) []vitrine.Artifact {
	return slices.DeleteFunc(slices.Clone(record.Artifacts), vitrine.Artifact.IsSummary)
}

// choose finds artifacts by their names or stored paths; all files of the job if
// none is named.
func choose(record *vitrine.Record, names []string) ([]vitrine.Artifact, error) {
	if len(names) == 0 {
		return jobFiles(record), nil
	}
	var chosen []vitrine.Artifact
next:
	for _, name := range names {
		for _, a := range record.Artifacts {
			if name == a.Name || name == a.Path || name == a.PlainPath() {
				chosen = append(chosen, a)
				continue next
			}
		}
		return nil, fmt.Errorf("build %s has no artifact %q, but %s", record.UUID, name, artifactList(record))
	}
	return chosen, nil
}

func artifactList(record *vitrine.Record) string {
	const most = 20
	var names []string
	files := jobFiles(record)
	for _, a := range files {
		if len(names) == most {
			names = append(names, fmt.Sprintf("%d more", len(files)-most))
			break
		}
		names = append(names, a.Name)
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// fetch copies an artifact's plaintext to w. It returns nil only when all bytes
// are there and are the ones that the record names.
func fetch(ctx context.Context, c *client.Client, record *vitrine.Record, a vitrine.Artifact, ids []age.Identity, w io.Writer, bar *bar) error {
	r, err := openArtifact(ctx, c, record, a)
	if err != nil {
		return err
	}
	defer r.Close()
	stored := &countingHash{Hash: sha256.New(), bar: bar}
	// One byte more than the record declares is enough to see that there is more.
	src := io.TeeReader(io.LimitReader(r, a.Size+1), stored)
	plain := src
	if a.Sealed {
		opened, err := crypto.Open(src, ids...)
		if err != nil {
			return explain(record, a, stored, src, err)
		}
		defer opened.Close()
		plain = opened
	}
	n, err := io.Copy(w, io.LimitReader(plain, a.PlainSize+1))
	if err != nil {
		return explain(record, a, stored, src, err)
	}
	if n > a.PlainSize {
		return fmt.Errorf("%w: %s opens to more than the %d bytes of its record", errUnverified, a.Path, a.PlainSize)
	}
	if err := stored.check(a, src); err != nil {
		return err
	}
	if n != a.PlainSize {
		return fmt.Errorf("%w: %s opens to %d bytes, its record says %d", errUnverified, a.Path, n, a.PlainSize)
	}
	return nil
}

// explain turns a failure to open into one that says what the stored bytes are:
// the record tells more than the encryption alone.
func explain(record *vitrine.Record, a vitrine.Artifact, stored *countingHash, src io.Reader, err error) error {
	switch {
	case isNoMatch(err):
		return errNoneOpens(record, a, err)
	case errors.Is(err, crypto.ErrCorrupt):
		if wrong := stored.check(a, src); wrong != nil {
			return wrong
		}
	}
	return errReading(record, a.Path, err)
}

func readerList(record *vitrine.Record) string {
	var all []string
	for _, r := range record.Readers {
		all = append(all, fmt.Sprintf("%s (%s)", r.Name, strings.Join(r.Fingerprints, ", ")))
	}
	return strings.Join(all, ", ")
}

// check reads what is left of src and compares all that came with the record.
func (h *countingHash) check(a vitrine.Artifact, src io.Reader) error {
	if _, err := io.Copy(io.Discard, src); err != nil {
		return fmt.Errorf("fetch %s: %w", a.Path, err)
	}
	switch sum := hex.EncodeToString(h.Sum(nil)); {
	case h.n < a.Size:
		return fmt.Errorf("%w: %s is truncated: %d bytes came, the record says %d", errUnverified, a.Path, h.n, a.Size)
	case h.n > a.Size:
		return fmt.Errorf("%w: %s is extended: more bytes came than the %d of the record", errUnverified, a.Path, a.Size)
	case sum != a.SHA256:
		return fmt.Errorf("%w: %s is altered: its SHA-256 is %s, the record says %s", errUnverified, a.Path, sum, a.SHA256)
	}
	return nil
}

// writeFile writes a file under a directory whole or not at all, and never over
// an existing one.
func writeFile(root *os.Root, name string, write func(io.Writer) error) (err error) {
	if _, err := root.Lstat(name); err == nil {
		return fmt.Errorf("%s exists already: remove it, or choose another directory", path.Join(root.Name(), name))
	}
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	temp := path.Join(path.Dir(name), ".vitrine-"+path.Base(name)+".part")
	root.Remove(temp) // of a run that was killed
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			root.Remove(temp)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	// On the disk before it has its name: a power cut must not leave an empty
	// file under it.
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link fails where a rename would replace. Not every file system has them.
	err = root.Link(temp, name)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: remove it, or choose another directory", path.Join(root.Name(), name))
	}
	if err != nil {
		return root.Rename(temp, name)
	}
	return root.Remove(temp)
}

// printList prints paths, one a line or as a JSON list.
func printList(cmd *cobra.Command, list []string) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		if list == nil {
			list = []string{}
		}
		return newJSON(os.Stdout).Encode(list)
	}
	for _, p := range list {
		fmt.Println(p)
	}
	return nil
}
