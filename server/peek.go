package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // so that image.DecodeConfig knows what web.ImageType names
	_ "image/jpeg"
	_ "image/png"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"vitrine"
	"vitrine/ansible"
	"vitrine/storage"
	"vitrine/web"
)

// What pages show of public files is read from the store when a page is asked
// for, within these bounds: a page never waits for a store longer than peekTimeout.
const (
	peekTimeout   = 1500 * time.Millisecond
	textHead      = 64 << 10 // bytes of a text
	imageHead     = 32 << 10 // bytes of an image, for its size
	reportHead    = 4 << 20  // bytes of what may be Ansible's output, as stored
	maxDimension  = 20_000   // pixels that are believed
	headsAtOnce   = 32       // reads under way, of all requests
	reportsAtOnce = 2        // these take more memory
	keptPeeks     = 24 << 20 // bytes of what is kept
)

// peeks keeps what was last seen in public files, which never change.
type peeks struct {
	heads, reports chan struct{} // one element for each read under way

	mu    sync.Mutex
	kept  []keptPeek // the last to be asked for comes last
	bytes int
}

type keptPeek struct {
	key  string
	seen web.Preview
	cost int
}

func newPeeks() *peeks {
	return &peeks{heads: make(chan struct{}, headsAtOnce), reports: make(chan struct{}, reportsAtOnce)}
}

func (p *peeks) get(key string) (web.Preview, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, k := range p.kept {
		if k.key == key {
			p.kept = append(append(p.kept[:i], p.kept[i+1:]...), k)
			return k.seen, true
		}
	}
	return web.Preview{}, false
}

func (p *peeks) put(key string, seen web.Preview) {
	cost := 512 + len(key) + len(seen.Path) + len(seen.Text) + len(seen.Problem) + costOf(seen.Ansible)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, keptPeek{key, seen, cost})
	for p.bytes += cost; p.bytes > keptPeeks && len(p.kept) > 1; p.kept = p.kept[1:] {
		p.bytes -= p.kept[0].cost
		p.kept[0] = keptPeek{} // or the array below would keep it
	}
}

// costOf is about what an output takes of memory, rather too much: a slice that
// grew has up to twice the room that it needs.
func costOf(o *ansible.Output) int {
	if o == nil {
		return 0
	}
	const perHost, perPlaybook, perPlay, perTask, perResult = 176, 144, 112, 128, 128
	cost := 256
	for _, h := range o.Recap {
		cost += perHost + len(h.Name)
	}
	for _, b := range o.Playbooks {
		cost += perPlaybook + len(b.Path) + len(b.Phase)
		for _, play := range b.Plays {
			cost += perPlay + len(play.Name)
			for _, t := range play.Tasks {
				cost += perTask + len(t.Name)
				for _, h := range t.Hosts {
					cost += perResult + len(h.Host) + len(h.Message)
				}
			}
		}
	}
	return cost
}

// peek looks into public files of a build, all at once. What it can't see in
// time has a problem in its place.
func (s *Server) peek(ctx context.Context, b vitrine.Build, files []vitrine.Artifact) []web.Preview {
	ctx, cancel := context.WithTimeout(ctx, peekTimeout)
	defer cancel()
	seen := make([]web.Preview, len(files))
	var all sync.WaitGroup
	for i, a := range files {
		key := vitrine.ArtifactKey(b.UUID, a.Path)
		var known bool
		if seen[i], known = s.peeks.get(key); known {
			continue
		}
		all.Go(func() {
			v, err := s.look(ctx, key, a)
			switch {
			case err == nil && web.PreviewOf(a) != web.FramePreview:
				v.Path = a.Path
				s.peeks.put(key, v)
			case errors.Is(err, fs.ErrNotExist):
				v = web.Preview{Gone: true, Problem: "the record names it, but the store has it no longer"}
			case errors.Is(err, errDamaged): // it stays so, and to find that out again may take long
				v = web.Preview{Path: a.Path, Problem: "it is damaged"}
				s.peeks.put(key, v)
			case errors.Is(err, storage.ErrIntegrity):
				v = web.Preview{Problem: "it is damaged"}
			case err != nil:
				v = web.Preview{Problem: "not available now, as the store does not answer in time"}
				if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					s.Log.Warn("no preview", "key", key, "error", fromStore(err))
				}
			}
			v.Path = a.Path
			seen[i] = v
		})
	}
	all.Wait()
	return seen
}

var errDamaged = errors.New("the file is damaged")

// look looks into one file.
func (s *Server) look(ctx context.Context, key string, a vitrine.Artifact) (web.Preview, error) {
	kind := web.PreviewOf(a)
	slots := s.peeks.heads
	if kind == web.AnsiblePreview {
		slots = s.peeks.reports
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return web.Preview{}, ctx.Err()
	}
	switch kind {
	case web.FramePreview:
		_, err := s.Bucket.Stat(ctx, key)
		return web.Preview{}, err
	case web.ImagePreview:
		head, err := s.head(ctx, key, imageHead)
		var v web.Preview
		if c, _, err := image.DecodeConfig(bytes.NewReader(head)); err == nil && min(c.Width, c.Height) > 0 && max(c.Width, c.Height) <= maxDimension {
			v.Width, v.Height = c.Width, c.Height
		}
		return v, err
	case web.AnsiblePreview:
		out, err := s.lookReport(ctx, key)
		if !errors.Is(err, ansible.ErrFormat) {
			return web.Preview{Ansible: out}, err
		}
		if strings.HasSuffix(a.Path, ".gz") {
			return web.Preview{}, nil // nothing that is shown
		}
	}
	head, err := s.head(ctx, key, textHead)
	if bytes.IndexByte(head, 0) >= 0 {
		return web.Preview{}, err // no text, whatever its record says
	}
	return web.Preview{Text: string(head), More: a.Size > int64(len(head))}, err
}

// head is an object's first n bytes, or all of a shorter one.
func (s *Server) head(ctx context.Context, key string, n int64) ([]byte, error) {
	body, err := s.Bucket.OpenRange(ctx, key, 0, n)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, n))
}

// lookReport reads what may be Ansible's output.
func (s *Server) lookReport(ctx context.Context, key string) (*ansible.Output, error) {
	body, err := s.Bucket.OpenRange(ctx, key, 0, reportHead)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	stored := &failing{Reader: io.LimitReader(body, reportHead)}
	src := io.Reader(stored)
	if path.Ext(key) == ".gz" {
		if src, err = gzip.NewReader(stored); err != nil && stored.err == nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	var out *ansible.Output
	if err == nil {
		out, err = ansible.Read(&timed{ctx, src})
	}
	switch {
	case ctx.Err() != nil: // whatever was read until then
		return nil, ctx.Err()
	case stored.err != nil:
		return nil, stored.err
	case err != nil && !errors.Is(err, ansible.ErrFormat):
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return out, err
}

// timed reads until its time is over: what a few bytes of a store unpack to may
// keep a decoder busy for long.
type timed struct {
	ctx context.Context
	io.Reader
}

func (t *timed) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	return t.Reader.Read(p)
}

// failing remembers an error of a store, so that it is not taken for one of what
// is stored.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}
