package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"vitrine/retention"
)

func gcCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove the artifacts of expired builds, and orphans",
		Long: `gc removes the artifacts of builds whose time has come by their records, but
not of those that are kept, nor of the last successful build of each job; and
artifacts that no record names, once they are older than the grace time. Records
stay for ever. Without --delete it only says what it would remove, and why.

What can't be listed, read or parsed is left alone, said, and makes gc exit with
1. A server does the same by itself, every few hours.`,
		Example: `  vitrine gc --data /var/lib/vitrine
  vitrine gc --data /var/lib/vitrine --delete`,
		Args: cobra.NoArgs,
		RunE: gc,
	}
	placeFlags(cmd)
	cmd.Flags().Bool("delete", false, "really remove it")
	cmd.Flags().Duration("grace", retention.DefaultGrace, "how old what no record names must be")
	return cmd
}

func gc(cmd *cobra.Command, _ []string) error {
	ctx := cmd.Context()
	p, err := placesOf(cmd, false)
	if err != nil {
		return err
	}
	o := retention.Options{Tenant: p.tenant}
	o.Delete, _ = cmd.Flags().GetBool("delete")
	o.Grace, _ = cmd.Flags().GetDuration("grace")
	asJSON, _ := cmd.Flags().GetBool("json")
	lines := newJSON(os.Stdout)
	o.Report = func(i retention.Item) {
		switch {
		case asJSON:
			lines.Encode(i)
		case i.Problem != "":
			fmt.Fprintf(os.Stderr, "vitrine: left alone: %s\n", problemWords(i))
		default:
			fmt.Println(itemWords(i))
		}
	}
	bucket, x, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	sum, err := retention.Collect(ctx, bucket, x, o)
	if asJSON {
		lines.Encode(struct {
			Summary retention.Summary `json:"summary"`
			Deleted bool              `json:"deleted"`
		}{sum, o.Delete})
	} else {
		did, then := "would remove", "; --delete does it"
		if o.Delete {
			did, then = "removed", ""
		}
		fmt.Fprintf(os.Stderr, "%s %s, %s: of %s and %s%s; %s kept, or a job's last success\n", did, count(sum.Objects, "object"), sizeWords(sum.Bytes),
			count(sum.Expired, "expired build"), count(sum.Orphans, "orphan"), then, count(sum.Exempt, "expired build"))
	}
	if err == nil && sum.Problems > 0 {
		err = fmt.Errorf("%s left alone: see above", count(sum.Problems, "thing"))
	}
	return err
}

// itemWords says what goes, and why.
func itemWords(i retention.Item) string {
	what := fmt.Sprintf("%s  %s, %s", i.UUID, count(i.Objects, "object"), sizeWords(i.Bytes))
	on := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch i.Reason {
	case retention.Expired:
		return fmt.Sprintf("%s of job %s: expired on %s", what, i.Job, on(i.Expired))
	case retention.Unfinished:
		return fmt.Sprintf("%s: the build never ended; the last came on %s", what, on(i.Last))
	case retention.Parts:
		return fmt.Sprintf("%s  parts of %s: never completed; the last came on %s", i.UUID, i.Key, on(i.Last))
	}
	return fmt.Sprintf("%s: no record names them; the last came on %s", what, on(i.Last))
}

func problemWords(i retention.Item) string {
	if i.UUID == "" {
		return i.Problem
	}
	return fmt.Sprintf("build %s: %s", i.UUID, i.Problem)
}
