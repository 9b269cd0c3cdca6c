package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vitrine/keyring"
)

func keyringCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keyring",
		Short: "Check, show and edit the directory that says who may read what",
		Long: `A keyring is a directory in git: keys/NAME.pub for people, publishers/NAME.pub
for runners, services/NAME.yaml for what is deployed, and groups.yaml.`,
		Example: `  vitrine keyring check
  vitrine keyring add-reader codesearch carol carol.pub`,
	}
	location := os.Getenv("VITRINE_KEYRING")
	if info, err := os.Stat("keyring"); location == "" && err == nil && info.IsDir() {
		location = "keyring"
	}
	cmd.PersistentFlags().String("keyring", location,
		"`location` of the keyring: DIR[#REV] or GIT-URL[#BRANCH[:PATH]] (VITRINE_KEYRING; the folder keyring if it is there)")
	cmd.AddCommand(keyringCheckCommand(), keyringShowCommand(), keyringAddReaderCommand(),
		keyringAddServiceCommand(), keyringSignersCommand())
	return cmd
}

// readKeyring reads the keyring that --keyring names: a directory as it lies
// there, committed or not, for that is what a change's CI checks.
func readKeyring(cmd *cobra.Command) (*keyring.Keyring, error) {
	location, _ := cmd.Flags().GetString("keyring")
	if location == "" {
		return nil, usagef("which keyring? give --keyring LOCATION or set VITRINE_KEYRING")
	}
	if info, err := os.Stat(location); err == nil && info.IsDir() {
		if _, err := os.Stat(location + "/HEAD"); err != nil { // not a bare repository
			return keyring.OpenDir(location)
		}
	}
	repo, err := openKeyringAt(cmd.Context(), location)
	if err != nil {
		return nil, err
	}
	return repo.Head(cmd.Context())
}

// keyringDir is the directory that --keyring names, for the verbs that write.
func keyringDir(cmd *cobra.Command) (string, error) {
	location, _ := cmd.Flags().GetString("keyring")
	if info, err := os.Stat(location); err != nil || !info.IsDir() {
		return "", usagef("--keyring %q is not a directory; only a directory can be edited", location)
	}
	return location, nil
}

func keyringCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Print everything that is wrong with a keyring",
		Long: `Check a keyring and print all problems at once, errors and warnings apart. This
is what the CI of a repository with a keyring runs. Exit status 1 if there is an
error; warnings alone are fine.`,
		Example: `  vitrine keyring check --keyring keyring`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := readKeyring(cmd)
			var invalid *keyring.Invalid
			var problems []keyring.Problem
			switch {
			case errors.As(err, &invalid):
				problems = invalid.Problems
			case err != nil:
				return err
			default:
				problems = k.Warnings
			}
			wrong, warnings := []keyring.Problem{}, []keyring.Problem{}
			for _, p := range problems {
				if p.Warning {
					warnings = append(warnings, p)
				} else {
					wrong = append(wrong, p)
				}
			}
			out := cmd.OutOrStdout()
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				err = writeKeyringJSON(out, map[string]any{"errors": wrong, "warnings": warnings})
			} else {
				err = printProblems(out, wrong, warnings, k)
			}
			if err == nil && len(wrong) > 0 {
				err = fmt.Errorf("the keyring has %s", count(len(wrong), "error"))
			}
			return err
		},
	}
}

func printProblems(out io.Writer, wrong, warnings []keyring.Problem, k *keyring.Keyring) error {
	var b strings.Builder
	for _, group := range []struct {
		title    string
		problems []keyring.Problem
	}{{"errors:", wrong}, {"warnings:", warnings}} {
		if len(group.problems) > 0 {
			fmt.Fprintln(&b, group.title)
		}
		for _, p := range group.problems {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	if k != nil && len(warnings) == 0 {
		fmt.Fprintf(&b, "ok: %s, %s, %s\n", count(len(k.Services), "service"), count(len(k.People), "reader"), count(len(k.Publishers), "publisher"))
	} else {
		fmt.Fprintf(&b, "%s, %s\n", count(len(wrong), "error"), count(len(warnings), "warning"))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// The JSON of `keyring show`.
type (
	shownService struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		URL         string   `json:"url"`
		Jobs        []string `json:"jobs"`
		Publishers  []string `json:"publishers"`
		Public      []string `json:"public"`
		// PublicSummary are the parts of summaries that are public.
		PublicSummary []string      `json:"public_summary,omitempty"`
		Retention     string        `json:"retention"`
		MinReaders    int           `json:"min_readers"`
		Class         string        `json:"class"`
		Readers       []shownReader `json:"readers"`
		Error         string        `json:"error"` // why nothing could be sealed now
	}
	shownReader struct {
		Name         string   `json:"name"`
		Fingerprints []string `json:"fingerprints"`
		Skipped      string   `json:"skipped"` // why nothing is sealed to the reader now
	}
)

func keyringShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show [SERVICE]",
		Short:   "List services, their jobs, and who can read them with which keys",
		Example: `  vitrine keyring show codesearch`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := readKeyring(cmd)
			if err != nil {
				return err
			}
			names := slices.Sorted(maps.Keys(k.Services))
			if len(args) == 1 {
				if k.Services[args[0]] == nil {
					return fmt.Errorf("no service %q in the keyring; it has %s", args[0], strings.Join(names, ", "))
				}
				names = args
			}
			shown := []shownService{}
			for _, name := range names {
				shown = append(shown, showService(k, k.Services[name]))
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return writeKeyringJSON(cmd.OutOrStdout(), map[string]any{"commit": k.Commit, "url": k.URL, "services": shown})
			}
			return printServices(cmd.OutOrStdout(), shown)
		},
	}
}

func showService(k *keyring.Keyring, s *keyring.Service) shownService {
	shown := shownService{
		Name: s.Name, Description: s.Description, URL: s.URL, Publishers: s.Publishers,
		Jobs: []string{}, Public: []string{}, Readers: []shownReader{},
		Retention: "for ever", MinReaders: s.MinReaders, Class: s.Class,
	}
	for _, g := range s.Jobs {
		shown.Jobs = append(shown.Jobs, g.String())
	}
	for _, g := range s.Public {
		shown.Public = append(shown.Public, g.String())
	}
	if s.PublicRecap {
		shown.PublicSummary = []string{"recap"}
	}
	if s.Retention > 0 {
		shown.Retention = fmt.Sprintf("%dd", s.Retention/(24*time.Hour))
	}
	rec, err := k.Recipients(s.Name, time.Now())
	if err != nil {
		shown.Error = err.Error()
	}
	for _, p := range rec.Readers {
		shown.Readers = append(shown.Readers, shownReader{Name: p.Name, Fingerprints: p.Fingerprints})
	}
	for _, p := range rec.Skipped {
		shown.Readers = append(shown.Readers, shownReader{Name: p.Name, Fingerprints: []string{}, Skipped: p.Reason})
	}
	return shown
}

func printServices(out io.Writer, services []shownService) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, s := range services {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, s.Name)
		row := func(name, value string) {
			if value != "" {
				fmt.Fprintf(w, "  %s\t%s\n", name, value)
			}
		}
		row("description", s.Description)
		row("url", s.URL)
		row("jobs", strings.Join(s.Jobs, ", "))
		row("publishers", strings.Join(s.Publishers, ", "))
		row("public", strings.Join(s.Public, ", "))
		if len(s.PublicSummary) > 0 {
			row("public of summaries", "the counts of the recap")
		}
		row("retention", s.Retention)
		row("class", s.Class)
		for _, p := range s.Readers {
			if p.Skipped != "" {
				row("reader", p.Name+"  (skipped: "+p.Skipped+")")
			}
			for _, f := range p.Fingerprints {
				row("reader", p.Name+"  "+f)
			}
		}
		row("error", s.Error)
	}
	return w.Flush()
}

func writeKeyringJSON(out io.Writer, v any) error {
	enc := newJSON(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func keyringSignersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "allowed-signers",
		Short: "Print the publishers' keys for ssh-keygen -Y verify",
		Example: `  vitrine keyring allowed-signers >allowed_signers
  ssh-keygen -Y verify -f allowed_signers -I bridge -n vitrine-record@v1 -s build.json.sig <build.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := readKeyring(cmd)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(k.AllowedSigners())
			return err
		},
	}
}
