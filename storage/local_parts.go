package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine"
)

// partsDir holds the parts of what is not complete: part 1 of the object at KEY
// is partsDir/KEY/.1, a name that no key's own parts have. It is no key's first
// part, so no listing sees it.
const partsDir = ".parts"

// PutPart is [Writer.PutPart].
func (l *Local) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	opts, err := partOptions(key, part)
	if err != nil {
		return err
	}
	temp, err := l.writeTemp(newBodyReader(ctx, body, opts))
	if err == nil {
		defer l.root.Remove(temp)
		err = l.keepPart(temp, path.Join(partsDir, key, "."+strconv.Itoa(part.Number)))
	}
	if err != nil {
		return fmt.Errorf("part %d of object %s: %w", part.Number, key, cause(err))
	}
	return nil
}

func (l *Local) keepPart(temp, name string) error {
	var err error
	for range 100 { // an Abort beside us may remove the folder we have just made
		if err = l.root.MkdirAll(path.Dir(name), dirMode); err == nil {
			if err = l.root.Rename(temp, name); err == nil {
				return l.syncParents(name)
			}
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return err
}

// Complete is [Writer.Complete]. It copies: a directory can't join files.
func (l *Local) Complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	if err := checkComplete(ctx, key, parts, opts); err != nil {
		return err
	}
	if err := completeAgain(func() error { return l.complete(ctx, key, parts, opts) }); err != nil {
		return fmt.Errorf("complete object %s: %w", key, err)
	}
	return l.Abort(ctx, key)
}

func (l *Local) complete(ctx context.Context, key string, parts []vitrine.Part, opts CreateOptions) error {
	if _, err := l.Stat(ctx, key); err == nil {
		// Completed before, or by somebody else, perhaps not durably yet.
		if err := l.same(ctx, key, opts); err != nil {
			return err
		}
		return l.syncParents(key)
	}
	body := &partsReader{ctx: ctx, l: l, key: key, parts: parts}
	defer body.close()
	temp, err := l.writeTemp(body)
	if err != nil {
		return err
	}
	defer l.root.Remove(temp)
	return l.place(ctx, temp, key, opts)
}

// A partsReader gives out the parts of an object one after the other, and checks
// each.
type partsReader struct {
	ctx   context.Context
	l     *Local
	key   string
	parts []vitrine.Part // not begun
	body  io.Reader      // of the part that is read
	file  io.Closer
}

func (r *partsReader) Read(p []byte) (int, error) {
	for {
		if r.body == nil {
			if len(r.parts) == 0 {
				return 0, io.EOF
			}
			if err := r.next(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p)
		if err == io.EOF {
			r.close()
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *partsReader) next() error {
	part := r.parts[0]
	opts, err := partOptions(r.key, part)
	if err != nil {
		return err
	}
	f, err := r.l.root.Open(path.Join(partsDir, r.key, "."+strconv.Itoa(part.Number)))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: part %d is not there", ErrIntegrity, part.Number)
	} else if err != nil {
		return err
	}
	r.parts, r.body, r.file = r.parts[1:], newBodyReader(r.ctx, f, opts), f
	return nil
}

func (r *partsReader) close() {
	if r.file != nil {
		r.file.Close()
	}
	r.body, r.file = nil, nil
}

// Uploads is [Bucket.Uploads].
func (l *Local) Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		last := Upload{}
		err := fs.WalkDir(l.root.FS(), partsDir, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // completed or aborted meanwhile
			}
			if err = cmp.Or(err, ctx.Err()); err != nil || d.IsDir() {
				return err
			}
			key := strings.TrimPrefix(path.Dir(name), partsDir+"/")
			info, err := d.Info()
			if err != nil || checkKey(key) != nil || !strings.HasPrefix(key, prefix) {
				return nil
			}
			if key != last.Key {
				if last.Key != "" && !yield(last, nil) {
					return errStop
				}
				last = Upload{Key: key}
			}
			last.ModTime = slices.MaxFunc([]time.Time{last.ModTime, info.ModTime().UTC()}, time.Time.Compare)
			return nil
		})
		switch {
		case err == errStop:
		case err != nil:
			yield(Upload{}, fmt.Errorf("list uploads: %w", cause(err)))
		case last.Key != "":
			yield(last, nil)
		}
	}
}

// Parts is [Bucket.Parts].
func (l *Local) Parts(ctx context.Context, key string) ([]vitrine.Part, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	dir := path.Join(partsDir, key)
	entries, err := fs.ReadDir(l.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var parts []vitrine.Part
	for _, e := range entries {
		number, wrong := strconv.Atoi(strings.TrimPrefix(e.Name(), "."))
		if wrong != nil || number < 1 || number > vitrine.MaxParts || !e.Type().IsRegular() {
			continue
		}
		part, err := l.describe(ctx, path.Join(dir, e.Name()), number)
		if err != nil {
			return nil, fmt.Errorf("part %d of object %s: %w", number, key, cause(err))
		}
		parts = append(parts, part)
	}
	if err != nil {
		return nil, fmt.Errorf("parts of object %s: %w", key, cause(err))
	}
	slices.SortFunc(parts, func(a, b vitrine.Part) int { return a.Number - b.Number })
	return parts, ctx.Err()
}

// describe hashes the file of a part.
func (l *Local) describe(ctx context.Context, name string, number int) (vitrine.Part, error) {
	f, err := l.root.Open(name)
	if err != nil {
		return vitrine.Part{}, err
	}
	defer f.Close()
	return vitrine.ReadPart(number, stream{ctx, f, f})
}

// Abort is [Bucket.Abort].
func (l *Local) Abort(ctx context.Context, key string) error {
	if err := cmp.Or(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	dir := path.Join(partsDir, key)
	entries, err := fs.ReadDir(l.root.FS(), dir)
	for _, e := range entries {
		if e.IsDir() {
			continue // of a key below this one
		}
		if wrong := l.root.Remove(path.Join(dir, e.Name())); !errors.Is(wrong, fs.ErrNotExist) {
			err = cmp.Or(err, wrong)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("abort object %s: %w", key, cause(err))
	}
	l.prune(dir)
	return nil
}
