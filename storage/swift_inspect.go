package storage

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"vitrine"
)

// exposed are the headers that a page of another origin needs to read a range.
var exposed = []string{"Content-Range", "Accept-Ranges", "ETag", "Content-Length"}

// swiftInfo is what /info tells, as far as it is of use here.
type swiftInfo struct {
	SLO *struct {
		MaxSegments    int   `json:"max_manifest_segments"`
		MinSegmentSize int64 `json:"min_segment_size"`
	} `json:"slo"`
	TempURL *struct {
		Methods []string `json:"methods"`
		Digests []string `json:"allowed_digests"`
	} `json:"tempurl"`
}

// Inspect is [Inspector.Inspect].
func (s *Swift) Inspect(ctx context.Context) []Finding {
	resp, err := s.do(ctx, swiftCall{method: http.MethodHead, target: s.containerPath()})
	if err != nil {
		return []Finding{{What: "container", Detail: err.Error()}}
	}
	resp.Body.Close()
	info, infoErr := s.info(ctx)
	return append([]Finding{
		s.inspectSigning(ctx, info),
		s.inspectCORS(resp.Header),
		inspectLarge(info, infoErr),
	}, s.inspectContainer(resp.Header)...)
}

// info asks what the cluster can do. Some hide it.
func (s *Swift) info(ctx context.Context) (swiftInfo, error) {
	storage, _, err := s.session.enter(ctx, "")
	if err != nil {
		return swiftInfo{}, err
	}
	// The account is /v1/NAME; what the cluster can do lies beside /v1.
	ctx, watch := newWatch(ctx, s.idle)
	defer watch.end()
	u := *storage
	u.Path, u.RawPath = path.Join(path.Dir(path.Dir(u.Path)), "info"), ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return swiftInfo{}, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return swiftInfo{}, watch.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return swiftInfo{}, &swiftError{resp.StatusCode, resp.Header}
	}
	var info swiftInfo
	return info, readJSON(resp.Body, &info)
}

func (s *Swift) inspectSigning(ctx context.Context, info swiftInfo) Finding {
	f := Finding{What: "signed requests"}
	key, err := s.tempURLKey(ctx)
	switch {
	case err != nil:
		f.Detail = err.Error()
	case key == "":
		f.Detail = "no TempURL key is set: uploads and downloads can't go straight to the store"
		f.Fix = s.tempURLFix()
	case info.TempURL != nil && (!slices.Contains(info.TempURL.Methods, "PUT") || !slices.Contains(info.TempURL.Methods, "GET")):
		f.Detail = fmt.Sprintf("the cluster takes TempURLs for %s alone; want GET and PUT", strings.Join(info.TempURL.Methods, ", "))
	case info.TempURL != nil && len(info.TempURL.Digests) > 0 && !slices.Contains(info.TempURL.Digests, "sha256"):
		f.Detail = fmt.Sprintf("the cluster takes TempURLs signed with %s; want sha256", strings.Join(info.TempURL.Digests, ", "))
	default:
		f.Good, f.Detail = true, "a TempURL key is set"
	}
	return f
}

func (s *Swift) inspectCORS(h http.Header) Finding {
	origins := h.Get("X-Container-Meta-Access-Control-Allow-Origin")
	shown := strings.FieldsFunc(h.Get("X-Container-Meta-Access-Control-Expose-Headers"), func(r rune) bool { return r == ' ' || r == ',' })
	var missing []string
	for _, name := range exposed {
		if !slices.ContainsFunc(shown, func(s string) bool { return strings.EqualFold(s, name) }) {
			missing = append(missing, name)
		}
	}
	f := Finding{What: "CORS", Fix: fmt.Sprintf("swift post %s -m 'Access-Control-Allow-Origin: https://YOUR-SERVER' -m 'Access-Control-Expose-Headers: %s'", s.container, strings.Join(exposed, " "))}
	switch {
	case origins == "":
		f.Detail = "no page of another origin may read from the container"
	case len(missing) > 0:
		f.Detail = fmt.Sprintf("pages of %s may read, but do not see %s", origins, strings.Join(missing, ", "))
	default:
		f.Good, f.Fix, f.Detail = true, "", "pages of "+origins+" may read ranges"
	}
	return f
}

func inspectLarge(info swiftInfo, err error) Finding {
	f := Finding{What: "large objects"}
	switch {
	case err != nil:
		f.Good, f.Detail = true, "the cluster does not tell what it can do (/info); what is above 8 MiB needs static large objects"
	case info.SLO == nil:
		f.Detail = "the cluster has no static large objects: nothing above 8 MiB can be stored"
	case info.SLO.MaxSegments < vitrine.MaxParts:
		f.Detail = fmt.Sprintf("a large object may have %d segments; what has more than that (up to %d) can't be stored", info.SLO.MaxSegments, vitrine.MaxParts)
	case info.SLO.MinSegmentSize > vitrine.MinPartSize:
		f.Detail = fmt.Sprintf("a segment must have %d bytes, and ours have %d", info.SLO.MinSegmentSize, vitrine.MinPartSize)
	default:
		f.Good, f.Detail = true, fmt.Sprintf("up to %d segments an object", info.SLO.MaxSegments)
	}
	return f
}

// inspectContainer tells what is neither good nor bad.
func (s *Swift) inspectContainer(h http.Header) []Finding {
	expiry := Finding{What: "expiry", Good: true, Detail: "objects are stored with X-Delete-At; the cluster refuses them from then on, and removes them when its expirer runs"}
	access := Finding{What: "public reading", Good: true, Detail: "only who has credentials, or a signed URL, may read"}
	if strings.Contains(h.Get("X-Container-Read"), ".r:*") {
		access.Detail = "everybody may read every object by its name, for ever"
	} else if s.public != "" {
		access.Good, access.Detail = false, "public_url is given, and not everybody may read the container"
		access.Fix = "swift post " + s.container + " --read-acl '.r:*'"
	}
	versions := Finding{What: "versioning", Good: true, Detail: "off; vitrine never overwrites, so nothing is lost by that"}
	for _, name := range []string{"X-Versions-Enabled", "X-Versions-Location", "X-History-Location"} {
		if v := h.Get(name); v != "" && !strings.EqualFold(v, "false") {
			versions.Detail = "on: what is deleted, or has expired, may be kept as an old version, and be paid for"
		}
	}
	return []Finding{expiry, access, versions}
}
