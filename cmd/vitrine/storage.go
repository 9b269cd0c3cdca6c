package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"vitrine/storage"
)

func storageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "Check a bucket, copy a history",
		Long:  `storage looks after the places that histories are kept in.`,
		Example: `  vitrine storage check s3://logs/vitrine?region=eu-central-1
  vitrine storage copy /var/lib/vitrine/bucket swift://logs?cloud=one`,
	}
	cmd.AddCommand(storageCheckCommand(), storageCopyCommand())
	return cmd
}

func storageCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check URL",
		Short: "Prove that a bucket can hold a history",
		Long: `check uses a bucket for some seconds, as a server would, and says of each thing
whether it works, and how to set what does not. What it stores, under a name that
no build has, it removes again. It exits with 1 if something is missing that no
history can do without; a line with – is needed for some uses alone.`,
		Example: `  vitrine storage check s3://logs/vitrine?region=eu-central-1`,
		Args:    cobra.ExactArgs(1),
		RunE:    storageCheck,
	}
}

func storageCheck(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	bucket, err := storage.OpenBucket(ctx, args[0])
	if err != nil {
		return err
	}
	asJSON, _ := cmd.Flags().GetBool("json")
	var all []storage.Finding
	good := storage.Check(ctx, bucket, func(f storage.Finding) {
		all = append(all, f)
		if asJSON {
			return
		}
		sign := "✓"
		if !f.Good && f.Needed {
			sign = "✗"
		} else if !f.Good {
			sign = "–"
		}
		fmt.Printf("%s %-16s  %s\n", sign, f.What, f.Detail)
		if f.Fix != "" {
			fmt.Printf("  %-16s  → %s\n", "", f.Fix)
		}
	})
	if asJSON {
		out := struct {
			Storage  string            `json:"storage"`
			OK       bool              `json:"ok"`
			Findings []storage.Finding `json:"findings"`
		}{storage.PlaceName(args[0]), good, all}
		if err := newJSON(os.Stdout).Encode(out); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !good {
		return fmt.Errorf("%s can't hold a history as it is", storage.PlaceName(args[0]))
	}
	return nil
}

func storageCopyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy a history to another bucket",
		Long: `copy copies all builds from one bucket to another: records, signatures, marks,
and the artifacts that records name, each compared with the SHA-256 in its
record. What is there already, with the same size, is passed over, so the same
command again goes on where one was interrupted. A build whose artifacts are
damaged or missing is named and left out; then copy exits with 4. Do not run
vitrine gc on TO meanwhile.`,
		Example: `  vitrine storage copy /var/lib/vitrine/bucket s3://logs/vitrine?region=eu-central-1
  vitrine storage copy --dry-run s3://logs/vitrine swift://logs?cloud=one`,
		Args: cobra.ExactArgs(2),
		RunE: storageCopy,
	}
	cmd.Flags().Bool("dry-run", false, "only say how much there is to copy")
	cmd.Flags().Bool("verify", false, "read what is there already, and compare it too")
	return cmd
}

func storageCopy(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	if args[0] == args[1] {
		return usagef("%s: a history can't be copied onto itself", storage.PlaceName(args[0]))
	}
	from, err := storage.OpenBucket(ctx, args[0])
	if err != nil {
		return err
	}
	to, err := storage.OpenBucket(ctx, args[1])
	if err != nil {
		return err
	}
	var o storage.CopyOptions
	o.DryRun, _ = cmd.Flags().GetBool("dry-run")
	o.Verify, _ = cmd.Flags().GetBool("verify")
	bar := newBar("copy", 0, 0)
	o.Problem = func(key string, err error) {
		bar.end()
		fmt.Fprintf(os.Stderr, "vitrine: %s: %v\n", key, err)
	}
	o.Progress = func(t storage.CopyTotals) { bar.copied(t) }
	t, err := storage.Copy(ctx, to, from, o)
	bar.end()
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		if err := newJSON(os.Stdout).Encode(t); err != nil {
			return err
		}
	} else {
		did := "copied"
		if o.DryRun {
			did = "would copy"
		}
		fmt.Fprintf(os.Stderr, "%s %s, %s, of %s in %s\n", did, count(t.Copied, "object"), sizeWords(t.CopiedBytes), count(t.Objects, "object"), count(t.Builds, "build"))
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w; the same command again goes on from here", err)
	case t.BuildsFailed > 0:
		return fmt.Errorf("%w: %s not whole in %s: see above", errUnverified, count(t.BuildsFailed, "build"), storage.PlaceName(args[1]))
	}
	return nil
}
