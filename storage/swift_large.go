package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// deleteLarge removes the segments that a manifest names, then the manifest: what
// breaks off in between is finished by the next call.
func (s *Swift) deleteLarge(ctx context.Context, key string) error {
	resp, err := s.do(ctx, swiftCall{
		method: http.MethodDelete, target: s.path(key), wait: s.work,
		query:  url.Values{"multipart-manifest": {"delete"}},
		header: map[string]string{"Accept": "application/json"},
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var report struct {
		Status string     `json:"Response Status"`
		Errors [][]string `json:"Errors"`
	}
	// The answer begins with 200, however it ends.
	if err := readJSON(resp.Body, &report); err != nil {
		return fmt.Errorf("the store's report: %w", err)
	}
	if !strings.HasPrefix(report.Status, "200") || len(report.Errors) > 0 {
		return fmt.Errorf("%w: removing the segments ended with %.40q, %d errors", ErrUnavailable, report.Status, len(report.Errors))
	}
	return nil
}

// Expire is [Expirer.Expire].
func (s *Swift) Expire(ctx context.Context, key string, at time.Time) error {
	err := cmp.Or(checkKey(key), ctx.Err())
	if err != nil {
		return err
	}
	if err := s.expire(ctx, key, at); err != nil {
		return fmt.Errorf("set when object %s expires: %w", key, err)
	}
	return nil
}

func (s *Swift) expire(ctx context.Context, key string, at time.Time) error {
	h, err := s.head(ctx, key, true)
	if err != nil {
		return err
	}
	if h.large {
		names, err := s.segmentsOf(ctx, key)
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(maxAtOnce)
		for _, name := range names {
			group.Go(func() error { return s.postExpiry(ctx, name, nil, at) })
		}
		if err := group.Wait(); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: a segment of it is not there", ErrIntegrity)
		} else if err != nil {
			return err
		}
	}
	return s.postExpiry(ctx, key, h.header, at)
}

// postExpiry sets the expiry of one name. A POST replaces all metadata: old are the
// headers that hold what is to be kept.
func (s *Swift) postExpiry(ctx context.Context, name string, old http.Header, at time.Time) error {
	header := expiry(at)
	if at.IsZero() {
		header["X-Remove-Delete-At"] = "1"
	}
	for field := range old {
		if strings.HasPrefix(field, "X-Object-Meta-") {
			header[field] = old.Get(field)
		}
	}
	resp, err := s.do(ctx, swiftCall{method: http.MethodPost, target: s.path(name), header: header})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// segmentsOf returns the names below the prefix that a manifest names.
func (s *Swift) segmentsOf(ctx context.Context, key string) ([]string, error) {
	resp, err := s.do(ctx, swiftCall{method: http.MethodGet, target: s.path(key), query: url.Values{"multipart-manifest": {"get"}}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var segments []struct{ Name string }
	if err := readJSON(resp.Body, &segments); err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	names := make([]string, len(segments))
	for i, segment := range segments {
		name, ok := strings.CutPrefix(segment.Name, s.path(""))
		if !ok || !strings.HasPrefix(name, segmentsPrefix+key+"/") {
			return nil, fmt.Errorf("%w: its manifest names what is not its own: %.300q", ErrIntegrity, segment.Name)
		}
		names[i] = name
	}
	return names, nil
}
