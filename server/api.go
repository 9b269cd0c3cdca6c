package server

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/web"
)

// The JSON answers of the API about builds. What a page shows is here too.

// apiBuilds is GET …/builds: a page of the list, narrowed as the page is.
func (s *Server) apiBuilds(c echo.Context) error {
	q, err := parseQuery(c.QueryParams())
	if err != nil {
		return err
	}
	list, err := s.Index.Builds(c.Request().Context(), q)
	if err != nil {
		return err
	}
	return answerJSON(c, vitrine.BuildPage{Builds: withLists(list.Builds...), Older: list.Older, Newer: list.Newer})
}

// apiBuild is GET …/builds/UUID: one build with readers and artifacts.
func (s *Server) apiBuild(c echo.Context) error {
	ctx := c.Request().Context()
	b, entry, err := s.Index.Build(ctx, param(c, "uuid"))
	if err != nil {
		return err
	}
	around, err := s.Index.Neighbours(ctx, b, 3)
	if err != nil {
		return err
	}
	d := vitrine.BuildDetail{Build: withLists(s.located(ctx, b))[0], People: []vitrine.Person{}, Recap: b.Recap()}
	at := slices.IndexFunc(around, func(n vitrine.Build) bool { return n.UUID == b.UUID })
	if at > 0 {
		d.Next = around[at-1].UUID
	}
	if at >= 0 && at+1 < len(around) {
		d.Previous = around[at+1].UUID
	}
	if k, err := s.Keyring.At(ctx, b.Keyring.Commit); err == nil {
		if service := k.Services[b.Service]; service != nil {
			d.People = apiPeople(describeService(k, service, b.StartTime).Readers)
		}
	}
	signature := s.signatureOf(c, b, entry)
	d.Signature = vitrine.SignatureCheck{State: signatureStates[signature.State], Reason: signature.Reason}
	return answerJSON(c, d)
}

var signatureStates = map[web.SignatureState]string{
	web.Verified: "verified", web.NotVerified: "failed", web.Unsigned: "unsigned",
}

// apiBuildset is GET …/buildsets/UUID: the builds of one event, oldest first.
func (s *Server) apiBuildset(c echo.Context) error {
	builds, err := s.Index.Buildset(c.Request().Context(), param(c, "uuid"))
	if err != nil {
		return err
	}
	if len(builds) == 0 {
		return refuse(http.StatusNotFound, "there is no buildset %q in the history", param(c, "uuid"))
	}
	return answerJSON(c, vitrine.BuildPage{Builds: withLists(builds...)})
}

// withLists gives every list of the builds a JSON form that is a list: programs
// go through them without asking.
func withLists(builds ...vitrine.Build) []vitrine.Build {
	out := make([]vitrine.Build, len(builds))
	for i, b := range builds {
		b.Readers, b.SkippedReaders, b.Artifacts = listOf(b.Readers), listOf(b.SkippedReaders), listOf(b.Artifacts)
		if b.Imported != nil {
			imported := *b.Imported // which the index may share
			imported.Links = listOf(imported.Links)
			b.Imported = &imported
		}
		out[i] = b
	}
	return out
}

// listOf makes nil an empty list, which is [] in JSON and not null.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
