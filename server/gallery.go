package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"vitrine"
	"vitrine/web"
)

// besideTries is how many builds are looked into for one with images.
const besideTries = 10

// gallery is a build's public images beside those of another build of its job:
// the one that is asked for, or the last one before it that has images.
func (s *Server) gallery(c echo.Context) error {
	ctx := c.Request().Context()
	b, _, err := s.Index.Build(ctx, param(c, "uuid"))
	if err != nil {
		return err
	}
	around, err := s.Index.Neighbours(ctx, b, web.HistoryLength)
	if err != nil {
		return err
	}
	p := web.GalleryPage{Build: b}
	older := false
	var before []vitrine.Build
	for _, n := range around {
		if n.UUID == b.UUID {
			older = true
		} else if n.Public > 0 && n.Expired.IsZero() {
			p.Others = append(p.Others, n)
			if older {
				before = append(before, n)
			}
		}
	}
	if p.Beside, err = s.besideOf(ctx, b, c.QueryParam("beside"), before); err != nil {
		return err
	}
	p.Previews = s.peek(ctx, b, firstImages(b))
	if p.Beside != nil {
		p.BesidePreviews = s.peek(ctx, *p.Beside, firstImages(*p.Beside))
		if !slices.ContainsFunc(p.Others, func(o vitrine.Build) bool { return o.UUID == p.Beside.UUID }) {
			p.Others = append(p.Others, *p.Beside)
		}
	}
	return s.page(c, http.StatusOK, p)
}

func firstImages(b vitrine.Build) []vitrine.Artifact {
	list := web.Images(b)
	return list[:min(len(list), web.MaxGallery)]
}

// besideOf is the build with a uuid, if it is of b's job, or the first of several
// that has images; nil, if none has.
func (s *Server) besideOf(ctx context.Context, b vitrine.Build, uuid string, several []vitrine.Build) (*vitrine.Build, error) {
	if uuid != "" {
		other, _, err := s.Index.Build(ctx, uuid)
		if errors.Is(err, fs.ErrNotExist) || err == nil && other.JobName != b.JobName {
			return nil, refuse(http.StatusNotFound, "there is no build %q of this job to show it beside", uuid)
		} else if err != nil {
			return nil, err
		}
		return &other, nil
	}
	for _, n := range several[:min(len(several), besideTries)] {
		other, _, err := s.Index.Build(ctx, n.UUID)
		if err != nil {
			return nil, err
		}
		if len(web.Images(other)) > 0 {
			return &other, nil
		}
	}
	return nil, nil
}
