package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"

	"vitrine"
)

// List is [Reader.List]. It holds the names of one folder at a time, per level.
func (l *Local) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		// All keys with the prefix are below its last whole folder.
		dir := "."
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir = prefix[:i]
			for part := range strings.SplitSeq(dir, "/") {
				if vitrine.ValidPath(part) != nil { // no key has such a part
					return
				}
			}
		}
		w := walk{l: l, ctx: ctx, prefix: prefix, yield: yield}
		if err := w.folder(dir); err != nil && err != errStop {
			yield(Object{}, err)
		}
	}
}

// errStop says that the consumer wants no more.
var errStop = errors.New("stop")

type walk struct {
	l      *Local
	ctx    context.Context
	prefix string
	yield  func(Object, error) bool
}

// folder yields what lies below dir, in the order of whole keys: a folder x
// sorts as "x/", so after a file "x.y" and before a file "x0".
func (w *walk) folder(dir string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	names, err := w.names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if folder, ok := strings.CutSuffix(name, "/"); ok {
			err = w.folder(path.Join(dir, folder))
		} else {
			err = w.file(path.Join(dir, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// names are the sorted names in dir that may lead to a key with the prefix,
// those of folders with a slash at their end.
func (w *walk) names(dir string) ([]string, error) {
	d, err := w.l.root.Open(dir)
	if absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, cause(err))
	}
	defer d.Close()
	var names []string
	for {
		entries, err := d.ReadDir(1024)
		for _, e := range entries {
			name := e.Name()
			if e.IsDir() {
				name += "/"
			} else if !e.Type().IsRegular() {
				continue
			}
			key := name
			if dir != "." {
				key = dir + "/" + name
			} else if name != vitrine.RecordsPrefix && name != vitrine.ArtifactsPrefix {
				continue // ours are below these two
			}
			if strings.HasPrefix(key, w.prefix) || strings.HasSuffix(key, "/") && strings.HasPrefix(w.prefix, key) {
				names = append(names, name)
			}
		}
		if err == io.EOF || absent(err) { // no more, or deleted meanwhile
			slices.Sort(names)
			return names, nil
		} else if err != nil {
			return nil, fmt.Errorf("list %s: %w", dir, cause(err))
		}
	}
}

func (w *walk) file(key string) error {
	if checkKey(key) != nil {
		return nil // somebody else's file
	}
	info, err := w.l.root.Lstat(key)
	if absent(err) {
		return nil // deleted meanwhile
	} else if err != nil {
		return fmt.Errorf("list %s: %w", key, cause(err))
	}
	if !w.yield(object(key, info), nil) {
		return errStop
	}
	return nil
}
