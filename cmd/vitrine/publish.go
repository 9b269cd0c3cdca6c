package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/client"
	"vitrine/publish"
	"vitrine/signature"
	"vitrine/storage"
)

func publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish --job NAME --result RESULT PATH…",
		Short: "Seal a job's files and publish them as a build",
		Long: `publish seals files, and the files below directories, to the readers of the
job's service, uploads them, and signs the build's record. What the keyring
declares public is published as it is; all else is sealed. It prints the address
of the build's page.

When the server can't be reached, everything is kept, sealed, in a spool:
publish --resume sends it later. In Zuul, GitHub Actions, GitLab CI, Jenkins,
Buildkite and Woodpecker the build's project, change, commit and ids come from
the environment; flags override.`,
		Example: `  vitrine publish --job deploy-web --result SUCCESS logs/
  vitrine publish --resume`,
		RunE: publishFiles,
	}
	jobFlags(cmd)
	f := cmd.Flags()
	f.String("result", "", "the job's `result` in Zuul's words: SUCCESS, FAILURE, TIMED_OUT, …")
	f.String("error", "", "one `line` on why it failed")
	f.String("start", "", "`time` that the job began, as 2026-11-22T02:11:09Z; default: now")
	f.Bool("resume", false, "send what earlier publishes could not")
	f.StringArray("drop", nil, "give up the build of this `uuid` that --resume would send; repeatable")
	return cmd
}

// jobFlags are what publish and run share.
func jobFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	keyringFlag(cmd)
	f.String("key", os.Getenv("VITRINE_KEY"), "the publisher's SSH private key `file`, or its .pub if ssh-agent has it (VITRINE_KEY)")
	f.String("store", "", "`URL` of a bucket to write to, in place of a server")
	f.String("spool", "", "`directory` that builds wait in until they are sent")
	f.Duration("retry-for", time.Minute, "how long to try again while the server can't be reached")
	f.StringArray("exclude", nil, "`pattern` of files to leave out; repeatable")
	f.StringArray("allow", nil, "`pattern` of files to publish although their name is that of a secret; repeatable")
	f.Bool("no-search-index", false, "seal no search index with texts: vitrine grep will have to read all of them")
	f.Bool("no-summary", false, "seal no summary of the logs: what failed, and where")
	f.StringArray("summary-pattern", nil, "`regexp` of lines that the summary counts as failures, beside those it knows; repeatable")
	f.String("job", "", "`name` of the job")
	for _, t := range jobTexts(new(publish.Job)) {
		f.String(t.flag, "", t.help)
	}
	f.Int64("change", 0, "`number` of the change")
	f.Bool("non-voting", false, "the job's result does not count")
}

// jobTexts are the flags that fill a job's texts.
func jobTexts(j *publish.Job) []struct {
	flag, help string
	to         *string
} {
	return []struct {
		flag, help string
		to         *string
	}{
		{"uuid", "`id` of the build: 32 hex digits; default: a random one", &j.UUID},
		{"buildset", "`id` of the buildset: 32 hex digits, the same for all builds of one event", &j.Buildset},
		{"pipeline", "`name` of the pipeline", &j.Pipeline},
		{"event-id", "`id` of the event", &j.EventID},
		{"nodeset", "`name` of the nodeset", &j.Nodeset},
		{"project", "`name` of the project", &j.Ref.Project},
		{"branch", "`name` of the branch", &j.Ref.Branch},
		{"patchset", "`number` or commit of the patchset", &j.Ref.Patchset},
		{"ref", "git `ref`", &j.Ref.Ref},
		{"oldrev", "`commit` before a push", &j.Ref.OldRev},
		{"newrev", "`commit` that the job ran for", &j.Ref.NewRev},
		{"ref-url", "`URL` of the change or commit", &j.Ref.RefURL},
	}
}

// jobOf is the job by the environment and the flags.
func jobOf(cmd *cobra.Command) (publish.Job, error) {
	j := publish.JobFromEnvironment(os.Getenv)
	f := cmd.Flags()
	j.Tenant, _ = f.GetString("tenant")
	if v, _ := f.GetString("job"); v != "" {
		j.Name = v
	}
	if j.Name == "" {
		return j, usagef("which job? give --job NAME")
	}
	for _, t := range jobTexts(&j) {
		if v, _ := f.GetString(t.flag); v != "" {
			*t.to = v
		}
	}
	if v, _ := f.GetInt64("change"); v < 0 {
		return j, usagef("--change %d: want the number of a change", v)
	} else if v > 0 {
		j.Ref.Change = v
	}
	if v, _ := f.GetBool("non-voting"); v {
		j.Voting = false
	}
	for flag, id := range map[string]string{"uuid": j.UUID, "buildset": j.Buildset} {
		if id != "" && !vitrine.ValidUUID(id) {
			return j, usagef("--%s %q: want 32 lower-case hex digits", flag, id)
		}
	}
	if u := j.Ref.RefURL; u != "" && !vitrine.ValidLink(u) {
		return j, usagef("--ref-url %q: want an http or https URL without a user", u)
	}
	return j, nil
}

func publishFiles(cmd *cobra.Command, args []string) error {
	if resume, _ := cmd.Flags().GetBool("resume"); resume {
		return publishSpool(cmd, args)
	}
	if drop, _ := cmd.Flags().GetStringArray("drop"); len(drop) > 0 {
		return dropBuilds(cmd, drop, args)
	}
	result, err := resultOf(cmd)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("publish what? give files or directories")
	}
	p, err := newPublishing(cmd)
	if err != nil {
		return err
	}
	defer p.close()
	if start, _ := cmd.Flags().GetString("start"); start != "" {
		p.options.Job.StartTime, err = time.Parse(time.RFC3339, start)
		if age := time.Since(p.options.Job.StartTime); err != nil || age < 0 || age > vitrine.MaxBuildAge {
			return usagef("--start %q: want a time of the last %s such as 2026-11-22T02:11:09Z", start, vitrine.MaxBuildAge)
		}
	}
	files, err := p.plan(args)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	b, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	detail, _ := cmd.Flags().GetString("error")
	if err := b.Add(ctx, files); err != nil {
		return err
	}
	if err := b.Finish(ctx, publish.Outcome{Result: result, ErrorDetail: detail}); err != nil {
		return err
	}
	p.bar.end()
	return printPublished(cmd, b.Record(), p.address)
}

func resultOf(cmd *cobra.Command) (vitrine.Result, error) {
	text, _ := cmd.Flags().GetString("result")
	result := vitrine.Result(strings.ToUpper(text))
	if !result.Known() {
		return "", usagef("--result %q: want one of %v", text, vitrine.Results)
	}
	return result, nil
}

// A publishing is what the flags of publish and run come to.
type publishing struct {
	options  publish.Options
	exclude  []vitrine.Glob
	allow    []vitrine.Glob
	address  func(uuid string) string // of a build's page; nil without a server
	bar      *bar
	closeKey func() error
}

// newPublishing opens the key, the keyring and the way to the store.
func newPublishing(cmd *cobra.Command) (p *publishing, err error) {
	p = &publishing{closeKey: func() error { return nil }}
	if p.options.Job, err = jobOf(cmd); err != nil {
		return nil, err
	}
	if p.exclude, err = globsOf(cmd, "exclude"); err != nil {
		return nil, err
	}
	if p.allow, err = globsOf(cmd, "allow"); err != nil {
		return nil, err
	}
	repo, err := openKeyring(cmd)
	if err != nil {
		return nil, err
	}
	if repo == nil {
		return nil, usagef("whose keyring? give --keyring LOCATION or set VITRINE_KEYRING")
	}
	if p.options.Keyring, err = repo.Head(cmd.Context()); err != nil {
		return nil, err
	}
	if p.options.Signer, p.closeKey, err = openKey(cmd); err != nil {
		return nil, err
	}
	p.options.Spool, _ = cmd.Flags().GetString("spool")
	if p.options.Failures, err = patternsOf(cmd); err != nil {
		p.close()
		return nil, err
	}
	off, _ := cmd.Flags().GetBool("no-summary")
	p.options.Summarize = !off
	p.options.NoSearchIndex, _ = cmd.Flags().GetBool("no-search-index")
	if p.options.Writer, p.address, err = openStore(cmd, p.options.Job.Tenant, p.options.Signer); err != nil {
		p.close()
		return nil, err
	}
	p.bar = newBar("publish", 0, 0)
	p.options.Progress = p.bar.totals
	return p, nil
}

func globsOf(cmd *cobra.Command, flag string) ([]vitrine.Glob, error) {
	var globs []vitrine.Glob
	patterns, _ := cmd.Flags().GetStringArray(flag)
	for _, pattern := range patterns {
		g, err := vitrine.ParseGlob(pattern)
		if err != nil {
			return nil, usagef("--%s: %v", flag, err)
		}
		globs = append(globs, g)
	}
	return globs, nil
}

// openKey opens the publisher's key.
func openKey(cmd *cobra.Command) (ssh.Signer, func() error, error) {
	file, _ := cmd.Flags().GetString("key")
	if file == "" {
		return nil, nil, usagef("whose key signs it? give --key FILE or set VITRINE_KEY")
	}
	return signature.LoadSigner(file, func() ([]byte, error) {
		if secret := os.Getenv("VITRINE_KEY_PASSPHRASE"); secret != "" {
			return []byte(secret), nil
		}
		return askPassphrase(cmd.Context(), "passphrase of "+file)
	})
}

// openStore returns the writer that the flags name, and how it addresses builds.
func openStore(cmd *cobra.Command, tenant string, signer ssh.Signer) (storage.Writer, func(string) string, error) {
	if store, _ := cmd.Flags().GetString("store"); store != "" {
		open := func(ctx context.Context) (storage.Bucket, error) { return storage.OpenBucket(ctx, store) }
		bucket, err := open(cmd.Context())
		if errors.Is(err, storage.ErrUnavailable) { // what is sealed waits in the spool until it is
			return storage.Several(cmd.Context(), storage.Store{Name: storage.PlaceName(store), Open: open}), nil, nil
		}
		return bucket, nil, err
	}
	server, _ := cmd.Flags().GetString("server")
	if server == "" {
		return nil, nil, usagef("publish where? give --server URL, set VITRINE_SERVER, or give --store URL")
	}
	c, err := client.New(server, tenant)
	if err != nil {
		return nil, nil, usagef("%v", err)
	}
	c.RetryFor, _ = cmd.Flags().GetDuration("retry-for")
	return c.Publisher(signer), c.BuildURL, nil
}

// start begins the build, and says who will not be able to read it.
func (p *publishing) start(ctx context.Context) (*publish.Build, error) {
	b, err := publish.Start(ctx, p.options)
	if err != nil {
		return nil, err
	}
	for _, r := range b.Record().SkippedReaders {
		fmt.Fprintf(os.Stderr, "vitrine: %s will not be able to read it: %s\n", r.Name, r.Reason)
	}
	return b, nil
}

// plan finds the files to publish.
func (p *publishing) plan(paths []string) ([]publish.File, error) {
	service, err := p.options.Keyring.ServiceOf(p.options.Job.Name)
	if err != nil {
		return nil, err
	}
	return publish.Plan(paths, publish.Choice{Exclude: p.exclude, Allow: p.allow, Public: service.IsPublic})
}

func (p *publishing) close() {
	p.bar.end()
	p.closeKey()
}

// printPublished prints where a published build is.
func printPublished(cmd *cobra.Command, r *vitrine.Record, address func(string) string) error {
	where := r.UUID
	if address != nil {
		where = address(r.UUID)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		out := map[string]string{"uuid": r.UUID}
		if address != nil {
			out["url"] = where
		}
		return newJSON(os.Stdout).Encode(out)
	}
	_, err := fmt.Println(where)
	return err
}

func spoolOf(cmd *cobra.Command) (string, error) {
	if spool, _ := cmd.Flags().GetString("spool"); spool != "" {
		return spool, nil
	}
	return publish.DefaultSpool()
}

// dropBuilds removes builds from the spool.
func dropBuilds(cmd *cobra.Command, uuids, args []string) error {
	if len(args) > 0 {
		return usagef("--drop removes builds from the spool: it takes no files")
	}
	spool, err := spoolOf(cmd)
	for _, uuid := range uuids {
		if err == nil {
			err = publish.Drop(spool, uuid)
		}
	}
	return err
}

// publishSpool sends every build that waits in the spool.
func publishSpool(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("--resume sends what is in the spool: it takes no files")
	}
	spool, err := spoolOf(cmd)
	if err != nil {
		return err
	}
	waiting, err := publish.Waiting(spool)
	if err != nil || len(waiting) == 0 {
		return err
	}
	signer, closeKey, err := openKey(cmd)
	if err != nil {
		return err
	}
	defer closeKey()
	failed := 0
	for _, uuid := range waiting {
		bar := newBar("publish", 0, 0)
		var address func(string) string
		record, err := publish.Resume(cmd.Context(), spool, uuid, func(r *vitrine.Record) (w storage.Writer, err error) {
			w, address, err = openStore(cmd, r.Tenant, signer)
			return w, err
		}, bar.totals)
		bar.end()
		switch {
		case errors.Is(err, errUsage):
			return err
		case cmd.Context().Err() != nil:
			return errors.Join(cmd.Context().Err(), err)
		case errors.Is(err, publish.ErrBusy): // it is being sent
			continue
		case err != nil:
			failed++
			fmt.Fprintf(os.Stderr, "vitrine: %v\n", err)
			continue
		}
		if err := printPublished(cmd, record, address); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d builds were not sent", failed, len(waiting))
	}
	return nil
}
