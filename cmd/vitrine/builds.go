package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/summary"
)

func buildsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "builds",
		Short: "List builds, newest first",
		Long: `builds lists the history, newest first. Filters may be repeated, which means or;
* in a name stands for anything, and not: before a value excludes it. With --json
it prints one build a line, as the API has it.`,
		Example: `  vitrine builds --service codesearch --result FAILURE -n 5
  vitrine builds --job 'infra-prod-*' --result not:SUCCESS
  vitrine builds --text codesearch --since 30d --json | jq -r .uuid`,
		Args: cobra.NoArgs,
		RunE: builds,
	}
	filterFlags(cmd)
	cmd.Flags().String("from", "", "only from this `day` on, as 2026-11-22, in UTC")
	cmd.Flags().String("to", "", "only up to this `day`")
	cmd.Flags().IntP("number", "n", 20, "how many, at the most; 0 means all")
	return cmd
}

func builds(cmd *cobra.Command, _ []string) error {
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	left, _ := cmd.Flags().GetInt("number")
	if left < 0 {
		return usagef("-n %d: want a number of builds, or 0 for all", left)
	}
	chosen, err := chosenBuilds(cmd, left)
	if err != nil {
		return err
	}
	for _, day := range []string{"from", "to"} {
		if v, _ := cmd.Flags().GetString(day); v != "" {
			chosen.query.Set(day, v)
		}
	}
	asJSON, _ := cmd.Flags().GetBool("json")
	each := func(print func(vitrine.Build) error) error {
		for b, err := range chosen.list(cmd.Context(), c) {
			if err == nil {
				err = print(b)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if asJSON {
		lines := newJSON(os.Stdout)
		return each(func(b vitrine.Build) error { return lines.Encode(b) })
	}
	out := openOutput(cmd, false, nil)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BUILD\tRESULT\tJOB\tPROJECT\tCHANGE\tSTARTED\tTOOK\tSEALED\tPUBLIC")
	err = each(func(b vitrine.Build) error {
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", b.UUID[:12], resultWord(b), b.JobName, b.Ref.Project,
			changeWord(b.Ref), b.StartTime.Local().Format("2006-01-02 15:04"), durationWord(b), b.Sealed, b.Public)
		return err
	})
	return out.end(cmp.Or(err, table.Flush()))
}

func resultWord(b vitrine.Build) string {
	if b.State != vitrine.Finished {
		return strings.ToUpper(string(b.State))
	}
	return string(b.Result)
}

func changeWord(r vitrine.Ref) string {
	switch {
	case r.Change > 0 && r.Patchset != "":
		return fmt.Sprintf("%d,%s", r.Change, r.Patchset)
	case r.Change > 0:
		return strconv.FormatInt(r.Change, 10)
	}
	return "-"
}

func durationWord(b vitrine.Build) string {
	if b.EndTime.IsZero() {
		return "-"
	}
	return b.Duration().String()
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show BUILD",
		Short: "Show what is known of a build",
		Long: `show prints a build's facts, its artifacts, and who can read them, as the server
tells it. verify checks it. With an identity that opens them, it prints what failed,
by the summary sealed with the logs, and the names that are kept from the public.
Without -i it asks for no passphrase, and for nothing else.`,
		Example: `  vitrine show 3f0c9a51
  vitrine show 3f0c9a51 -i key.txt`,
		Args: cobra.ExactArgs(1),
		RunE: show,
	}
}

func show(cmd *cobra.Command, args []string) error {
	c, uuid, err := resolve(cmd, args[0])
	if err != nil {
		return err
	}
	detail, err := c.Build(cmd.Context(), uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build %s: not in the history of this server", uuid)
	} else if err != nil {
		return err
	}
	told, err := revealFor(cmd, c, &detail.Record)
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return errors.Join(newJSON(os.Stdout).Encode(struct {
			vitrine.BuildDetail
			Summary *summary.Summary `json:"summary,omitempty"`
		}{detail, told}), err)
	}
	return errors.Join(printText(cmd, func(w io.Writer) {
		showBuild(w, c, detail)
		if _, ok := detail.Record.Summary(); told != nil {
			showSummary(w, uuid, told)
		} else if ok && err == nil && detail.Result != vitrine.Success {
			fmt.Fprintf(w, "\nwhat failed: vitrine why %s\n", uuid[:12])
		}
	}), err)
}

// showBuild prints what the server tells of a build.
func showBuild(out io.Writer, c *client.Client, detail vitrine.BuildDetail) {
	b := detail.Build
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fact := func(name, value string) {
		if value != "" && value != "-" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	fact("build", b.UUID)
	fact("result", resultWord(b))
	fact("error", b.ErrorDetail)
	fact("job", b.JobName)
	fact("service", b.Service)
	fact("project", b.Ref.Project)
	fact("branch", b.Ref.Branch)
	fact("change", changeWord(b.Ref))
	fact("commit", b.Ref.NewRev)
	fact("pipeline", b.Pipeline)
	fact("buildset", b.Buildset)
	fact("started", b.StartTime.Local().Format(time.RFC3339))
	fact("took", durationWord(b))
	if i := b.Imported; i != nil {
		fact("imported from", i.Source)
		fact("files at", i.LogURL)
	}
	fact("publisher", b.Publisher)
	fact("signature", signatureWord(detail.Signature))
	fact("keyring", b.Keyring.Commit)
	switch {
	case !b.Expired.IsZero():
		fact("logs expired", b.Expires.Local().Format(time.DateOnly)+", removed "+b.Expired.Local().Format(time.DateOnly))
	case b.Kept:
		fact("kept", "until it is released")
	case !b.Expires.IsZero():
		fact("kept until", b.Expires.Local().Format(time.DateOnly))
	}
	fact("stored in", b.Storage)
	fact("build before", detail.Previous)
	fact("build after", detail.Next)
	if r := b.Recap(); r != nil {
		fact("recap", r.String())
	}
	fact("page", c.BuildURL(b.UUID))
	w.Flush() // out keeps its error
	showLists(out, detail)
}

// signatureWord says what the server found, which is not to be relied on.
func signatureWord(s vitrine.SignatureCheck) string {
	switch s.State {
	case "verified":
		return "good, says the server; vitrine verify checks it"
	case "failed":
		return "not good, says the server: " + s.Reason
	}
	return s.State
}

func showLists(out io.Writer, b vitrine.BuildDetail) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(b.Artifacts) > 0 {
		fmt.Fprintln(w, "\nartifacts")
	}
	for _, a := range b.Artifacts {
		kind := "public"
		if a.Sealed {
			kind = "sealed"
		}
		lines := ""
		if a.Lines > 0 {
			lines = count(int(a.Lines), "line")
		}
		if a.IsSummary() {
			lines = "summary of the logs"
		}
		size := sizeWords(a.PlainSize)
		if b.State == vitrine.Interrupted {
			size = sizeWords(a.Size) + " stored, incomplete"
		}
		path := a.PlainPath()
		if a.Name != path && strings.HasPrefix(path, vitrine.HiddenPrefix) {
			path += "  " + a.Name
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", kind, path, size, lines)
	}
	if b.Imported != nil && len(b.Imported.Links) > 0 {
		fmt.Fprintln(w, "\nlinks")
		for _, l := range b.Imported.Links {
			fmt.Fprintf(w, "  %s\t%s\n", l.Name, l.URL)
		}
	}
	if len(b.Readers) > 0 {
		fmt.Fprintln(w, "\nreaders")
	}
	for _, r := range b.Readers {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", r.Name, throughWords(b.People, r.Name), strings.Join(r.Fingerprints, " "))
	}
	for _, r := range b.SkippedReaders {
		fmt.Fprintf(w, "  %s\tcan't read it: %s\n", r.Name, r.Reason)
	}
	w.Flush()
}

// throughWords says through what a person is a reader.
func throughWords(people []vitrine.Person, name string) string {
	for _, p := range people {
		if p.Name == name && len(p.Groups) > 0 {
			return "in " + strings.Join(p.Groups, ", ")
		}
	}
	return ""
}
