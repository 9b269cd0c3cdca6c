package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"vitrine"
)

// Builds returns a page of the list. The query's names are those of the list's
// page: the filters service, job_name, project, …, the cursors before and after,
// and limit.
func (c *Client) Builds(ctx context.Context, query url.Values) (vitrine.BuildPage, error) {
	var page vitrine.BuildPage
	err := c.getJSON(ctx, c.url("builds")+"?"+query.Encode(), &page)
	if err == nil {
		err = checkUUIDs(page.Builds)
	}
	if err != nil {
		return vitrine.BuildPage{}, err
	}
	return page, nil
}

// AllBuilds goes through the list from the newest build on, page by page, until
// its end or the first error. The query is that of [Client.Builds], its limit
// the number of builds on a page.
func (c *Client) AllBuilds(ctx context.Context, query url.Values) iter.Seq2[vitrine.Build, error] {
	return func(yield func(vitrine.Build, error) bool) {
		query := maps.Clone(query)
		if query == nil {
			query = make(url.Values)
		}
		for {
			page, err := c.Builds(ctx, query)
			if err != nil {
				yield(vitrine.Build{}, err)
				return
			}
			for _, b := range page.Builds {
				if !yield(b, nil) {
					return
				}
			}
			if page.Older == "" || len(page.Builds) == 0 {
				return
			}
			query.Set("before", page.Older)
		}
	}
}

// Build returns one build with its artifacts and readers, as the server has
// them: unverified.
func (c *Client) Build(ctx context.Context, uuid string) (vitrine.BuildDetail, error) {
	var b vitrine.BuildDetail
	if err := c.getJSON(ctx, c.url("builds", uuid), &b); err != nil {
		return vitrine.BuildDetail{}, err
	}
	if b.UUID != uuid {
		return vitrine.BuildDetail{}, fmt.Errorf("the server's answer to build %s is build %q", uuid, b.UUID)
	}
	return b, nil
}

// OpenRecord opens the signed record of a build that has ended, as it is stored;
// where it lies, which the build's start tells, need not be known.
func (c *Client) OpenRecord(ctx context.Context, uuid string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, address: c.url("builds", uuid, "build.json")})
	if err != nil {
		return nil, fmt.Errorf("open the record of build %s: %w", uuid, err)
	}
	return resp.Body, nil
}

// Buildset returns the builds of one event, oldest first.
func (c *Client) Buildset(ctx context.Context, uuid string) ([]vitrine.Build, error) {
	var page vitrine.BuildPage
	err := c.getJSON(ctx, c.url("buildsets", uuid), &page)
	if err == nil {
		err = checkUUIDs(page.Builds)
	}
	if err != nil {
		return nil, err
	}
	return page.Builds, nil
}

// Overview tells of the tenant in numbers.
func (c *Client) Overview(ctx context.Context) (vitrine.Overview, error) {
	return get[vitrine.Overview](ctx, c, c.url())
}

// Services returns the keyring's services, by name, with their last builds in short.
func (c *Client) Services(ctx context.Context) ([]vitrine.ServiceSummary, error) {
	list, err := get[vitrine.ServiceList](ctx, c, c.url("services"))
	return list.Services, err
}

// Service returns one service with its readers, its jobs and its last days.
func (c *Client) Service(ctx context.Context, name string) (vitrine.ServiceDetail, error) {
	return get[vitrine.ServiceDetail](ctx, c, c.url("services", name))
}

// Jobs returns a page of the jobs that have builds, by name: those after a name,
// which is empty for the first page, and at most limit.
func (c *Client) Jobs(ctx context.Context, after string, limit int) (vitrine.JobList, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		query.Set("after", after)
	}
	return get[vitrine.JobList](ctx, c, c.url("jobs")+"?"+query.Encode())
}

// Job returns one job with its last builds and days.
func (c *Client) Job(ctx context.Context, name string) (vitrine.JobDetail, error) {
	return get[vitrine.JobDetail](ctx, c, c.url("jobs", name))
}

// Keyring returns who can read what, as the server's keyring says now.
func (c *Client) Keyring(ctx context.Context) (vitrine.KeyringView, error) {
	return get[vitrine.KeyringView](ctx, c, c.url("keyring"))
}

// Names returns the names that builds can be filtered by.
func (c *Client) Names(ctx context.Context) (vitrine.Names, error) {
	return get[vitrine.Names](ctx, c, c.url("names"))
}

// get asks for a JSON reply, and returns nothing of one that is wrong.
func get[T any](ctx context.Context, c *Client, address string) (T, error) {
	var reply, none T
	if err := c.getJSON(ctx, address, &reply); err != nil {
		return none, err
	}
	return reply, nil
}

// checkUUIDs checks what is made part of addresses, and cut to be printed.
func checkUUIDs(builds []vitrine.Build) error {
	for _, b := range builds {
		if !vitrine.ValidUUID(b.UUID) {
			return fmt.Errorf("the server's answer has a build with uuid %q: want 32 lower-case hex digits", b.UUID)
		}
	}
	return nil
}
