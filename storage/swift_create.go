package storage

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine"
)

// cleaningTime is what may be spent on removing what a failure has left.
const cleaningTime = 2 * time.Minute

// Create is [Writer.Create].
func (s *Swift) Create(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := cmp.Or(ctx.Err(), checkSize(opts))
	switch {
	case err != nil:
	case opts.Size <= vitrine.MinPartSize:
		err = s.createSmall(ctx, key, body, opts)
	default:
		err = s.createLarge(ctx, key, body, opts)
	}
	if err != nil {
		return fmt.Errorf("create object %s: %w", key, err)
	}
	return nil
}

func (s *Swift) createSmall(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	b, err := io.ReadAll(newBodyReader(ctx, body, opts))
	if err != nil {
		return err
	}
	sum := md5.Sum(b)
	_, err = s.place(ctx, placing{
		key: key, opts: opts, etag: hex.EncodeToString(sum[:]),
		call: swiftCall{body: b},
	})
	return err
}

func (s *Swift) createLarge(ctx context.Context, key string, body io.Reader, opts CreateOptions) error {
	checked := newBodyReader(ctx, body, opts)
	if _, err := s.head(ctx, key, true); err == nil {
		// It is there: no byte needs to be sent to tell whether it is the same.
		if err := s.same(ctx, placing{key: key, opts: opts}); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, checked)
		return err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	folder := newFolder(key)
	var started atomic.Int64 // parts that may be there, if this fails
	parts, err := sendParts(ctx, checked, opts.Size, func(ctx context.Context, part vitrine.Part, b []byte) error {
		started.Add(1)
		return s.put(ctx, folder.segment(part.Number), part, swiftCall{body: b, header: expiry(opts.Expires)})
	})
	if err != nil {
		s.removeSegments(ctx, folder, int(started.Load()))
		return err
	}
	return s.placeLarge(ctx, key, folder, parts, opts)
}

// A segmentFolder is that of one manifest; no other writer knows its name.
type segmentFolder struct{ key, unique string }

func newFolder(key string) segmentFolder { return segmentFolder{key, rand.Text()} }

func (f segmentFolder) segment(number int) string {
	return segmentsPrefix + f.key + "/" + f.unique + "/" + partName(number)
}

func partName(number int) string { return fmt.Sprintf("%05d", number) }

// put stores a part by a name that is ours. The store compares the MD5.
func (s *Swift) put(ctx context.Context, name string, part vitrine.Part, call swiftCall) error {
	call.method, call.target = http.MethodPut, s.path(name)
	if call.header == nil {
		call.header = make(map[string]string)
	}
	call.header["ETag"] = part.MD5
	call.header["Content-Type"] = "application/octet-stream"
	resp, err := s.do(ctx, call)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// placeLarge writes the manifest, by which a large object appears. It removes the
// segments, if they are not those of the object that is there then.
func (s *Swift) placeLarge(ctx context.Context, key string, folder segmentFolder, parts []vitrine.Part, opts CreateOptions) error {
	type segment struct {
		Path string `json:"path"`
		ETag string `json:"etag"`
		Size int64  `json:"size_bytes"`
	}
	segments := make([]segment, len(parts))
	for i, part := range parts {
		segments[i] = segment{s.path(folder.segment(part.Number)), part.MD5, part.Size}
	}
	manifest, err := json.Marshal(segments)
	if err != nil {
		return err
	}
	placed, err := s.place(ctx, placing{
		key: key, opts: opts, etag: manifestETag(parts), parts: parts, segments: folder.unique,
		call: swiftCall{body: manifest, query: url.Values{"multipart-manifest": {"put"}}},
	})
	if placed == placedOther {
		s.removeSegments(ctx, folder, len(parts))
	}
	return err
}

// manifestETag is what Swift calls a large object.
func manifestETag(parts []vitrine.Part) string {
	h := md5.New()
	for _, part := range parts {
		io.WriteString(h, part.MD5)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A placing is an object that is to get its key.
type placing struct {
	key      string
	opts     CreateOptions  // with a zero SHA256 where nobody knows it
	etag     string         // that it will have
	parts    []vitrine.Part // of a large object
	segments string         // its folder
	call     swiftCall      // with the body
}

// placed says what is at a key after [Swift.place].
type placed int

const (
	placedUnknown placed = iota // the store did not say
	placedOurs
	placedOther // or nothing at all
)

// place gives an object its key, if nobody else has. Swift looks for an object
// there when the request begins: whoever came between is found by looking again.
func (s *Swift) place(ctx context.Context, p placing) (placed, error) {
	unlock, err := s.creating.lock(ctx, p.key)
	if err != nil {
		return placedOther, err
	}
	defer unlock()
	call := p.call
	call.method, call.target = http.MethodPut, s.path(p.key)
	if p.parts != nil {
		call.wait = s.work // the store looks at every segment
	}
	call.header = expiry(p.opts.Expires)
	call.header["If-None-Match"] = "*"
	call.header["ETag"] = p.etag
	call.header["Content-Type"] = mediaType(p.opts.MediaType)
	if p.opts.SHA256 != [32]byte{} {
		call.header[metaSHA256] = hex.EncodeToString(p.opts.SHA256[:])
	}
	if p.segments != "" {
		call.header[metaSegments] = p.segments
	}
	resp, err := s.do(ctx, call)
	var answer *swiftError
	switch {
	case err == nil:
		// Stored, or (202) come too late.
		resp.Body.Close()
		return s.settle(ctx, p, nil)
	case errors.As(err, &answer) && (answer.status == http.StatusPreconditionFailed || answer.status == http.StatusConflict):
		// Taken, perhaps by a first try of ours whose answer was lost.
		return s.settle(ctx, p, nil)
	case p.parts == nil:
		return placedUnknown, err
	}
	// It may be there in spite of that, and the segments needed: also after a
	// refusal, which may be that of a second try.
	return s.settle(ctx, p, err)
}

// settle looks who has the key, after a request that failed or did not.
func (s *Swift) settle(ctx context.Context, p placing, failed error) (placed, error) {
	if failed != nil {
		var cancel func()
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.idle)
		defer cancel()
	}
	h, err := s.head(ctx, p.key, true)
	switch {
	case errors.Is(err, fs.ErrNotExist) && failed == nil:
		return placedUnknown, fmt.Errorf("%w: it took the object, and does not have it", ErrUnavailable)
	case err != nil:
		return placedUnknown, cmp.Or(failed, err)
	}
	where := placedOther
	if h.segments == p.segments && h.etag == p.etag {
		where = placedOurs
	}
	if err := s.compare(ctx, h, p); err != nil {
		return where, cmp.Or(failed, err)
	}
	return where, nil
}

// same reports whether the object at a key is the one that was to be there:
// fs.ErrExist, if it isn't.
func (s *Swift) same(ctx context.Context, p placing) error {
	h, err := s.head(ctx, p.key, true)
	if err != nil {
		return err
	}
	return s.compare(ctx, h, p)
}

func (s *Swift) compare(ctx context.Context, h swiftHead, p placing) error {
	other := fmt.Errorf("other bytes are there: %w", fs.ErrExist)
	known := p.opts.SHA256 != [32]byte{}
	switch {
	case h.Size != p.opts.Size:
		return other
	case known && h.sha256 != "":
		if h.sha256 != hex.EncodeToString(p.opts.SHA256[:]) {
			return other
		}
		return nil
	case !known && p.etag != "" && h.etag == p.etag:
		return nil
	}
	r, err := s.Open(ctx, p.key)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	body := io.TeeReader(r, sum)
	for _, part := range p.parts {
		hash := md5.New()
		if _, err := io.CopyN(hash, body, part.Size); err != nil {
			return err
		}
		if !known && hex.EncodeToString(hash.Sum(nil)) != part.MD5 {
			return other
		}
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	if known && [32]byte(sum.Sum(nil)) != p.opts.SHA256 {
		return other
	}
	return nil
}

// removeSegments removes what a writer has left, even if its time is over. What
// can't be removed now is found by Uploads, and removed by Abort.
func (s *Swift) removeSegments(ctx context.Context, folder segmentFolder, highest int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaningTime)
	defer cancel()
	names := make([]string, highest)
	for i := range names {
		names[i] = folder.segment(i + 1)
	}
	s.removeAll(ctx, names)
}

// removeAll removes names below the prefix, as many as it can.
func (s *Swift) removeAll(ctx context.Context, names []string) error {
	var group errgroup.Group
	group.SetLimit(maxAtOnce)
	for _, name := range names {
		group.Go(func() error { return s.remove(ctx, name) })
	}
	return group.Wait()
}

// remove removes one plain object, or a manifest alone.
func (s *Swift) remove(ctx context.Context, name string) error {
	resp, err := s.do(ctx, swiftCall{method: http.MethodDelete, target: s.path(name)})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return resp.Body.Close()
}

// expiry are the headers by which the store removes an object. A time that has
// come is refused by Swift: a minute from now is as good.
func expiry(at time.Time) map[string]string {
	if at.IsZero() {
		return map[string]string{}
	}
	soon := time.Now().Add(time.Minute)
	if at.Before(soon) {
		at = soon
	}
	return map[string]string{"X-Delete-At": strconv.FormatInt(at.Unix(), 10)}
}

// mediaType is what the store serves an object as. Parameters are left out, since
// one of them is Swift's own word for an object's size.
func mediaType(t string) string {
	if plain, _, err := mime.ParseMediaType(t); err == nil {
		return plain
	}
	return "application/octet-stream"
}
