package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vitrine"
	"vitrine/crypto"
	"vitrine/keyring"
)

func sealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "seal [-r KEY|-R FILE|--service NAME] [-o OUTPUT] [INPUT]",
		Short: "Seal a file or a pipe",
		Long: `seal compresses and encrypts a file, or standard input, to public keys: given
with -r, read from a file with -R, or those of a service of the keyring. The
result opens with vitrine open, and with age -d -i KEY FILE | zstd -d. A file
gets its name after its last byte was written.

Without -o, a file is sealed to INPUT.zst.age (INPUT.age if it is compressed
already), and standard input to standard output.`,
		Example: `  vitrine seal -R alice.pub build.log
  make 2>&1 | vitrine seal --keyring keyring --service codesearch -o make.log.zst.age`,
		Args: cobra.MaximumNArgs(1),
		RunE: seal,
	}
	f := cmd.Flags()
	f.StringArrayP("recipient", "r", nil, "public `key`; repeatable")
	f.StringArrayP("recipients-file", "R", nil, "`file` of public keys, one a line; repeatable")
	f.String("service", "", "`name` of a service whose readers it is sealed to")
	f.StringP("output", "o", "", "`file` to write; - is standard output")
	keyringFlag(cmd)
	return cmd
}

func openCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "open [-i IDENTITY] [-o OUTPUT] [INPUT]",
		Short: "Open a sealed file or pipe",
		Long: `open decrypts and decompresses a sealed file, or standard input, with your
identity. A file gets its name after its last byte was authenticated; standard
output gets only authenticated bytes, and all of them only if the exit status
is 0. An artifact's hash is in its build's record: use get to check it.

Without -o, FILE.zst.age and FILE.age are opened to FILE, and standard input to
standard output.`,
		Example: `  vitrine open -i key.txt build.log.zst.age
  vitrine open -i ~/.ssh/id_ed25519 < build.log.zst.age | less`,
		Args: cobra.MaximumNArgs(1),
		RunE: open,
	}
	cmd.Flags().StringP("output", "o", "", "`file` to write; - is standard output")
	rawFlag(cmd)
	return cmd
}

func seal(cmd *cobra.Command, args []string) error {
	recipients, err := recipientsOf(cmd)
	if err != nil {
		return err
	}
	in, err := openInput(args)
	if err != nil {
		return err
	}
	defer in.Close()
	src := bufio.NewReaderSize(in, 1<<20)
	head, err := src.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	suffix, make := vitrine.SealedSuffix, crypto.Seal
	// NAME.zst.age says that there is zstd inside: a NAME.zst is never sealed raw.
	if named := len(args) == 1 && strings.HasSuffix(args[0], ".zst"); !crypto.Compressible(head) && !named {
		suffix, make = vitrine.SealedRawSuffix, crypto.SealRaw
	}
	output, _ := cmd.Flags().GetString("output")
	if toStdout := output == "-" || output == "" && (len(args) == 0 || args[0] == "-"); toStdout && term.IsTerminal(int(os.Stdout.Fd())) {
		return usagef("a sealed file is binary: give -o FILE, or send standard output somewhere")
	}
	return writeOutput(cmd, args, func(name string) (string, error) { return name + suffix, nil }, func(dst io.Writer) error {
		w, err := make(dst, recipients...)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, src); err != nil {
			return err
		}
		return w.Close()
	})
}

// recipientsOf collects the recipients that seal's flags name, each key once.
func recipientsOf(cmd *cobra.Command) ([]age.Recipient, error) {
	lines, _ := cmd.Flags().GetStringArray("recipient")
	files, _ := cmd.Flags().GetStringArray("recipients-file")
	service, _ := cmd.Flags().GetString("service")
	if (len(lines)+len(files) > 0) == (service != "") {
		return nil, usagef("sealed to whom? give -r KEY or -R FILE, or else --service NAME")
	}
	if service != "" {
		return serviceRecipients(cmd, service)
	}
	var keys []keyring.Key
	for _, line := range lines {
		key, err := keyring.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("recipient: %w", err)
		}
		keys = append(keys, key)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		more, err := parseKeys(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s:%w", name, err)
		}
		keys = append(keys, more...)
	}
	seen := make(map[string]bool)
	var out []age.Recipient
	for _, key := range keys {
		if key.Expired(time.Now()) {
			return nil, fmt.Errorf("key %s expired on %s", key.Fingerprint, key.Expires.Format(time.DateOnly))
		}
		if !seen[key.Fingerprint] {
			seen[key.Fingerprint] = true
			out = append(out, key.Recipient)
		}
	}
	return out, nil
}

// parseKeys reads public keys, one a line; the error begins with the line's number.
func parseKeys(r io.Reader) ([]keyring.Key, error) {
	var keys []keyring.Key
	lines := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := keyring.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		keys = append(keys, key)
	}
	return keys, lines.Err()
}

func serviceRecipients(cmd *cobra.Command, service string) ([]age.Recipient, error) {
	k, err := readKeyring(cmd)
	if err != nil {
		return nil, err
	}
	r, err := k.Recipients(service, time.Now())
	if err != nil {
		return nil, err
	}
	for _, p := range r.Skipped {
		fmt.Fprintf(os.Stderr, "vitrine: %s will not be able to open it: %s\n", p.Name, p.Reason)
	}
	return r.Age, nil
}

func open(cmd *cobra.Command, args []string) error {
	ids, err := identities(cmd)
	if err != nil {
		return err
	}
	in, err := openInput(args)
	if err != nil {
		return err
	}
	defer in.Close()
	plainName := func(name string) (string, error) {
		for _, suffix := range []string{vitrine.SealedSuffix, vitrine.SealedRawSuffix} {
			if plain, ok := strings.CutSuffix(name, suffix); ok && filepath.Base(plain) != "." {
				return plain, nil
			}
		}
		return "", usagef("%s does not end in %s: give -o", name, vitrine.SealedRawSuffix)
	}
	return writeOutput(cmd, args, plainName, func(dst io.Writer) error {
		r, err := crypto.Open(in, ids...)
		if err == nil {
			_, err = io.Copy(dst, r)
			r.Close()
		}
		if isNoMatch(err) {
			return &noneOpensError{name: in.Name(), err: err}
		}
		if err != nil {
			err = fmt.Errorf("open %s: %w", in.Name(), err)
		}
		return err
	})
}

func openInput(args []string) (*os.File, error) {
	if len(args) == 0 || args[0] == "-" {
		if term.IsTerminal(int(os.Stdin.Fd())) {
			return nil, usagef("give a file, or pipe something in")
		}
		return os.Stdin, nil
	}
	return os.Open(args[0])
}

// writeOutput runs write on the output that -o names, or else the one that
// follows from the input's name. A file appears whole or not at all.
func writeOutput(cmd *cobra.Command, args []string, nameFor func(string) (string, error), write func(io.Writer) error) error {
	output, _ := cmd.Flags().GetString("output")
	if output == "" && len(args) == 1 && args[0] != "-" {
		var err error
		if output, err = nameFor(args[0]); err != nil {
			return err
		}
	}
	to := os.Stdout
	if info, err := os.Stat(output); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // as /dev/null
		if to, err = os.OpenFile(output, os.O_WRONLY, 0); err != nil {
			return err
		}
		defer to.Close()
		output = "-"
	}
	if output == "" || output == "-" {
		out := outputTo(cmd, to)
		return out.end(write(out))
	}
	root, err := os.OpenRoot(filepath.Dir(output))
	if err != nil {
		return err
	}
	defer root.Close()
	return writeFile(root, filepath.Base(output), write)
}
