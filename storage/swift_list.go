package storage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxSwiftJSON   = 16 << 20 // bytes of a page of a listing: twice 10,000 of our longest names
	maxSwiftPrefix = 512      // bytes; no key is as long
)

// listing yields what lies below the prefix and begins with name, in the order of
// the names' bytes. The key of each is its name below the prefix.
func (s *Swift) listing(ctx context.Context, name string, query url.Values) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Object{}, err)
			return
		}
		if len(name) > maxSwiftPrefix || !printable(name) {
			return // the store refuses some of those
		}
		query := maps.Clone(query)
		if query == nil {
			query = make(url.Values)
		}
		query.Set("format", "json")
		query.Set("prefix", s.prefix+name)
		for { // without a limit of ours: one above the store's own is refused
			items, err := s.page(ctx, query)
			if err != nil {
				yield(Object{}, err)
				return
			}
			if len(items) == 0 {
				return
			}
			for _, item := range items {
				whole := item.Name + item.Subdir
				below, ok := strings.CutPrefix(whole, s.prefix+name)
				if !ok || whole <= query.Get("marker") {
					yield(Object{}, errors.New("the store's listing is not in order, or not below the prefix"))
					return
				}
				query.Set("marker", whole)
				if item.Subdir != "" {
					continue
				}
				o, err := item.object(name + below)
				err = cmp.Or(err, ctx.Err())
				if !yield(o, err) || err != nil {
					return
				}
			}
		}
	}
}

// A swiftItem is one line of a listing. Bytes of a manifest are those of the whole
// object.
type swiftItem struct {
	Name         string `json:"name"`
	Subdir       string `json:"subdir"`
	Bytes        int64  `json:"bytes"`
	LastModified string `json:"last_modified"`
}

func (i swiftItem) object(key string) (Object, error) {
	t, err := time.Parse("2006-01-02T15:04:05.999999", i.LastModified)
	if err != nil || i.Bytes < 0 {
		return Object{}, fmt.Errorf("the store lists %.300q with %d bytes and the time %.40q", i.Name, i.Bytes, i.LastModified)
	}
	return Object{Key: key, Size: i.Bytes, ModTime: t}, nil
}

// page reads one page of the container's listing.
func (s *Swift) page(ctx context.Context, query url.Values) ([]swiftItem, error) {
	resp, err := s.do(ctx, swiftCall{method: http.MethodGet, target: s.containerPath(), query: query})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	var items []swiftItem
	if err := readJSON(resp.Body, &items); err != nil {
		return nil, fmt.Errorf("the store's listing: %w", err)
	}
	return items, nil
}

// readJSON reads an answer of the store whole.
func readJSON(body io.Reader, v any) error {
	b, err := io.ReadAll(io.LimitReader(body, maxSwiftJSON+1))
	switch {
	case err != nil:
		return err
	case len(b) > maxSwiftJSON:
		return fmt.Errorf("more than %d bytes", maxSwiftJSON)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return errors.New("not the JSON that it should be")
	}
	return nil
}

// parseTimestamp tells when an object was stored: to the microsecond, as listings
// do, where the store says so.
func parseTimestamp(h http.Header) (time.Time, error) {
	stamp, _, _ := strings.Cut(h.Get("X-Timestamp"), "_")
	if f, err := strconv.ParseFloat(stamp, 64); err == nil && f > 0 && f < 1e11 {
		return time.UnixMicro(int64(math.Round(f * 1e6))).UTC(), nil
	}
	t, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return time.Time{}, errors.New("the store does not tell when the object was stored")
	}
	return t.UTC(), nil
}
