package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/client"
	"vitrine/keyring"
	"vitrine/publish"
	"vitrine/server"
	"vitrine/signature"
	"vitrine/testdata"
)

const (
	demoTenant  = "demo"
	demoAddress = "127.0.0.1:8080"
)

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [DIR]",
		Short: "A whole example on this machine: keyring, jobs, server, how to open a log",
		Long: `demo makes a keyring with two people and two services, starts a server with its
data in a directory, publishes some builds from real logs over HTTP, says how to
browse and open them, and serves until you press Ctrl-C. DIR is demo-data by
default; used again, its history grows. With --storage the builds go to a bucket
elsewhere, S3 or Swift, which must be there.`,
		Example: `  vitrine demo
  vitrine demo --once /tmp/demo     # do the same and end, for scripts
  vitrine demo --storage 's3://bucket/demo?endpoint=http://127.0.0.1:9000' --direct`,
		Args: cobra.MaximumNArgs(1),
		RunE: demo,
	}
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
	keys, err := makeDemoKeyring(dir)
	if err != nil {
		return fmt.Errorf("make the demo's keyring in %s: %w", dir, err)
	}
	say("keyring    %s", keys.keyring)
	say("           alice (age key) reads codesearch and gitea, bob (SSH key) reads codesearch")

	l, err := listenDemo(ctx)
	if err != nil {
		return err
	}
	address := "http://" + l.Addr().String()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	p, err := placesIn(filepath.Join(dir, "data"), demoTenant, true)
	if err != nil {
		return err
	}
	storage, _ := cmd.Flags().GetStringArray("storage")
	if len(storage) > 0 {
		p.buckets = storage
	}
	direct, _ := cmd.Flags().GetBool("direct")
	ended, err := serveDemo(serving, l, address, dir, p, keys, direct)
	if err != nil {
		l.Close()
		return err
	}
	say("server     %s, with its data in %s", address, strings.Join(p.buckets, " and "))

	uuids, err := publishDemo(ctx, address, dir, keys)
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
	say("\nserving until Ctrl-C")
	return <-ended
}

// say prints a line on what the demo does.
func say(format string, a ...any) { fmt.Printf(format+"\n", a...) }

// listenDemo takes the demo's port, or another one if that is taken.
func listenDemo(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", demoAddress)
	if errors.Is(err, syscall.EADDRINUSE) {
		say("           %s is taken, so another port it is", demoAddress)
		return lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return l, err
}

// serveDemo starts the server; what comes out of the channel is how it ended.
func serveDemo(ctx context.Context, l net.Listener, address, dir string, p places, keys demoKeys, direct bool) (<-chan error, error) {
	bucket, x, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	repo, err := keyring.Open(ctx, keys.keyring, filepath.Join(dir, "cache"))
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := server.New(server.Config{Tenant: demoTenant, Bucket: bucket, Index: x, Keyring: repo, PublicURL: address, Direct: direct, Log: log})
	if err != nil {
		return nil, err
	}
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(s.Serve(ctx, l), x.Close()) }()
	return ended, nil
}

// A demoBuild is one build of the demo. Its files are published path and test
// data; its age and length are those of the run it stands for.
type demoBuild struct {
	job      string
	result   vitrine.Result
	event    int // builds of one event share a buildset
	change   int64
	patchset string
	ago      time.Duration
	took     time.Duration
	files    map[string]string
}

var demoBuilds = []demoBuild{
	{"infra-prod-service-codesearch", vitrine.Success, 1, 894112, "1", 76 * time.Hour, 171 * time.Second,
		map[string]string{"ansible.log": "logs/codesearch-success.log"}},
	{"infra-prod-service-gitea", vitrine.Success, 2, 894150, "2", 52 * time.Hour, 402 * time.Second,
		map[string]string{"ansible.log": "logs/gitea-success.log"}},
	{"infra-prod-service-gitea", vitrine.Failure, 3, 894187, "1", 30 * time.Hour, 48 * time.Second,
		map[string]string{"ansible.log": "logs/gitea-failure.log"}},
	{"codesearch-build-image", vitrine.Success, 4, 894190, "4", 26 * time.Hour, 1450 * time.Second,
		map[string]string{"build.log": "logs/build.log.zst", "ansible-colour.log": "logs/codesearch-colour.log"}},
	{"infra-prod-service-codesearch", vitrine.Failure, 5, 894198, "2", 3 * time.Hour, 95 * time.Second,
		map[string]string{"ansible.log": "logs/codesearch-failure.log"}},
	{"infra-prod-base", vitrine.Success, 6, 894201, "3", 15 * time.Minute, 123 * time.Second,
		map[string]string{"ansible.log": "logs/base-success.log"}},
	{"infra-prod-service-gitea", vitrine.Success, 6, 894201, "3", 12 * time.Minute, 364 * time.Second,
		map[string]string{"ansible.log": "logs/gitea-success.log"}},
	{"infra-prod-service-codesearch", vitrine.Success, 6, 894201, "3", 5 * time.Minute, 202 * time.Second,
		map[string]string{
			"ansible.log":              "logs/codesearch-success.log",
			"ansible-verbose.log":      "logs/codesearch-verbose.log",
			"job-output.json":          "logs/codesearch-output.json",
			"screenshots/search.png":   "screenshots/search.png",
			"screenshots/excludes.png": "screenshots/excludes.png",
		}},
}

// unpackDemo writes a build's files into a folder, decompressed.
func unpackDemo(dir string, files map[string]string) error {
	for name, from := range files {
		text, err := fs.ReadFile(testdata.FS, from)
		if err != nil {
			return err
		}
		if strings.HasSuffix(from, ".zst") {
			d, err := zstd.NewReader(nil)
			if err != nil {
				return err
			}
			text, err = d.DecodeAll(text, nil)
			d.Close()
			if err != nil {
				return fmt.Errorf("unpack %s: %w", from, err)
			}
		}
		if err := writeNew(filepath.Join(dir, filepath.FromSlash(name)), string(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// publishDemo publishes all builds as a runner would, and returns their uuids.
func publishDemo(ctx context.Context, address, dir string, keys demoKeys) ([]string, error) {
	c, err := client.New(address, demoTenant)
	if err != nil {
		return nil, err
	}
	signer, closeKey, err := signature.LoadSigner(keys.bridge, nil)
	if err != nil {
		return nil, err
	}
	defer closeKey()
	repo, err := keyring.Open(ctx, keys.keyring, filepath.Join(dir, "cache"))
	if err != nil {
		return nil, err
	}
	k, err := repo.Head(ctx)
	if err != nil {
		return nil, err
	}
	events := make(map[int]string) // to buildsets
	var uuids []string
	for _, d := range demoBuilds {
		job := d.asJob(time.Now())
		job.Buildset = events[d.event]
		b, err := publish.Start(ctx, publish.Options{
			Job: job, Keyring: k, Signer: signer, Writer: c.Publisher(signer), Spool: filepath.Join(dir, "spool"),
		})
		if err != nil {
			return nil, err
		}
		events[d.event] = b.Record().Buildset
		err = d.publish(ctx, b, filepath.Join(dir, "job"))
		b.Close()
		if err != nil {
			return nil, err
		}
		say("published  %s  %-7s  %s", b.UUID()[:12], d.result, d.job)
		uuids = append(uuids, b.UUID())
	}
	return uuids, nil
}

// asJob is what a CI would say of the build.
func (d demoBuild) asJob(now time.Time) publish.Job {
	return publish.Job{
		Tenant: demoTenant, Name: d.job, Pipeline: "deploy", Voting: true, StartTime: now.Add(-d.ago),
		Ref: vitrine.Ref{
			Project: "opendev/system-config", Branch: "master", Change: d.change, Patchset: d.patchset,
			Ref:    fmt.Sprintf("refs/changes/%02d/%d/%s", d.change%100, d.change, d.patchset),
			RefURL: fmt.Sprintf("https://review.example.org/c/opendev/system-config/+/%d", d.change),
		},
	}
}

// publish puts the build's files into a folder, as a job would leave them, and
// publishes that.
func (d demoBuild) publish(ctx context.Context, b *publish.Build, folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := unpackDemo(folder, d.files); err != nil {
		return err
	}
	files, err := publish.Plan([]string{folder}, publish.Choice{Public: b.IsPublic})
	if err != nil {
		return err
	}
	if err := b.Add(ctx, files); err != nil {
		return err
	}
	return b.Finish(ctx, publish.Outcome{Result: d.result, End: b.Record().StartTime.Add(d.took)})
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
	say("  %s builds", self)
	say("  %s cat %s ansible.log -i %s", self, failed[:12], keys.bob)
	say("  %s get %s -i %s -o %s", self, last[:12], keys.alice, filepath.Join(dir, "logs"))
	say("\nCheck it, with no key that opens a log")
	say("  %s verify %s --keyring %s", self, last[:12], keys.keyring)
	say("\nOr with stock tools")
	say("  curl -s %s | age -d -i %s | zstd -d", artifact, keys.bob)
}
