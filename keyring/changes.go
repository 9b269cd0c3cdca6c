package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// A ChangeKind says what a [Change] is.
type ChangeKind string

const (
	Joined  ChangeKind = "joined" // Person became a reader
	Left    ChangeKind = "left"   // Person is no reader any more
	Rekeyed ChangeKind = "keys"   // Person has other keys than before

	Added   ChangeKind = "added"   // the service came into the keyring; its readers join with it
	Removed ChangeKind = "removed" // the service is gone, and nobody is a reader of it

	// Unusable is a commit at which the keyring is not valid. Nothing was sealed
	// by it; what it changed counts from the next one that is.
	Unusable ChangeKind = "unusable"
	// Beginning is the first commit that is known: who came before it, and when,
	// is not.
	Beginning ChangeKind = "beginning"
)

// A Change is one thing that a commit did to who can read a service's logs.
type Change struct {
	Kind   ChangeKind
	Commit string    // on the branch: of what was merged, the merge
	Time   time.Time // when it was committed, in UTC
	Person string    // of Joined, Left and Rekeyed
	// Through are the groups by which a person who joined reads, or one who left
	// had read; empty for one who is named.
	Through []string
	// NewKeys and OldKeys are the fingerprints that came and went, of Rekeyed.
	NewKeys, OldKeys []string

	service string // empty: the whole keyring
}

// Bounds of the history that is looked at for changes.
const (
	maxCommits = 20_000 // on the branch
	maxStates  = 2_000  // commits that touched the keyring
	maxChanges = 50_000 // of all services together
)

// A changeLog is what the history says up to a commit. It is never changed.
type changeLog struct {
	head   plumbing.Hash
	folder plumbing.Hash // of the keyring at head
	last   *Keyring      // the newest valid one at or before head; nil if there is none
	list   []Change      // newest first
}

// ReadChanges reads from the branch's history who became a reader of what, and
// who was one no more, up to the commit of the last refresh. That takes seconds
// for thousands of commits; later, only new ones are read. Nobody who asks for a
// keyring waits for it.
func (r *Repository) ReadChanges(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	r.mu.Lock()
	head, before := r.head, r.changes
	r.mu.Unlock()
	if before != nil && before.head == head {
		return nil
	}
	var repo *git.Repository
	var err error
	if r.cache != "" { // its own handle: go-git's are not for two at a time
		repo, err = git.PlainOpen(r.cache)
	} else {
		repo, err = openLocal(r.loc.dir)
	}
	var log *changeLog
	if err == nil {
		log, err = r.readChanges(ctx, repo, head, before)
	}
	if err != nil {
		return fmt.Errorf("read who joined and left from keyring %s: %w", r.name(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = log
	return nil
}

// Changes returns the last changes to who can read a service, newest first and at
// most limit, as of the last [Repository.ReadChanges]; read is false before the
// first one. The service need not be in the keyring any more.
func (r *Repository) Changes(service string, limit int) (list []Change, read bool) {
	r.mu.Lock()
	log := r.changes
	r.mu.Unlock()
	if log == nil {
		return nil, false
	}
	var notes []Change // of the whole keyring, since the change before
	for _, c := range log.list {
		switch c.service {
		case "":
			notes = append(notes, c)
		case service:
			// What went wrong after the service was removed, or before it was
			// added, is nothing of its own.
			if c.Kind != Removed && !isAdded(list) {
				list = append(list, notes...)
			}
			list, notes = append(list, c), nil
		}
	}
	if len(list) > 0 && !isAdded(list) {
		list = append(list, notes...)
	}
	return slices.Clip(list[:min(len(list), limit)]), true
}

// isAdded reports whether the oldest change of a list is the service's beginning.
func isAdded(list []Change) bool { return len(list) > 0 && list[len(list)-1].Kind == Added }

// A state is a keyring as one or several commits in a row had it.
type state struct {
	folder plumbing.Hash
	since  *object.Commit // the first of them
}

// readChanges compares the states of the keyring on the line of first parents
// from head to what was read before.
func (r *Repository) readChanges(ctx context.Context, repo *git.Repository, head plumbing.Hash, before *changeLog) (*changeLog, error) {
	states, end, err := r.states(ctx, repo, head, before)
	if err != nil {
		return nil, err
	}
	log := &changeLog{head: head}
	if end != endBefore {
		before = &changeLog{}
	}
	if log.folder = before.folder; len(states) > 0 {
		log.folder = states[0].folder
	}
	var newer *Keyring
	var since *object.Commit
	var notes []Change // of commits that came before since
	told := func(c []Change) { log.list, notes = append(append(log.list, c...), notes...), nil }
	for _, s := range states {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k, err := r.keyringOf(repo, s)
		if err != nil {
			notes = append(notes, Change{Kind: Unusable, Commit: s.since.Hash.String(), Time: s.since.Committer.When.UTC()})
			continue
		}
		if newer == nil {
			log.last = k
			told(nil)
		} else {
			told(compare(k, newer, since))
		}
		newer, since = k, s.since
		if len(log.list) > maxChanges {
			end = endCut
			break
		}
	}
	switch {
	case newer == nil:
		log.last = before.last
		told(nil)
	case end == endCut:
		log.list = append(log.list, Change{Kind: Beginning, Commit: since.Hash.String(), Time: since.Committer.When.UTC()})
	default:
		told(compare(before.last, newer, since))
	}
	if end == endBefore {
		log.list = append(log.list, before.list[:min(len(before.list), maxChanges)]...)
	}
	return log, nil
}

// Why a line of commits ends.
type lineEnd int

const (
	endRoot   lineEnd = iota // there is nothing before
	endBefore                // the rest was read before
	endCut                   // what is before is not here, or too much
)

// states are the states of the keyring on the line of first parents, newest first,
// down to what was read before or as far as it goes.
func (r *Repository) states(ctx context.Context, repo *git.Repository, head plumbing.Hash, before *changeLog) ([]state, lineEnd, error) {
	cut, err := shallow(repo)
	if err != nil {
		return nil, endRoot, err
	}
	var list []state
	for h, n := head, 0; ; n++ {
		if before != nil && h == before.head {
			if len(list) > 0 && list[len(list)-1].folder == before.folder {
				list = list[:len(list)-1]
			}
			return list, endBefore, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, endRoot, err
		}
		c, err := repo.CommitObject(h)
		if err != nil {
			return nil, endRoot, err
		}
		var folder plumbing.Hash
		switch t, err := r.treeOf(repo, c); {
		case err == nil:
			folder = t.Hash
		case !errors.Is(err, object.ErrDirectoryNotFound):
			folder = c.TreeHash // it can't be read: what keyringOf finds, too
		}
		if len(list) == 0 || list[len(list)-1].folder != folder {
			list = append(list, state{folder, c})
		}
		list[len(list)-1].since = c
		switch {
		case len(c.ParentHashes) == 0:
			return list, endRoot, nil
		case cut[h] || n == maxCommits || len(list) == maxStates:
			return list, endCut, nil
		}
		h = c.ParentHashes[0]
	}
}

// keyringOf is the keyring of a state; one without anything where there is no folder.
func (r *Repository) keyringOf(repo *git.Repository, s state) (*Keyring, error) {
	if s.folder.IsZero() {
		return new(Keyring), nil
	}
	t, err := r.treeOf(repo, s.since)
	if err != nil {
		return nil, err
	}
	return load(commitTree{t, repo.Storer}, time.Now())
}

// compare returns what a commit changed that made new of old, which may be nil.
func compare(old, new *Keyring, by *object.Commit) []Change {
	if old == nil {
		old = &Keyring{}
	}
	names := make(map[string]bool)
	for name := range old.Services {
		names[name] = true
	}
	for name := range new.Services {
		names[name] = true
	}
	var list []Change
	for _, service := range slices.Sorted(maps.Keys(names)) {
		add := func(c Change) {
			c.service, c.Commit, c.Time = service, by.Hash.String(), by.Committer.When.UTC()
			list = append(list, c)
		}
		was, is := old.Services[service], new.Services[service]
		if is == nil {
			add(Change{Kind: Removed})
			continue
		}
		before, now := make(map[string]reading), new.readings(is)
		if was != nil {
			before = old.readings(was)
		}
		for _, name := range slices.Sorted(maps.Keys(now)) {
			n := now[name]
			b, ok := before[name]
			if !ok {
				add(Change{Kind: Joined, Person: name, Through: n.through})
			} else if came, went := without(n.keys, b.keys), without(b.keys, n.keys); len(came)+len(went) > 0 {
				add(Change{Kind: Rekeyed, Person: name, NewKeys: came, OldKeys: went})
			}
		}
		for _, name := range slices.Sorted(maps.Keys(before)) {
			if _, ok := now[name]; !ok {
				add(Change{Kind: Left, Person: name, Through: before[name].through})
			}
		}
		if was == nil {
			add(Change{Kind: Added}) // the oldest: the list is newest first
		}
	}
	return list
}

// A reading is how somebody reads a service: by which groups, if not by name, and
// with which keys.
type reading struct{ through, keys []string }

func (k *Keyring) readings(s *Service) map[string]reading {
	m := make(map[string]reading)
	for _, name := range k.readers(s) {
		var way reading
		if !slices.Contains(s.Readers, name) {
			for _, g := range s.Readers {
				if slices.Contains(k.Groups[g], name) {
					way.through = append(way.through, g)
				}
			}
		}
		for _, key := range k.People[name].Keys {
			if key.Fits(s.Class) {
				way.keys = append(way.keys, key.Fingerprint)
			}
		}
		m[name] = way
	}
	return m
}

// without is what of a is not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
