package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/keyring"
	"vitrine/server/index"
	"vitrine/storage"
	"vitrine/zuul"
)

// recordsToJudge are how many records of a bucket are looked at, if all are broken,
// for one that says whose they are.
const recordsToJudge = 20

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Begin a history with another CI's past",
		Long:  `import reads what another CI knows of its builds into a history.`,
	}
	cmd.AddCommand(importZuulCommand())
	return cmd
}

func importZuulCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "zuul URL",
		Short: "Import the builds of a Zuul",
		Long: `import zuul reads the builds of one tenant of a Zuul by its API, newest first, and
writes each into the bucket and the index as an imported build: unsigned, its
files as links. It asks for one page at a time. A build that the history has
already, from an earlier import or published, stays as it is, so the same command
may run again and again: it ends when it has come a week back, and through a
thousand builds that it knows. --full goes on to the end, as is needed after an
import that was interrupted, or to go further back than one before.

URL is the address of the Zuul, or of any page of its tenant. --tenant names this
history; the Zuul's tenant is that of the address, or of --from-tenant, or has the
same name. --keyring says which service has a job; without it imported builds
belong to none.

It is for whoever runs the history: it needs the bucket and its index, and no
server. One that runs beside it, with the same index, shows the builds at once.`,
		Example: `  vitrine import zuul https://zuul.opendev.org --tenant openstack --data /var/lib/vitrine
  vitrine import zuul https://zuul.opendev.org/t/openstack --data /var/lib/vitrine --job-name 'infra-prod-*' --since 2026-01-01`,
		Args: cobra.ExactArgs(1),
		RunE: importZuul,
	}
	placeFlags(cmd)
	keyringFlag(cmd)
	f := cmd.Flags()
	f.String("from-tenant", "", "`name` of the Zuul's tenant; default: that of the URL, or the same as --tenant")
	f.StringArray("job-name", nil, "only builds of this `job`; * stands for anything; repeatable")
	f.String("since", "", "only builds that began on this `day` or later, as 2026-01-31, in UTC")
	f.Bool("full", false, "go on to the end of the Zuul's history, whatever is known of it")
	f.Bool("dry-run", false, "only say what would be imported")
	f.BoolP("verbose", "v", false, "name each build that is passed over, and why")
	return cmd
}

func importZuul(cmd *cobra.Command, args []string) error {
	ctx, f := cmd.Context(), cmd.Flags()
	var o importOptions
	o.jobs, _ = f.GetStringArray("job-name")
	o.full, _ = f.GetBool("full")
	o.dryRun, _ = f.GetBool("dry-run")
	if day, _ := f.GetString("since"); day != "" {
		var err error
		if o.since, err = time.Parse(time.DateOnly, day); err != nil {
			return usagef("--since %s: want a day, as 2026-01-31", day)
		}
	}
	p, err := placesOf(cmd, !o.dryRun)
	if err != nil {
		return err
	}
	o.tenant = p.tenant
	from, _ := f.GetString("from-tenant")
	client, err := zuul.NewClient(args[0], from)
	if err != nil && from == "" { // the address does not name one
		client, err = zuul.NewClient(args[0], p.tenant)
	}
	if err != nil {
		return usagef("%v", err)
	}
	repo, err := openKeyring(cmd)
	if err != nil && !(errors.Is(err, keyring.ErrStale) && repo != nil) {
		return err
	}
	if repo != nil {
		k, err := repo.Head(ctx)
		if err != nil {
			return err
		}
		o.service = func(job string) string {
			if s, err := k.ServiceOf(job); err == nil {
				return s.Name
			}
			return ""
		}
	}
	if err := p.checkTenant(ctx); err != nil {
		return err
	}
	bucket, x, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	verbose, _ := f.GetBool("verbose")
	var bar *bar
	if !verbose {
		bar = newBar("import", 0, 0)
	}
	o.progress = bar.imported
	o.passed = func(what string, err error) {
		if verbose {
			fmt.Fprintf(os.Stderr, "vitrine: passed over: %s: %v\n", what, err)
		}
	}
	report, err := importBuilds(ctx, client, bucket, x, o)
	bar.end()
	if asJSON, _ := f.GetBool("json"); asJSON {
		if err := newJSON(os.Stdout).Encode(report); err != nil {
			return err
		}
	} else {
		report.print()
	}
	if err != nil {
		return fmt.Errorf("%w; the same command with --full goes on from here", err)
	}
	return nil
}

// checkTenant refuses an index or a bucket of another tenant, before the index is
// replaced and the bucket written to. Of a bucket that may be large it looks at the
// first records alone.
func (p places) checkTenant(ctx context.Context) error {
	tenant, err := index.TenantOf(ctx, p.index)
	if err != nil {
		return err
	}
	if tenant != "" && tenant != p.tenant {
		return fmt.Errorf("%s is the index of tenant %q, not of %q: give --tenant %s, or another --data or --index", p.index, tenant, p.tenant, tenant)
	}
	bucket, err := storage.OpenSeveral(ctx, p.buckets)
	if err != nil {
		return err
	}
	looked := 0
	for o, err := range bucket.List(ctx, vitrine.RecordsPrefix) {
		if errors.Is(err, storage.ErrIncomplete) {
			return nil // what is there was looked at
		} else if err != nil {
			return err
		}
		k, err := vitrine.ParseKey(o.Key)
		if err != nil || k.Kind != vitrine.RecordKind && k.Kind != vitrine.StartedKind && k.Kind != vitrine.ImportedKind {
			continue
		}
		text, err := readStored(ctx, bucket, o.Key)
		if err != nil {
			return err
		}
		if r, err := vitrine.ParseRecord(text); err == nil {
			if r.Tenant != p.tenant {
				return fmt.Errorf("%s holds builds of tenant %q, not of %q: give --tenant %s, or another --data or --storage",
					storage.PlaceName(p.buckets[0]), r.Tenant, p.tenant, r.Tenant)
			}
			return nil
		}
		if looked++; looked == recordsToJudge {
			return nil
		}
	}
	return nil
}

// print says in words what an import did.
func (r *importReport) print() {
	did := "imported"
	if r.DryRun {
		did = "would import"
	}
	line := fmt.Sprintf("%s %s from %s", did, count(r.Imported, "build"), r.Source)
	if !r.Oldest.IsZero() {
		line += ", back to " + r.Oldest.Format(time.DateOnly)
	}
	if r.Known > 0 {
		line += fmt.Sprintf("; %s known already", count(r.Known, "build"))
	}
	fmt.Fprintln(os.Stderr, line)
	for _, why := range slices.Sorted(maps.Keys(r.PassedOver)) {
		fmt.Fprintf(os.Stderr, "passed over %s: %s\n", count(r.PassedOver[why], "build"), why)
	}
	if len(r.UnknownResults) > 0 {
		fmt.Fprintf(os.Stderr, "shown as ERROR, as they are no results here: %s\n", strings.Join(slices.Sorted(maps.Keys(r.UnknownResults)), ", "))
	}
	if r.LinksLeftOut > 0 {
		fmt.Fprintf(os.Stderr, "left out %s that a page may not link to\n", count(r.LinksLeftOut, "link"))
	}
	if r.Ended == endKnown {
		fmt.Fprintln(os.Stderr, "what is older was imported before; --full goes on to the end")
	}
	if r.Imported > 0 && !r.DryRun {
		fmt.Fprintln(os.Stderr, "a server with an index of its own shows them after vitrine reindex")
	}
}
