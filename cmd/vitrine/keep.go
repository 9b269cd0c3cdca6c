package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/retention"
	"vitrine/server/index"
	"vitrine/storage"
)

func keepCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keep BUILD",
		Short: "Exempt a build from expiry",
		Long: `keep marks a build in the bucket, so that neither vitrine gc nor the server
removes its artifacts when their time has come. --unkeep takes the mark away
again. BUILD is a uuid, the start of one, or the address of the build's page.

It is for whoever runs the history: it needs the bucket and its index, and no
server.`,
		Example: `  vitrine keep 3f0c9a51 --data /var/lib/vitrine
  vitrine keep --unkeep 3f0c9a51 --data /var/lib/vitrine`,
		Args: cobra.ExactArgs(1),
		RunE: keep,
	}
	placeFlags(cmd)
	cmd.Flags().Bool("unkeep", false, "let it expire again")
	return cmd
}

func keep(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	p, err := placesOf(cmd, false)
	if err != nil {
		return err
	}
	bucket, x, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	b, err := findBuild(cmd, bucket, x, args[0])
	if err != nil {
		return err
	}
	expires := "it never expires"
	if !b.Expires.IsZero() {
		expires = "its artifacts expire on " + b.Expires.UTC().Format(time.DateOnly)
	}
	if unkeep, _ := cmd.Flags().GetBool("unkeep"); unkeep {
		if err := retention.Unkeep(ctx, bucket, x, &b.Record); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "build %s of job %s is not kept: %s\n", b.UUID, b.JobName, expires)
		return nil
	}
	if err := retention.Keep(ctx, bucket, x, &b.Record); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "build %s of job %s is kept until vitrine keep --unkeep; without that, %s\n", b.UUID, b.JobName, expires)
	return nil
}

// findBuild finds the build that an argument means in the index, or if that does
// not have it, in the bucket.
func findBuild(cmd *cobra.Command, bucket storage.Bucket, x *index.Index, build string) (vitrine.Build, error) {
	prefix := build
	if _, after, ok := strings.Cut(build, "/build/"); ok {
		prefix = after
	}
	if prefix == "" || len(prefix) > 32 || strings.Trim(prefix, "0123456789abcdef") != "" {
		return vitrine.Build{}, usagef("build %q: want a uuid, the start of one, or the address of a build's page", build)
	}
	for _, synced := range []bool{false, true} {
		if synced {
			if _, err := x.Sync(cmd.Context(), bucket, time.Time{}); err != nil {
				return vitrine.Build{}, err
			}
		}
		page, err := x.Builds(cmd.Context(), index.Query{UUID: []string{prefix + "*"}, Limit: 2})
		if err != nil {
			return vitrine.Build{}, err
		}
		switch len(page.Builds) {
		case 1:
			return page.Builds[0], nil
		case 2:
			return vitrine.Build{}, fmt.Errorf("build %s: more than one build starts with it", build)
		}
	}
	return vitrine.Build{}, fmt.Errorf("build %s: not in this history", build)
}
