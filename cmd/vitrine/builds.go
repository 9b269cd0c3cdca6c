package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
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

// listFilters are the flags of builds that may be repeated, and the API's names
// for them.
var listFilters = []struct{ flag, param, help string }{
	{"service", "service", "only of this `service`"},
	{"job", "job_name", "only of this `job`"},
	{"project", "project", "only of this `project`"},
	{"branch", "branch", "only of this `branch`"},
	{"pipeline", "pipeline", "only of this `pipeline`"},
	{"change", "change", "only of this `change`"},
	{"patchset", "patchset", "only of this `patchset` of a change"},
	{"ref", "ref", "only of this `ref`"},
	{"newrev", "newrev", "only of this `commit`"},
	{"result", "result", "only with this `result`, such as FAILURE, RUNNING or LOST"},
	{"nodeset", "nodeset", "only on this `nodeset`"},
	{"uuid", "uuid", "only builds whose `uuid` is this, or begins with it if a * follows"},
	{"buildset", "buildset", "only of this `buildset`"},
}

// listBounds are the flags that have one value, under the API's names.
var listBounds = []struct{ flag, help string }{
	{"text", "only with this `text` in the job's or the project's name"},
	{"from", "only from this `day` on, as 2026-11-22, in UTC"},
	{"to", "only up to this `day`"},
}

// listFlags are those that are told by yes or no.
var listFlags = []struct{ flag, help string }{
	{"voting", "only builds that vote; with =false, only others"},
	{"held", "only builds whose nodes are held"},
	{"final", "only the last attempt of each; with =false, only those that were tried again"},
}

func buildsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "builds",
		Short: "List builds, newest first",
		Long: `builds lists the history, newest first. Filters may be repeated, which means or;
* in a name stands for anything, and not: before a value excludes it. With --json
it prints one build a line, as the API has it.`,
		Example: `  vitrine builds --service codesearch --result FAILURE -n 5
  vitrine builds --job 'infra-prod-*' --result not:SUCCESS
  vitrine builds --text codesearch --from 2026-11-01 --json | jq -r .uuid`,
		Args: cobra.NoArgs,
		RunE: builds,
	}
	filterFlags(cmd)
	for _, f := range listBounds {
		cmd.Flags().String(f.flag, "", f.help)
	}
	cmd.Flags().IntP("number", "n", 20, "how many, at the most; 0 means all")
	return cmd
}

// filterFlags gives a command the filters of builds, but for the bounds.
func filterFlags(cmd *cobra.Command) {
	for _, f := range listFilters {
		cmd.Flags().StringArray(f.flag, nil, f.help)
	}
	for _, f := range listFlags {
		cmd.Flags().Bool(f.flag, false, f.help)
	}
}

// filterQuery is what the filters ask the server for, and whether there are any.
func filterQuery(cmd *cobra.Command) (q url.Values, any bool) {
	q = make(url.Values)
	for _, f := range listFilters {
		q[f.param], _ = cmd.Flags().GetStringArray(f.flag)
		any = any || len(q[f.param]) > 0
	}
	for _, f := range listFlags {
		if v, _ := cmd.Flags().GetBool(f.flag); v {
			q.Set(f.flag, "1")
		} else if cmd.Flags().Changed(f.flag) {
			q.Set(f.flag, "0")
		}
		any = any || q.Has(f.flag)
	}
	return q, any
}

func builds(cmd *cobra.Command, _ []string) error {
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	left, _ := cmd.Flags().GetInt("number")
	all := left == 0
	if left < 0 {
		return usagef("-n %d: want a number of builds, or 0 for all", left)
	}
	q, _ := filterQuery(cmd)
	for _, f := range listBounds {
		if v, _ := cmd.Flags().GetString(f.flag); v != "" {
			q.Set(f.flag, v)
		}
	}
	q.Set("limit", "500")
	if !all {
		q.Set("limit", strconv.Itoa(min(left, 500)))
	}
	asJSON, _ := cmd.Flags().GetBool("json")
	lines := json.NewEncoder(os.Stdout)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	if !asJSON {
		fmt.Fprintln(table, "BUILD\tRESULT\tJOB\tPROJECT\tCHANGE\tSTARTED\tTOOK\tSEALED\tPUBLIC")
	}
	for b, err := range c.AllBuilds(cmd.Context(), q) {
		if err != nil {
			return err
		}
		if asJSON {
			if err := lines.Encode(b); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", b.UUID[:12], resultWord(b), b.JobName, b.Ref.Project,
				changeWord(b.Ref), b.StartTime.Local().Format("2006-01-02 15:04"), durationWord(b), b.Sealed, b.Public)
		}
		if left--; left == 0 {
			return nil
		}
	}
	return nil
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
tells it. verify checks it. With an identity that opens the summary sealed with the
logs, it prints what failed, too. Without -i it asks for no passphrase.`,
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
	told, err := summaryFor(cmd, c, &detail.Record)
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(struct {
			vitrine.BuildDetail
			Summary *summary.Summary `json:"summary,omitempty"`
		}{detail, told}), err)
	}
	if printErr := showBuild(c, detail); printErr != nil || told == nil {
		return errors.Join(printErr, err)
	}
	return printText(cmd, func(w io.Writer) { showSummary(w, uuid, told) })
}

// showBuild prints what the server tells of a build.
func showBuild(c *client.Client, detail vitrine.BuildDetail) error {
	b := detail.Build
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
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
	if err := w.Flush(); err != nil {
		return err
	}
	return showLists(os.Stdout, detail)
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

func showLists(out io.Writer, b vitrine.BuildDetail) error {
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
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", kind, a.PlainPath(), size, lines)
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
	return w.Flush()
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
