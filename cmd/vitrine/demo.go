package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"vitrine/client"
	"vitrine/keyring"
	"vitrine/server"
	"vitrine/signature"
)

const (
	demoTenant  = "demo"
	demoAddress = "127.0.0.1:8080"
)

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [DIR]",
		Short: "A whole example on this machine: keyring, jobs, server, how to open a log",
		Long: `demo makes a keyring with a few people and two services, fills a directory with
some weeks of builds, starts a server on it, publishes some more from real logs
over HTTP, says how to browse and open them, and serves until you press Ctrl-C.
DIR is demo-data by default; used again, its history grows. With --storage the builds go to a bucket
elsewhere, S3 or Swift, which must be there.`,
		Example: `  vitrine demo
  vitrine demo --once /tmp/demo     # do the same and end, for scripts
  vitrine demo --storage 's3://bucket/demo?endpoint=http://127.0.0.1:9000' --direct`,
		Args: cobra.MaximumNArgs(1),
		RunE: demo,
	}
	cmd.Flags().String("listen", demoAddress, "`address` to listen on; by default another port if it is taken")
	cmd.Flags().Bool("once", false, "end when everything is published")
	cmd.Flags().StringArray("storage", nil, "`URL` of the bucket; repeatable; default: DIR/data/bucket")
	cmd.Flags().Bool("direct", false, "exchange the bytes with the store itself, by signed requests")
	return cmd
}

func demo(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	dir := "demo-data"
	if len(args) == 1 {
		dir = args[0]
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	keys, err := makeDemoKeyring(dir, demoCommits...)
	if err != nil {
		return fmt.Errorf("make the demo's keyring in %s: %w", dir, err)
	}
	say("keyring    %s", keys.keyring)
	say("           alice (age key) reads codesearch and gitea, bob (SSH key) reads codesearch")
	repo, err := keyring.Open(ctx, keys.keyring, filepath.Join(dir, "cache"))
	if err != nil {
		return err
	}
	signer, closeKey, err := signature.LoadSigner(keys.bridge, nil)
	if err != nil {
		return err
	}
	defer closeKey()

	address, _ := cmd.Flags().GetString("listen")
	l, err := listenDemo(ctx, address, !cmd.Flags().Changed("listen"))
	if err != nil {
		return err
	}
	defer l.Close()
	address = "http://" + l.Addr().String()
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		address = fmt.Sprintf("http://localhost:%d", a.Port)
	}
	p, err := placesIn(filepath.Join(dir, "data"), demoTenant, true)
	if err != nil {
		return err
	}
	storage, _ := cmd.Flags().GetStringArray("storage")
	if len(storage) > 0 {
		p.buckets = storage
	}
	bucket, x, err := p.open(ctx)
	if err != nil {
		return err
	}
	publisher := demoPublisher{repo: repo, keyring: keys.keyring, signer: signer, dir: dir, now: time.Now()}
	if err := publisher.publishPast(ctx, bucket); err != nil {
		return errors.Join(err, x.Close())
	}
	direct, _ := cmd.Flags().GetBool("direct")
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := server.New(server.Config{Tenant: demoTenant, Bucket: bucket, Index: x, Keyring: repo, PublicURL: address, Direct: direct, Log: log})
	if err == nil {
		err = s.Refresh(ctx)
	}
	if err != nil {
		return errors.Join(err, x.Close())
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(s.Serve(serving, l), x.Close()) }()
	say("server     %s, with its data in %s", address, strings.Join(p.buckets, " and "))

	c, err := client.New(address, demoTenant)
	if err != nil {
		return err
	}
	publisher.writer = c.Publisher(signer)
	uuids, err := publisher.publishAll(ctx, demoBuilds)
	if err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	if once, _ := cmd.Flags().GetBool("once"); once {
		say("\nServe it again with")
		command := fmt.Sprintf("%s serve --tenant %s --data %s --keyring %s", os.Args[0], demoTenant, filepath.Join(dir, "data"), keys.keyring)
		for _, url := range storage {
			command += fmt.Sprintf(" --storage '%s'", url)
		}
		if direct {
			command += " --direct"
		}
		say("  %s", command)
		stop()
		return <-ended
	}
	printDemo(address, dir, keys, uuids)
	running, err := publisher.start(ctx, demoRunning)
	if err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	say("\nserving until Ctrl-C; build %s is running for some minutes", running.UUID()[:12])
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if err := publisher.finish(serving, demoRunning, running); err != nil && serving.Err() == nil {
			say("build %s: %v", running.UUID()[:12], err)
		}
	}()
	err = <-ended
	stop()
	<-finished
	return errors.Join(err, os.RemoveAll(filepath.Join(dir, "spool"))) // with what was cut
}

// say prints a line on what the demo does.
func say(format string, a ...any) { fmt.Printf(format+"\n", a...) }

// listenDemo takes an address, or another port if that is taken and any will do.
func listenDemo(ctx context.Context, address string, any bool) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if any && errors.Is(err, syscall.EADDRINUSE) {
		say("           %s is taken, so another port it is", address)
		return lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return l, err
}

// printDemo says what to try.
func printDemo(address, dir string, keys demoKeys, uuids []string) {
	failed, last := uuids[4], uuids[len(uuids)-1]
	page := address + "/t/" + demoTenant + "/build/" + last
	artifact := address + "/api/v1/tenant/" + demoTenant + "/builds/" + last + "/artifacts/ansible.log.zst.age"
	self := os.Args[0]
	say("\nBrowse")
	say("  %s/", address)
	say("  %s", page)
	say("\nRead, as bob or alice")
	say("  export VITRINE_SERVER=%s VITRINE_TENANT=%s", address, demoTenant)
	say("  export VITRINE_IDENTITY=%s", keys.bob)
	say("  %s builds", self)
	say("  %s why %s", self, failed[:12])
	say("  %s tail %s -n 20", self, failed[:12])
	say("  %s grep 'fatal: ' --service codesearch --last 20", self)
	say("  %s view %s", self, failed[:12])
	say("  %s get %s -i %s -o %s", self, last[:12], keys.alice, filepath.Join(dir, "logs"))
	say("\nCheck it, with no key that opens a log")
	say("  %s verify %s --keyring %s", self, last[:12], keys.keyring)
	say("\nOr with stock tools")
	say("  curl -s %s | age -d -i %s | zstd -d", artifact, keys.bob)
}
