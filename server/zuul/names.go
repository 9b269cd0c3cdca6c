package zuul

import (
	"net/http"
	"slices"
)

// none is a list of what a history never has.
func none(w http.ResponseWriter, r *http.Request) error {
	return writeList(w, r, once([]struct{}{}))
}

// list answers with one element for each name.
func list[T any](w http.ResponseWriter, r *http.Request, names []string, element func(name string) T) error {
	return writeList(w, r, func(yield func(T, error) bool) {
		for _, n := range names {
			if !yield(element(n), nil) {
				return
			}
		}
	})
}

// The words below have what the history knows of a thing, and null or nothing for
// what only a configuration would tell.

type job struct {
	Name        string    `json:"name"`
	Description *string   `json:"description"`
	Tags        []string  `json:"tags"`
	Variants    []variant `json:"variants"`
}

type variant struct {
	Parent *string `json:"parent"`
}

type jobVariant struct {
	Name        string         `json:"name"`
	Description *string        `json:"description"`
	Parent      *string        `json:"parent"`
	Branches    []string       `json:"branches"`
	Tags        []string       `json:"tags"`
	Nodeset     *string        `json:"nodeset"`
	Timeout     *int           `json:"timeout"`
	Variables   map[string]any `json:"variables"`
	Voting      bool           `json:"voting"`
	Abstract    bool           `json:"abstract"`
	Final       bool           `json:"final"`
}

type project struct {
	Name          string `json:"name"`
	CanonicalName string `json:"canonical_name"`
	Connection    string `json:"connection_name"`
	Type          string `json:"type"`
}

type projectConfig struct {
	project
	Configs []struct{} `json:"configs"`
}

type pipeline struct {
	Name     string    `json:"name"`
	Triggers []trigger `json:"triggers"`
}

type trigger struct {
	Driver string `json:"driver"`
}

func (a *api) jobs(w http.ResponseWriter, r *http.Request) error {
	names, err := a.Index.Names(r.Context())
	if err != nil {
		return err
	}
	return list(w, r, names.Jobs, func(n string) job { return job{Name: n, Tags: []string{}, Variants: []variant{{}}} })
}

func (a *api) job(w http.ResponseWriter, r *http.Request) error {
	names, err := a.Index.Names(r.Context())
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if !slices.Contains(names.Jobs, name) {
		return refuse(http.StatusNotFound, "Job %.255s does not exist.", name)
	}
	return writeJSON(w, []jobVariant{{Name: name, Branches: []string{}, Tags: []string{}, Variables: map[string]any{}, Voting: true}})
}

func projectOf(name string) project {
	return project{Name: name, CanonicalName: name, Type: "project"}
}

func (a *api) projects(w http.ResponseWriter, r *http.Request) error {
	names, err := a.Index.Names(r.Context())
	if err != nil {
		return err
	}
	return list(w, r, names.Projects, projectOf)
}

func (a *api) project(w http.ResponseWriter, r *http.Request) error {
	names, err := a.Index.Names(r.Context())
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if !slices.Contains(names.Projects, name) {
		return refuse(http.StatusNotFound, "Project %.255s does not exist.", name)
	}
	return writeJSON(w, projectConfig{projectOf(name), []struct{}{}})
}

func (a *api) pipelines(w http.ResponseWriter, r *http.Request) error {
	names, err := a.Index.Names(r.Context())
	if err != nil {
		return err
	}
	return list(w, r, names.Pipelines, func(n string) pipeline { return pipeline{n, []trigger{}} })
}
