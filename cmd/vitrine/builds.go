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
)

// listFilters are the flags of builds and the API's names for them.
var listFilters = []struct{ flag, param, help string }{
	{"service", "service", "only of this `service`"},
	{"job", "job_name", "only of this `job`"},
	{"project", "project", "only of this `project`"},
	{"branch", "branch", "only of this `branch`"},
	{"pipeline", "pipeline", "only of this `pipeline`"},
	{"change", "change", "only of this `change`"},
	{"result", "result", "only with this `result`, such as FAILURE, RUNNING or LOST"},
	{"buildset", "buildset", "only of this `buildset`"},
}

func buildsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "builds",
		Short: "List builds, newest first",
		Long: `builds lists the history, newest first. Filters may be repeated, which means or;
* in a name stands for anything. With --json it prints one build a line.`,
		Example: `  vitrine builds --service codesearch --result FAILURE -n 5
  vitrine builds --job 'infra-prod-*' --from 2026-11-01 --json | jq -r .uuid`,
		Args: cobra.NoArgs,
		RunE: builds,
	}
	for _, f := range listFilters {
		cmd.Flags().StringArray(f.flag, nil, f.help)
	}
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
	all := left == 0
	if left < 0 {
		return usagef("-n %d: want a number of builds, or 0 for all", left)
	}
	q := make(url.Values)
	for _, f := range listFilters {
		q[f.param], _ = cmd.Flags().GetStringArray(f.flag)
	}
	for _, name := range []string{"from", "to"} {
		if v, _ := cmd.Flags().GetString(name); v != "" {
			q.Set(name, v)
		}
	}
	asJSON, _ := cmd.Flags().GetBool("json")
	lines := json.NewEncoder(os.Stdout)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	if !asJSON {
		fmt.Fprintln(table, "BUILD\tRESULT\tJOB\tPROJECT\tCHANGE\tSTARTED\tTOOK\tSEALED\tPUBLIC")
	}
	for {
		limit := 500
		if !all {
			limit = min(left, limit)
		}
		q.Set("limit", strconv.Itoa(limit))
		page, err := c.Builds(cmd.Context(), q)
		if err != nil {
			return err
		}
		for _, b := range page.Builds {
			if asJSON {
				if err := lines.Encode(b); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", b.UUID[:12], resultWord(b), b.JobName, b.Ref.Project,
				changeWord(b.Ref), b.StartTime.Local().Format("2006-01-02 15:04"), durationWord(b), b.Sealed, b.Public)
		}
		left -= len(page.Builds)
		if page.Older == "" || (!all && left <= 0) {
			return nil
		}
		q.Set("before", page.Older)
	}
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
		Use:     "show BUILD",
		Short:   "Show what is known of a build",
		Long:    `show prints a build's facts, its artifacts, and who can read them, as the server tells it. verify checks it.`,
		Example: `  vitrine show 3f0c9a51`,
		Args:    cobra.ExactArgs(1),
		RunE:    show,
	}
}

func show(cmd *cobra.Command, args []string) error {
	c, uuid, err := resolve(cmd, args[0])
	if err != nil {
		return err
	}
	b, err := c.Build(cmd.Context(), uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build %s: not in the history of this server", uuid)
	} else if err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return json.NewEncoder(os.Stdout).Encode(b)
	}
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
	fact("publisher", b.Publisher)
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
	fact("page", c.BuildURL(uuid))
	if err := w.Flush(); err != nil {
		return err
	}
	return showLists(os.Stdout, b)
}

func showLists(out io.Writer, b vitrine.Build) error {
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
		size := sizeWords(a.PlainSize)
		if b.State == vitrine.Interrupted {
			size = sizeWords(a.Size) + " stored, incomplete"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", kind, a.PlainPath(), size, lines)
	}
	if len(b.Readers) > 0 {
		fmt.Fprintln(w, "\nreaders")
	}
	for _, r := range b.Readers {
		fmt.Fprintf(w, "  %s\t%s\n", r.Name, strings.Join(r.Fingerprints, " "))
	}
	for _, r := range b.SkippedReaders {
		fmt.Fprintf(w, "  %s\tcan't read it: %s\n", r.Name, r.Reason)
	}
	return w.Flush()
}
