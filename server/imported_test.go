package server_test

import (
	"testing"
	"time"

	"vitrine"
)

// A real build takes the place of the imported one of its uuid, on whatever day
// that began by another CI's clock; until then nothing passes for signed.
func TestPublishOverImported(t *testing.T) {
	for name, earlier := range map[string]time.Duration{"same second": 0, "another day": 48 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			r := s.started(nil)
			var source string
			s.imported(func(i *vitrine.Record) {
				i.UUID, i.StartTime = r.UUID, r.StartTime.Add(-earlier)
				i.EndTime, source = i.StartTime, i.Imported.Source
			})
			s.want(200, `"state":"unsigned"`, "GET", api+"/"+r.UUID, nil, nil)
			s.want(200, source, "GET", api+"/"+r.UUID+"/imported.json", nil, nil)
			token := s.begin(r)
			s.want(200, `"state":"running"`, "GET", api+"/"+r.UUID, nil, nil)
			s.want(201, "", "PUT", api+"/"+r.UUID+"/artifacts/x.log.zst.age", with(token, "Content-Digest", digestOf(sealedBody)), sealedBody)
			f := finished(r, artifact("x.log.zst.age", sealedBody, true))
			s.want(201, "", "PUT", api+"/"+r.UUID, token, signed(t, f, s.bridge))
			s.refresh()
			s.want(200, `"state":"verified"`, "GET", api+"/"+r.UUID, nil, nil)
			s.want(200, string(f.Result), "GET", api+"/"+r.UUID+"/build.json", nil, nil)
		})
	}
}

// Nobody publishes what only whoever runs the history may write, however well it
// is signed.
func TestImportedIsNotPublished(t *testing.T) {
	s := newSite(t)
	r := s.started(nil)
	foreign := &vitrine.Record{
		Version: 1, Tenant: r.Tenant, Service: r.Service, UUID: r.UUID, Buildset: r.Buildset, JobName: r.JobName, Result: vitrine.Success,
		StartTime: r.StartTime, EndTime: r.StartTime, Imported: &vitrine.Imported{Source: "https://zuul.example.org/api/tenant/x"},
	}
	s.want(422, "no result", "POST", api, nil, request(t, foreign, s.bridge))
	token := s.begin(r)
	s.want(422, "not the final record", "PUT", api+"/"+r.UUID, token, signed(t, foreign, s.bridge))
	s.want(200, `"state":"running"`, "GET", api+"/"+r.UUID, nil, nil)
}
