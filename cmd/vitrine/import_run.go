package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine"
	"vitrine/server/index"
	"vitrine/storage"
	"vitrine/zuul"
)

const (
	importsAtOnce = 16
	// An import that is made again ends after this many known builds in a row, and
	// when it has come so far back: a build that ran when the last one was made
	// stands where it began.
	knownInARow = 1000
	knownTime   = 7 * 24 * time.Hour

	askAtOnce    = 100  // uuids in one query of the index
	maxNamed     = 1000 // builds that a report names
	maxResults   = 100  // unknown results that it names
	otherResults = "others"
)

// How an import ended.
const (
	endReached = "end"   // of the source's history
	endSince   = "since" // what is older was not wanted, or can't be had
	endKnown   = "known" // what is older is known
)

type importOptions struct {
	tenant   string
	jobs     []string
	since    time.Time
	full     bool
	dryRun   bool
	service  func(job string) string // nil: nobody knows
	progress func(builds int, at time.Time)
	passed   func(what string, err error)
}

// An importReport says what an import did.
type importReport struct {
	Source         string         `json:"source"`
	DryRun         bool           `json:"dry_run"`
	Ended          string         `json:"ended,omitempty"` // empty: it broke off
	Imported       int            `json:"imported"`
	Known          int            `json:"known"`
	PassedOver     map[string]int `json:"passed_over"`     // builds, by why
	Builds         []passedBuild  `json:"builds"`          // of them, the first 1,000
	UnknownResults map[string]int `json:"unknown_results"` // builds that are shown as ERROR
	LinksLeftOut   int            `json:"links_left_out"`
	Oldest         time.Time      `json:"oldest,omitzero"` // start of a build that was imported
}

type passedBuild struct {
	Build string `json:"build"`
	Why   string `json:"why"`
}

// An importing is an import under way.
type importing struct {
	importOptions
	translation
	bucket storage.Bucket
	index  *index.Index

	report      importReport
	read        int
	row         int       // known builds that came one after the other
	newestKnown time.Time // start of the newest build that was known

	mu sync.Mutex // held to note what was written
}

// importBuilds reads another CI's builds into a bucket and its index. What it
// wrote before an error stays, each build whole.
func importBuilds(ctx context.Context, from *zuul.Client, bucket storage.Bucket, x *index.Index, o importOptions) (importReport, error) {
	if o.service == nil {
		o.service = func(string) string { return "" }
	}
	i := &importing{
		importOptions: o, bucket: bucket, index: x,
		translation: translation{tenant: o.tenant, source: from.URL(), service: o.service, now: time.Now()},
		report: importReport{Source: from.URL(), DryRun: o.dryRun, PassedOver: make(map[string]int),
			Builds: []passedBuild{}, UnknownResults: make(map[string]int)},
	}
	err := i.run(ctx, from)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		err = fmt.Errorf("import: %w", err)
	}
	return i.report, err
}

func (i *importing) run(ctx context.Context, from *zuul.Client) error {
	if i.index.Rebuilt() {
		// What is in the bucket already is not to be imported again.
		if _, err := i.index.Sync(ctx, i.bucket, time.Time{}); err != nil {
			return err
		}
	}
	for page, err := range from.Builds(ctx, i.jobs) {
		if err != nil {
			return err
		}
		ended, err := i.page(ctx, page)
		if err != nil || ended != "" {
			i.report.Ended = ended
			return err
		}
	}
	i.report.Ended = endReached
	return nil
}

// page imports what is new of one page. It says how the import ends, if it does.
func (i *importing) page(ctx context.Context, page zuul.Page) (ended string, err error) {
	for _, err := range page.Broken {
		i.passOver("", fmt.Errorf("%w: %w", notBuild, err))
	}
	var list []translated
	early := 0
	for n := range page.Builds {
		b := &page.Builds[n]
		t, err := i.record(b)
		if err == nil && t.record.StartTime.Before(i.since) {
			err = beforeSince
		}
		if err != nil {
			if errors.Is(err, beforeSince) || errors.Is(err, tooEarly) {
				early++
			}
			i.passOver(b.UUID, err)
			continue
		}
		list = append(list, t)
	}
	known, err := i.knownOf(ctx, list)
	if err != nil {
		return "", err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(importsAtOnce)
	var written []translated
	for _, t := range list {
		i.read++
		if known[t.record.UUID] {
			i.report.Known++
			if i.row++; i.newestKnown.Before(t.record.StartTime) {
				i.newestKnown = t.record.StartTime
			}
			if i.row >= knownInARow && t.record.StartTime.Before(i.newestKnown.Add(-knownTime)) && !i.full {
				ended = endKnown
			}
			continue
		}
		i.row, ended = 0, ""
		if i.dryRun {
			written = append(written, t)
			continue
		}
		group.Go(func() error {
			err := i.write(groupCtx, &t)
			if err == nil {
				i.mu.Lock()
				written = append(written, t)
				i.mu.Unlock()
			}
			return err
		})
	}
	err = group.Wait()
	// What was written before a failure is still good.
	if err := errors.Join(err, i.add(context.WithoutCancel(ctx), written)); err != nil {
		return "", err
	}
	if len(list) > 0 {
		i.progress(i.read, list[len(list)-1].record.StartTime)
	}
	if early > 0 && len(list) == 0 { // those of a page are of about one time
		ended = endSince
	}
	return ended, nil
}

// knownOf are the uuids of the builds in a list that the history has.
func (i *importing) knownOf(ctx context.Context, list []translated) (map[string]bool, error) {
	known := make(map[string]bool)
	for part := range slices.Chunk(list, askAtOnce) {
		q := index.Query{Limit: askAtOnce}
		for _, t := range part {
			q.UUID = append(q.UUID, t.record.UUID)
		}
		page, err := i.index.Builds(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, b := range page.Builds {
			known[b.UUID] = true
		}
	}
	return known, nil
}

// write puts one build into the bucket.
func (i *importing) write(ctx context.Context, t *translated) error {
	key := t.record.Key()
	opts := storage.CreateOptions{Size: int64(len(t.text)), SHA256: sha256.Sum256(t.text), MediaType: "application/json"}
	err := i.bucket.Create(ctx, key, bytes.NewReader(t.text), opts)
	if errors.Is(err, fs.ErrExist) { // an import before broke off here, and the source says something else now
		if t.text, err = readStored(ctx, i.bucket, key); err == nil {
			if _, err := vitrine.ParseRecord(t.text); err != nil {
				return fmt.Errorf("%s: %w: remove it, if nobody can mend it", key, err)
			}
		}
	}
	return err
}

// add puts builds that are in the bucket into the index, and counts them.
func (i *importing) add(ctx context.Context, list []translated) error {
	var entries []index.Entry
	for _, t := range list {
		entries = append(entries, index.Entry{Record: t.text})
	}
	if !i.dryRun && len(entries) > 0 {
		if _, err := i.index.AddAll(ctx, entries); err != nil {
			return err
		}
	}
	for _, t := range list {
		i.report.Imported++
		i.report.LinksLeftOut += t.links
		if start := t.record.StartTime; i.report.Oldest.IsZero() || start.Before(i.report.Oldest) {
			i.report.Oldest = start
		}
		if t.result == "" {
			continue
		}
		if _, there := i.report.UnknownResults[t.result]; !there && len(i.report.UnknownResults) >= maxResults {
			t.result = otherResults
		}
		i.report.UnknownResults[t.result]++
	}
	return nil
}

func readStored(ctx context.Context, from storage.Reader, key string) ([]byte, error) {
	r, err := from.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, vitrine.MaxRecordSize))
}

// passOver notes a build that is not imported.
func (i *importing) passOver(build string, err error) {
	i.read++
	why := err
	for _, p := range []passedOver{notBuild, tooLarge} { // whose details differ
		if errors.Is(err, p) {
			why = p
		}
	}
	i.report.PassedOver[why.Error()]++
	build, said := oneLine(build, 40), oneLine(err.Error(), vitrine.MaxString)
	if build == "" {
		build = "(no uuid)"
	}
	if len(i.report.Builds) < maxNamed {
		i.report.Builds = append(i.report.Builds, passedBuild{build, said})
	}
	i.passed(build, errors.New(said))
}
