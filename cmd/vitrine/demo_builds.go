package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"vitrine"
	"vitrine/keyring"
	"vitrine/publish"
	"vitrine/storage"
	"vitrine/testdata"
)

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

// demoRunning runs while the demo serves, for some minutes.
var demoRunning = demoBuild{"infra-prod-service-gitea", vitrine.Success, 7, 894203, "1", time.Minute, 5 * time.Minute,
	map[string]string{"ansible.log": "logs/gitea-success.log"}}

// demoLost never ends.
var demoLost = demoBuild{"codesearch-linters", vitrine.LostResult, 8, 894187, "1", 31 * time.Hour, 0, nil}

// A demoSeries is a job's builds of the past weeks. Each letter is a day, the last
// of them yesterday: Success, Failure, Timed out, or none.
type demoSeries struct {
	job          string
	days         string
	hour         time.Duration // of the day
	took         time.Duration
	good, failed map[string]string // files
}

var demoPast = []demoSeries{
	{"infra-prod-base", "S.S..S.SSF..SS.SS..FS.SS..S.SSS..SS", 2 * time.Hour, 120 * time.Second,
		map[string]string{"ansible.log": "logs/base-success.log"}, map[string]string{"ansible.log": "logs/gitea-failure.log"}},
	{"infra-prod-service-gitea", "S.S..S.SFS..SS.S...SSFF..SS.S..S.S.", 2*time.Hour + 4*time.Minute, 380 * time.Second,
		map[string]string{"ansible.log": "logs/gitea-success.log"}, map[string]string{"ansible.log": "logs/gitea-failure.log"}},
	{"infra-prod-service-codesearch", ".SS..FS..S..S.FSS..S.SS...STS..SSSS", 2*time.Hour + 11*time.Minute, 180 * time.Second,
		map[string]string{"ansible.log": "logs/codesearch-success.log", "screenshots/search.png": "screenshots/search-before.png"},
		map[string]string{"ansible.log": "logs/codesearch-failure.log"}},
	{"codesearch-build-image", "......S....FS..S..S....S...S.......", 14 * time.Hour, 1400 * time.Second,
		map[string]string{"build.log": "logs/codesearch-colour.log"}, map[string]string{"build.log": "logs/codesearch-failure.log"}},
	{"codesearch-linters", "...............S.S.....FS..S.....S.", 13 * time.Hour, 90 * time.Second,
		map[string]string{"lint.log": "logs/base-success.log"}, map[string]string{"lint.log": "logs/gitea-failure.log"}},
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
		map[string]string{
			"ansible.log":     "logs/codesearch-failure.log",
			"job-output.json": "logs/codesearch-failure-output.json",
		}},
	{"infra-prod-base", vitrine.Success, 6, 894201, "3", 15 * time.Minute, 123 * time.Second,
		map[string]string{"ansible.log": "logs/base-success.log"}},
	{"infra-prod-service-gitea", vitrine.Success, 6, 894201, "3", 12 * time.Minute, 364 * time.Second,
		map[string]string{"ansible.log": "logs/gitea-success.log"}},
	{"infra-prod-service-codesearch", vitrine.Success, 6, 894201, "3", 5 * time.Minute, 202 * time.Second,
		map[string]string{
			"ansible.log":              "logs/codesearch-success.log",
			"ansible-verbose.log":      "logs/codesearch-verbose.log",
			"job-output.json":          "logs/codesearch-output.json",
			"report/excluded.html":     "report/excluded.html",
			"report/repositories.txt":  "report/repositories.txt",
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

// A demoPublisher publishes builds as a runner would.
type demoPublisher struct {
	repo    *keyring.Repository
	keyring string // its directory
	signer  ssh.Signer
	writer  storage.Writer
	dir     string
	now     time.Time
}

// publishPast fills an empty bucket. It needs no server, which takes no build that
// is weeks old.
func (p demoPublisher) publishPast(ctx context.Context, bucket storage.Bucket) error {
	for _, err := range bucket.List(ctx, vitrine.RecordsPrefix) {
		return err // an earlier run filled it, if it is nil
	}
	p.writer = bucket
	var list []demoBuild
	for _, s := range demoPast {
		list = append(list, s.builds(p.now)...)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, d := range list {
		group.Go(func() error {
			b, err := p.start(groupCtx, d)
			if err != nil {
				return err
			}
			return p.finish(groupCtx, d, b)
		})
	}
	group.Go(func() error { return p.lose(groupCtx, bucket) })
	if err := group.Wait(); err != nil {
		return err
	}
	say("history    %d builds of the past weeks", len(list))
	return nil
}

// builds are those of a series.
func (s demoSeries) builds(now time.Time) []demoBuild {
	var list []demoBuild
	for i, day := range s.days {
		back := len(s.days) - i
		d := demoBuild{s.job, vitrine.Success, 1000 + back, 894189 - 20*int64(back), "1", 0,
			s.took + time.Duration(i*i%9)*s.took/40, s.good}
		d.ago = now.Sub(now.UTC().Truncate(demoDay).Add(s.hour + time.Duration(i*13%7)*time.Minute - time.Duration(back)*demoDay))
		switch day {
		case 'S':
		case 'F':
			d.result, d.took, d.files = vitrine.Failure, d.took/2, s.failed
		case 'T':
			d.result, d.took, d.files = vitrine.TimedOut, time.Hour, s.failed
		default:
			continue
		}
		list = append(list, d)
	}
	return list
}

// publishAll publishes builds one after the other, and returns their uuids.
func (p demoPublisher) publishAll(ctx context.Context, list []demoBuild) ([]string, error) {
	var uuids []string
	for _, d := range list {
		b, err := p.start(ctx, d)
		if err == nil {
			err = p.finish(ctx, d, b)
		}
		if err != nil {
			return nil, err
		}
		say("published  %s  %-7s  %s", b.UUID()[:12], d.result, d.job)
		uuids = append(uuids, b.UUID())
	}
	return uuids, nil
}

// start begins a build, with the keyring as it was then.
func (p demoPublisher) start(ctx context.Context, d demoBuild) (*publish.Build, error) {
	job := d.asJob(p.now)
	commit, err := demoCommitAt(p.keyring, job.StartTime)
	if err != nil {
		return nil, err
	}
	k, err := p.repo.At(ctx, commit)
	if err != nil {
		return nil, err
	}
	return publish.Start(ctx, publish.Options{Job: job, Keyring: k, Signer: p.signer, Writer: p.writer, Spool: filepath.Join(p.dir, "spool"), Summarize: true})
}

// finish waits until the build has taken its time, if it has not, and publishes
// its files, which it puts into a folder as a job would leave them.
func (p demoPublisher) finish(ctx context.Context, d demoBuild, b *publish.Build) error {
	defer b.Close()
	end := b.Record().StartTime.Add(d.took)
	select {
	case <-time.After(time.Until(end)):
	case <-ctx.Done():
		return ctx.Err()
	}
	folder := filepath.Join(p.dir, "job-"+b.UUID())
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
	return b.Finish(ctx, publish.Outcome{Result: d.result, End: end})
}

// lose begins a build that never ends.
func (p demoPublisher) lose(ctx context.Context, bucket storage.Bucket) error {
	b, err := p.start(ctx, demoLost)
	if err != nil {
		return err
	}
	for { // it is sent in the background
		_, err = bucket.Stat(ctx, b.Record().Key())
		if !errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.Join(err, b.Close(), os.RemoveAll(filepath.Join(p.dir, "spool", b.UUID())))
}

// asJob is what a CI would say of the build.
func (d demoBuild) asJob(now time.Time) publish.Job {
	buildset := sha256.Sum256(fmt.Append(nil, now, d.event))
	pipeline := "deploy"
	if !strings.HasPrefix(d.job, "infra-prod-") {
		pipeline = "check"
	}
	return publish.Job{
		Tenant: demoTenant, Name: d.job, Buildset: hex.EncodeToString(buildset[:16]), Pipeline: pipeline,
		Voting: d.job != "codesearch-linters", StartTime: now.Add(-d.ago),
		Ref: vitrine.Ref{
			Project: "opendev/system-config", Branch: "master", Change: d.change, Patchset: d.patchset,
			Ref:    fmt.Sprintf("refs/changes/%02d/%d/%s", d.change%100, d.change, d.patchset),
			RefURL: fmt.Sprintf("https://review.example.org/c/opendev/system-config/+/%d", d.change),
		},
	}
}
