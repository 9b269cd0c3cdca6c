package index

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// Names are the names that builds of the history have, each list sorted.
type Names struct {
	Services, Jobs, Projects, Branches, Pipelines, Nodesets []string
}

// Names returns all names that any build has. A name whose only build got another
// record, with other names, stays until the index is made anew.
func (x *Index) Names(ctx context.Context) (Names, error) {
	var n Names
	err := x.view(ctx, func(*sql.Tx) error {
		names, all := x.catalog.snapshot()
		for _, f := range []struct {
			list  *[]string
			value func(series) int64
		}{
			{&n.Services, func(s series) int64 { return s.service }},
			{&n.Jobs, func(s series) int64 { return s.job }},
			{&n.Projects, func(s series) int64 { return s.project }},
			{&n.Branches, func(s series) int64 { return s.branch }},
			{&n.Pipelines, func(s series) int64 { return s.pipeline }},
			{&n.Nodesets, func(s series) int64 { return s.nodeset }},
		} {
			seen := make([]bool, len(names))
			for _, s := range all[1:] {
				if v := f.value(s); !seen[v] {
					seen[v] = true
					if names[v] != "" {
						*f.list = append(*f.list, names[v])
					}
				}
			}
			slices.Sort(*f.list)
		}
		return nil
	})
	if err != nil {
		return Names{}, fmt.Errorf("list names: %w", err)
	}
	return n, nil
}
