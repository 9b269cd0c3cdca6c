package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine"
)

const (
	partLife     = 8 * 24 * time.Hour // after which the store removes a part of what was never completed
	partInMemory = 16 << 20           // bytes of a part that is kept to be sent again
)

func uploadName(key string, number int) string {
	return uploadsPrefix + key + "/" + partName(number)
}

// partHeader is sent with a part, by us or by who holds a signed request.
func partHeader(part vitrine.Part) map[string]string {
	return map[string]string{
		"ETag":           part.MD5,
		metaSHA256:       part.SHA256,
		"X-Delete-After": strconv.Itoa(int(partLife / time.Second)),
	}
}

// PutPart is [Writer.PutPart].
func (s *Swift) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	opts, err := partOptions(key, part)
	if err != nil {
		return err
	}
	call := swiftCall{header: partHeader(part)}
	if part.Size <= partInMemory {
		b, full := partBuffers.get(ctx, part.Size)
		if full != nil {
			return full
		}
		defer partBuffers.put(b)
		call.body, err = b, readWhole(newBodyReader(ctx, body, opts), b)
	} else {
		call.size, call.stream = part.Size, rereads(ctx, body, opts)
	}
	if err == nil {
		err = s.put(ctx, uploadName(key, part.Number), part, call)
	}
	if err != nil {
		return fmt.Errorf("part %d of object %s: %w", part.Number, key, err)
	}
	return nil
}

// rereads gives out a body as often as it can be read.
func rereads(ctx context.Context, body io.Reader, opts CreateOptions) func() (io.Reader, error) {
	again := false
	return func() (io.Reader, error) {
		if seeker, ok := body.(io.Seeker); again && !ok {
			return nil, errNotAgain
		} else if again {
			if _, err := seeker.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
		}
		again = true
		return newBodyReader(ctx, body, opts), nil
	}
}

// Complete is [Writer.Complete]. The parts are copied, inside the store, to names
// for which no request was ever signed: a signed request that still holds can
// change nothing of the object.
func (s *Swift) Complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	if err := checkComplete(ctx, key, parts, opts); err != nil {
		return err
	}
	if err := completeAgain(func() error { return s.complete(ctx, key, parts, opts) }); err != nil {
		return fmt.Errorf("complete object %s: %w", key, err)
	}
	return s.Abort(ctx, key)
}

func (s *Swift) complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	err := s.same(ctx, placing{key: key, opts: opts, etag: manifestETag(parts), parts: parts})
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := eachPart(ctx, parts, func(ctx context.Context, part vitrine.Part) error {
		return s.checkPart(ctx, key, part)
	}); err != nil {
		return err
	}
	folder := newFolder(key)
	if err := eachPart(ctx, parts, func(ctx context.Context, part vitrine.Part) error {
		return s.copyPart(ctx, key, part, folder.segment(part.Number), opts.Expires)
	}); err != nil {
		s.removeSegments(ctx, folder, len(parts))
		return err
	}
	return s.placeLarge(ctx, key, folder, parts, opts)
}

func eachPart(ctx context.Context, parts []vitrine.Part, do func(ctx context.Context, part vitrine.Part) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxAtOnce)
	for _, part := range parts {
		group.Go(func() error {
			if err := do(ctx, part); err != nil {
				return fmt.Errorf("part %d: %w", part.Number, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// checkPart compares a stored part with what is said of it. Where a request was
// signed for it, the store has not looked at its length.
func (s *Swift) checkPart(ctx context.Context, key string, part vitrine.Part) error {
	h, err := s.head(ctx, uploadName(key, part.Number), true)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: it is not there", ErrIntegrity)
	case err != nil:
		return err
	case h.large || h.header.Get("X-Object-Manifest") != "":
		return fmt.Errorf("%w: it is a manifest", ErrIntegrity)
	case h.Size != part.Size:
		return fmt.Errorf("%w: %d bytes, want %d", ErrIntegrity, h.Size, part.Size)
	case h.etag != part.MD5:
		return fmt.Errorf("%w: MD5 is %.32q, want %s", ErrIntegrity, h.etag, part.MD5)
	case h.sha256 != "" && part.SHA256 != "" && h.sha256 != part.SHA256:
		return fmt.Errorf("%w: it was stored as SHA-256 %.64q, want %s", ErrIntegrity, h.sha256, part.SHA256)
	}
	return nil
}

// copyPart copies a part inside the store, and looks whether it is still the one.
func (s *Swift) copyPart(ctx context.Context, key string, part vitrine.Part, to string, expires time.Time) error {
	header := expiry(expires)
	from := url.URL{Path: s.path(uploadName(key, part.Number))}
	header["X-Copy-From"] = from.EscapedPath()
	header["X-Fresh-Metadata"] = "true" // nothing of the part's own expiry
	header["Content-Type"] = "application/octet-stream"
	resp, err := s.do(ctx, swiftCall{method: http.MethodPut, target: s.path(to), header: header, wait: s.work})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it is not there any more", ErrIntegrity)
	} else if err != nil {
		return err
	}
	resp.Body.Close()
	if got := strings.Trim(resp.Header.Get("ETag"), `"`); got != part.MD5 {
		return fmt.Errorf("%w: MD5 of its copy is %.32q, want %s", ErrIntegrity, got, part.MD5)
	}
	return nil
}

// parseUpload is the inverse of uploadName.
func parseUpload(name string) (key string, number int, ok bool) {
	dir, base := path.Split(name)
	key = strings.TrimSuffix(strings.TrimPrefix(dir, uploadsPrefix), "/")
	number, err := strconv.Atoi(base)
	return key, number, err == nil && number >= 1 && number <= vitrine.MaxParts && uploadName(key, number) == name && checkKey(key) == nil
}

// Uploads is [Bucket.Uploads]. It also names the objects of which a writer that
// went away has left segments.
func (s *Swift) Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		found, err := s.orphans(ctx, prefix)
		for o, wrong := range s.listing(ctx, uploadsPrefix+prefix, nil) {
			if err = cmp.Or(err, wrong); err != nil {
				break
			}
			if key, _, ok := parseUpload(o.Key); ok && strings.HasPrefix(key, prefix) && o.ModTime.After(found[key]) {
				found[key] = o.ModTime
			}
		}
		if err != nil {
			yield(Upload{}, fmt.Errorf("list uploads: %w", err))
			return
		}
		for key, modTime := range found {
			if !yield(Upload{Key: key, ModTime: modTime}, nil) {
				return
			}
		}
	}
}

// Parts is [Bucket.Parts].
func (s *Swift) Parts(ctx context.Context, key string) ([]vitrine.Part, error) {
	numbers, err := s.partNumbers(ctx, key)
	if err != nil {
		return nil, err
	}
	parts := make([]vitrine.Part, len(numbers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxAtOnce)
	for i, number := range numbers {
		group.Go(func() error {
			// A listing may be old, and still have what has expired.
			h, err := s.head(ctx, uploadName(key, number), true)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			parts[i] = vitrine.Part{Number: number, Size: h.Size, SHA256: h.sha256, MD5: h.etag}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("parts of object %s: %w", key, err)
	}
	return slices.DeleteFunc(parts, func(p vitrine.Part) bool { return p.Number == 0 }), nil
}

// partNumbers are those of the parts that the listing has.
func (s *Swift) partNumbers(ctx context.Context, key string) ([]int, error) {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return nil, err
	}
	var numbers []int
	for o, err := range s.listing(ctx, uploadsPrefix+key+"/", url.Values{"delimiter": {"/"}}) {
		if err != nil {
			return nil, fmt.Errorf("parts of object %s: %w", key, err)
		}
		if of, number, ok := parseUpload(o.Key); ok && of == key {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

// Abort is [Bucket.Abort].
func (s *Swift) Abort(ctx context.Context, key string) error {
	numbers, err := s.partNumbers(ctx, key)
	if err != nil {
		return err
	}
	var names []string
	for _, number := range numbers {
		names = append(names, uploadName(key, number))
	}
	left, err := s.orphansOf(ctx, key)
	if err == nil {
		err = s.removeAll(ctx, append(names, left...))
	}
	if err != nil {
		return fmt.Errorf("abort object %s: %w", key, err)
	}
	return nil
}

// orphanAge is how old the newest of a writer's segments is, when no object names
// them, before they are taken for what it has left.
const orphanAge = 24 * time.Hour

// parseSegment is the inverse of [segmentFolder.segment].
func parseSegment(name string) (folder segmentFolder, ok bool) {
	dir, base := path.Split(name)
	key, unique := path.Split(strings.TrimSuffix(strings.TrimPrefix(dir, segmentsPrefix), "/"))
	folder = segmentFolder{strings.TrimSuffix(key, "/"), unique}
	number, err := strconv.Atoi(base)
	return folder, err == nil && folder.segment(number) == name && checkKey(folder.key) == nil
}

// orphans finds the keys, with when they last grew, below which old segments lie
// that no object names.
func (s *Swift) orphans(ctx context.Context, prefix string) (map[string]time.Time, error) {
	folders := make(map[segmentFolder]time.Time)
	for o, err := range s.listing(ctx, segmentsPrefix+prefix, nil) {
		if err != nil {
			return nil, err
		}
		if f, ok := parseSegment(o.Key); ok && strings.HasPrefix(f.key, prefix) && o.ModTime.After(folders[f]) {
			folders[f] = o.ModTime
		}
	}
	maps.DeleteFunc(folders, func(_ segmentFolder, grew time.Time) bool { return time.Since(grew) < s.orphaned })
	found := make(map[string]time.Time)
	for f, grew := range folders {
		switch left, err := s.isOrphan(ctx, f); {
		case err != nil:
			return nil, err
		case left && grew.After(found[f.key]):
			found[f.key] = grew
		}
	}
	return found, nil
}

// orphansOf returns the names of such segments of one key.
func (s *Swift) orphansOf(ctx context.Context, key string) ([]string, error) {
	names := make(map[segmentFolder][]string)
	young := make(map[segmentFolder]bool)
	for o, err := range s.listing(ctx, segmentsPrefix+key+"/", nil) {
		if err != nil {
			return nil, err
		}
		if f, ok := parseSegment(o.Key); ok && f.key == key {
			names[f] = append(names[f], o.Key)
			young[f] = young[f] || time.Since(o.ModTime) < s.orphaned
		}
	}
	var left []string
	for f := range names {
		if young[f] {
			continue
		}
		if orphan, err := s.isOrphan(ctx, f); err != nil {
			return nil, err
		} else if orphan {
			left = append(left, names[f]...)
		}
	}
	return left, nil
}

// isOrphan tells whether no object names a folder's segments. A large object that
// does not say which ones it names is not ours to judge.
func (s *Swift) isOrphan(ctx context.Context, f segmentFolder) (bool, error) {
	h, err := s.head(ctx, f.key, true)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && h.segments != f.unique && (!h.large || h.segments != ""), err
}
