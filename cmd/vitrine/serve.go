package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vitrine/keyring"
	"vitrine/server"
	"vitrine/server/index"
	"vitrine/storage"
)

// placeFlags gives a command the flags that say where a history is.
func placeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("data", os.Getenv("VITRINE_DATA"), "`directory` for the bucket and the index, unless they are elsewhere (VITRINE_DATA)")
	f.StringArray("storage", strings.Fields(os.Getenv("VITRINE_STORAGE")), "`URL` of the bucket; given several times, the first that takes a build gets it; default: DATA/bucket (VITRINE_STORAGE, separated by spaces)")
	f.String("index", os.Getenv("VITRINE_INDEX"), "`file` of the index; default: DATA/index.sqlite (VITRINE_INDEX)")
}

// places are what placeFlags say.
type places struct {
	tenant, index string
	buckets       []string      // at least one
	lostAfter     time.Duration // zero: as the index has it
}

func placesOf(cmd *cobra.Command, create bool) (places, error) {
	f := cmd.Flags()
	data, _ := f.GetString("data")
	tenant, _ := f.GetString("tenant")
	buckets, _ := f.GetStringArray("storage")
	index, _ := f.GetString("index")
	p := places{tenant: tenant}
	if data == "" && (len(buckets) == 0 || index == "") {
		return p, usagef("where is the history? give --data DIR, or --storage URL and --index FILE")
	}
	if data != "" {
		var err error
		if p, err = placesIn(data, tenant, create && len(buckets) == 0); err != nil {
			return p, err
		}
	}
	if len(buckets) > 0 {
		p.buckets = buckets
	}
	p.index = cmp.Or(index, p.index)
	return p, nil
}

// placesIn are those below one directory.
func placesIn(data, tenant string, create bool) (places, error) {
	data, err := filepath.Abs(data)
	p := places{tenant: tenant, buckets: []string{filepath.Join(data, "bucket")}, index: filepath.Join(data, "index.sqlite")}
	if err == nil && create {
		err = os.MkdirAll(p.buckets[0], 0o755)
	}
	return p, err
}

// open opens bucket and index.
func (p places) open(ctx context.Context) (storage.Bucket, *index.Index, error) {
	bucket, err := storage.OpenSeveral(ctx, p.buckets)
	if err != nil {
		return nil, nil, err
	}
	x, err := index.Open(ctx, p.index, index.Options{Tenant: p.tenant, LostAfter: p.lostAfter})
	return bucket, x, err
}

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a history: pages, API, uploads",
		Long: `serve shows a history to everybody, and takes builds from publishers that the
keyring names. It needs no key that opens a log. It stops on an interrupt after
the requests under way; a bucket that it had before is picked up again.`,
		Example: `  vitrine serve --data /var/lib/vitrine --keyring https://git.example.org/ops.git --public-url https://vitrine.example.org`,
		Args:    cobra.NoArgs,
		RunE:    serve,
	}
	placeFlags(cmd)
	keyringFlag(cmd)
	cmd.Flags().Duration("lost-after", 24*time.Hour, "a build that runs longer than this is shown as lost")
	cmd.Flags().Duration("interrupted-after", 0, "make what came of a build readable when its runner is silent for this long; default: 5m")
	cmd.Flags().Bool("gc", true, "remove the artifacts of expired builds, and orphans, every few hours; see vitrine help gc")
	cmd.Flags().Bool("direct", false, "have runners and readers exchange the bytes with the store itself, by signed requests")
	cmd.Flags().String("listen", "127.0.0.1:8080", "`address` to listen on")
	cmd.Flags().String("public-url", os.Getenv("VITRINE_PUBLIC_URL"), "`URL` that people reach the server at; default: http:// and the address (VITRINE_PUBLIC_URL)")
	return cmd
}

func serve(cmd *cobra.Command, _ []string) error {
	ctx := cmd.Context()
	location, _ := cmd.Flags().GetString("keyring")
	if location == "" {
		return usagef("whose keyring? give --keyring LOCATION or set VITRINE_KEYRING")
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	keys, err := openKeyringAt(ctx, location)
	if errors.Is(err, keyring.ErrStale) && keys != nil {
		log.Warn("serving with the keyring as it was", "error", err) // it is tried again every minute
	} else if err != nil {
		return err
	}
	p, err := placesOf(cmd, true)
	if err != nil {
		return err
	}
	p.lostAfter, _ = cmd.Flags().GetDuration("lost-after")
	bucket, x, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	address, _ := cmd.Flags().GetString("listen")
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	direct, _ := cmd.Flags().GetBool("direct")
	collect, _ := cmd.Flags().GetBool("gc")
	interruptedAfter, _ := cmd.Flags().GetDuration("interrupted-after")
	public, _ := cmd.Flags().GetString("public-url")
	if public == "" {
		public = "http://" + l.Addr().String()
	}
	s, err := server.New(server.Config{Tenant: p.tenant, Bucket: bucket, Index: x, Keyring: keys, PublicURL: public, Direct: direct, Collect: collect, InterruptedAfter: interruptedAfter, Log: log})
	if err != nil {
		l.Close()
		return usagef("%v", err)
	}
	log.Info("serving", "address", l.Addr().String(), "public_url", public, "tenant", p.tenant)
	return s.Serve(ctx, l)
}

func reindexCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reindex",
		Short: "Rebuild the index from the bucket",
		Long: `reindex reads every record in the bucket into a new index and puts it in the
place of the old one. The index is a cache: nothing is lost with it. Stop the
server before, or start it anew after.`,
		Example: `  vitrine reindex --data /var/lib/vitrine`,
		Args:    cobra.NoArgs,
		RunE:    reindex,
	}
	placeFlags(cmd)
	return cmd
}

func reindex(cmd *cobra.Command, _ []string) error {
	ctx := cmd.Context()
	p, err := placesOf(cmd, false)
	if err != nil {
		return err
	}
	final := p.index
	p.index = final + ".new"
	if err := removeIndex(p.index); err != nil {
		return err
	}
	bucket, x, err := p.open(ctx)
	if err != nil {
		return err
	}
	report, err := x.Sync(ctx, bucket, time.Time{})
	if err := errors.Join(err, x.Close()); err != nil {
		removeIndex(p.index)
		return fmt.Errorf("the old index stays: %w", err)
	}
	for _, problem := range report.Problems {
		fmt.Fprintf(os.Stderr, "vitrine: not indexed: %s\n", problem)
	}
	// Closing folded the journal into the file, so that one rename is all.
	if err := removeIndex(final); err != nil {
		return err
	}
	if err := os.Rename(p.index, final); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "indexed %s, skipped %s\n", count(report.Builds, "build"), count(len(report.Problems), "broken record"))
	return nil
}

// removeIndex removes an index with its journal.
func removeIndex(file string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
