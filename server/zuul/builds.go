package zuul

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"slices"

	"vitrine"
	"vitrine/server/index"
	"vitrine/zuul"
)

// together is how many builds are completed at once: their artifacts are many.
const together = 50

// builds is GET …/builds.
func (a *api) builds(w http.ResponseWriter, r *http.Request) error {
	p := buildParams(r)
	if p.err != nil {
		return p.err
	}
	if p.nothing {
		return writeList(w, r, once([]zuul.Build{}))
	}
	done, err := a.alone(r.Context(), p.limit)
	if err != nil {
		return err
	}
	defer done()
	return writeList(w, r, func(yield func(zuul.Build, error) bool) {
		for b, err := range a.complete(r.Context(), a.pages(r.Context(), p.query, p.limit)) {
			var z zuul.Build
			if err == nil {
				z, err = a.topBuildOf(b, nil)
			}
			if !yield(z, err) || err != nil {
				return
			}
		}
	})
}

// pages are the builds that q asks for, page by page, limit of them in all.
func (a *api) pages(ctx context.Context, q index.Query, limit int) iter.Seq2[[]vitrine.Build, error] {
	return func(yield func([]vitrine.Build, error) bool) {
		for limit > 0 {
			q.Limit = min(limit, index.MaxLimit)
			page, err := a.Index.Builds(ctx, q)
			if !yield(page.Builds, err) || err != nil || page.Older == "" {
				return
			}
			limit -= len(page.Builds)
			q.Before, q.Skip = page.Older, 0
		}
	}
}

// complete gives the builds of pages their artifacts.
func (a *api) complete(ctx context.Context, pages iter.Seq2[[]vitrine.Build, error]) iter.Seq2[vitrine.Build, error] {
	return func(yield func(vitrine.Build, error) bool) {
		for page, err := range pages {
			if err != nil {
				yield(vitrine.Build{}, err)
				return
			}
			for few := range slices.Chunk(page, together) {
				list, err := a.Index.Records(ctx, few)
				if err != nil {
					yield(vitrine.Build{}, err)
					return
				}
				for _, b := range list {
					if !isWhole(b) { // the records before it were too big
						b, _, err = a.Index.Build(ctx, b.UUID)
						if errors.Is(err, fs.ErrNotExist) {
							continue
						}
					}
					if !yield(b, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// isWhole reports whether a build has all that its record has.
func isWhole(b vitrine.Build) bool {
	if b.Imported != nil {
		return b.Imported.Links != nil
	}
	return len(b.Artifacts) == b.Sealed+b.Public
}

// build is GET …/build/UUID.
func (a *api) build(w http.ResponseWriter, r *http.Request) error {
	b, _, err := a.Index.Build(r.Context(), r.PathValue("uuid"))
	if err != nil {
		return notFound(err, "Build not found")
	}
	sum, err := a.Index.BuildsetSum(r.Context(), b.Buildset)
	if err != nil {
		return notFound(err, "Build not found") // it went away meanwhile
	}
	z, err := a.topBuildOf(b, buildsetOf(sum).Refs)
	if err != nil {
		return err
	}
	return writeJSON(w, z)
}

// buildsets is GET …/buildsets.
func (a *api) buildsets(w http.ResponseWriter, r *http.Request) error {
	p := buildsetParams(r)
	if p.err != nil {
		return p.err
	}
	if p.nothing {
		return writeList(w, r, once([]zuul.Buildset{}))
	}
	done, err := a.alone(r.Context(), p.limit)
	if err != nil {
		return err
	}
	defer done()
	return writeList(w, r, func(yield func(zuul.Buildset, error) bool) {
		for s, err := range inPages(p, func(q index.Query) ([]index.Buildset, error) { return a.Index.Buildsets(r.Context(), q) }) {
			if !yield(buildsetOf(s), err) || err != nil {
				return
			}
		}
	})
}

// inPages is what a query without cursors asks for, page by page.
func inPages[T any](p *params, ask func(index.Query) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := p.query
		for left := p.limit; left > 0 && q.Skip <= index.MaxSkip; {
			q.Limit = min(left, index.MaxLimit)
			list, err := ask(q)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range list {
				if !yield(v, nil) {
					return
				}
			}
			if len(list) < q.Limit {
				return
			}
			left -= len(list)
			q.Skip += len(list)
		}
	}
}

// buildset is GET …/buildset/UUID.
func (a *api) buildset(w http.ResponseWriter, r *http.Request) error {
	uuid := r.PathValue("uuid")
	sum, err := a.Index.BuildsetSum(r.Context(), uuid)
	if err != nil {
		return notFound(err, "Buildset not found")
	}
	builds, err := a.Index.Buildset(r.Context(), uuid)
	if err != nil {
		return err
	}
	z := buildsetOf(sum)
	for b, err := range a.complete(r.Context(), func(yield func([]vitrine.Build, error) bool) { yield(builds, nil) }) {
		if err != nil {
			return err
		}
		nested, err := a.buildOf(b)
		if err != nil {
			return err
		}
		z.Builds = append(z.Builds, nested)
	}
	return writeJSON(w, z)
}

// A buildTime is how long a build took.
type buildTime struct {
	ID        int64      `json:"_id"`
	UUID      string     `json:"uuid"`
	JobName   string     `json:"job_name"`
	Result    *string    `json:"result"`
	StartTime *zuul.Time `json:"start_time"`
	EndTime   *zuul.Time `json:"end_time"`
	Duration  float64    `json:"duration"` // seconds
	Final     bool       `json:"final"`
	Project   string     `json:"project"`
	Branch    *string    `json:"branch"`
	Pipeline  string     `json:"pipeline"`
	Ref       string     `json:"ref"`
}

// buildTimes is GET …/build-times.
func (a *api) buildTimes(w http.ResponseWriter, r *http.Request) error {
	p, since, until := timesParams(r)
	if p.err != nil {
		return p.err
	}
	if p.nothing {
		return writeList(w, r, once([]buildTime{}))
	}
	done, err := a.alone(r.Context(), p.limit)
	if err != nil {
		return err
	}
	defer done()
	return writeList(w, r, func(yield func(buildTime, error) bool) {
		for b, err := range inPages(p, func(q index.Query) ([]vitrine.Build, error) { return a.Index.BuildTimes(r.Context(), q, since, until) }) {
			t := buildTime{
				ID: b.ID, UUID: b.UUID, JobName: b.JobName, Result: text(string(b.Result)), StartTime: moment(b.StartTime), EndTime: moment(b.EndTime),
				Duration: b.Duration().Seconds(), Final: b.Final(), Project: b.Ref.Project, Branch: text(b.Ref.Branch), Pipeline: b.Pipeline, Ref: b.Ref.Ref,
			}
			if err != nil {
				err = fmt.Errorf("build times: %w", err)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	})
}
