package server

import (
	"net/http"
	"sync"
	"time"

	"vitrine"
)

const (
	// maxUploads bounds how many builds' uploads are remembered.
	maxUploads = 4096
	// uploadLife is how long after its last request a build's uploads are
	// remembered, and count.
	uploadLife = 24 * time.Hour
	// maxOpenParts bounds the parts of one build that wait for their completion.
	maxOpenParts = 16 * vitrine.MaxParts
)

// uploads remembers what the builds that are not published yet have brought to
// this process, to bound it and to know which objects it saw stored. It is a
// cache: for what it forgot, the bucket is asked.
type uploads struct {
	maxBuild, maxService int64 // bytes

	mu     sync.Mutex
	builds map[string]*buildUploads
}

type buildUploads struct {
	service   string
	touched   time.Time
	bytes     int64 // of all its artifacts
	openParts int   // of those that are not complete
	artifacts map[string]*artifactUpload
}

type artifactUpload struct {
	parts   map[int]int64 // sizes by number, until it is complete
	claimed int64         // the sum of them
	stored  stored        // what this process saw stored
}

func (a *artifactUpload) bytes() int64 { return max(a.claimed, a.stored.size) }

// stored describes an object. An empty hash is not known.
type stored struct {
	size   int64
	sha256 string
}

// wholePart is the number under which a body that comes in one piece is claimed.
const wholePart = 0

// claim makes room for parts of an artifact, which may have been claimed before,
// or says why there is none.
func (u *uploads) claim(build vitrine.Build, path string, parts ...vitrine.Part) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.build(build, time.Now())
	a := b.artifacts[path]
	if a == nil {
		if len(b.artifacts) >= vitrine.MaxArtifacts {
			return refuse(http.StatusRequestEntityTooLarge, "build %s has %d artifacts: no more are taken", build.UUID, vitrine.MaxArtifacts)
		}
		a = &artifactUpload{}
		b.artifacts[path] = a
	}
	claimed, newParts := a.claimed, 0
	for _, p := range parts {
		size, again := a.parts[p.Number]
		if !again {
			newParts++
		}
		claimed += max(p.Size-size, 0)
	}
	more := max(claimed, a.stored.size) - a.bytes() // what is stored may come again
	switch {
	case b.bytes+more > u.maxBuild:
		return refuse(http.StatusRequestEntityTooLarge, "build %s has brought %d bytes, and %d more are too many: this server takes %d of one build", build.UUID, b.bytes, more, u.maxBuild)
	case u.ofService(b.service)+more > u.maxService:
		return refuse(http.StatusTooManyRequests, "builds of service %s that are not published yet have brought more than %d bytes: commit them first", b.service, u.maxService)
	case b.openParts+newParts > maxOpenParts:
		return refuse(http.StatusTooManyRequests, "more than %d parts of build %s wait for their completion: complete some first", maxOpenParts, build.UUID)
	}
	if a.parts == nil {
		a.parts = make(map[int]int64)
	}
	for _, p := range parts {
		a.parts[p.Number] = max(p.Size, a.parts[p.Number])
	}
	a.claimed = claimed
	b.bytes += more
	b.openParts += newParts
	return nil
}

// build is what is remembered of a build, from now on. u.mu is held.
func (u *uploads) build(build vitrine.Build, now time.Time) *buildUploads {
	b := u.builds[build.UUID]
	if b == nil {
		oldest := ""
		for id, o := range u.builds {
			if now.Sub(o.touched) > uploadLife {
				delete(u.builds, id)
			} else if oldest == "" || o.touched.Before(u.builds[oldest].touched) {
				oldest = id
			}
		}
		if len(u.builds) >= maxUploads {
			delete(u.builds, oldest)
		}
		b = &buildUploads{service: build.Service, artifacts: make(map[string]*artifactUpload)}
		u.builds[build.UUID] = b
	}
	b.touched = now
	return b
}

// ofService is how many bytes a service's builds have brought. u.mu is held.
func (u *uploads) ofService(service string) (bytes int64) {
	for _, b := range u.builds {
		if b.service == service {
			bytes += b.bytes
		}
	}
	return bytes
}

// done notes that an artifact is stored.
func (u *uploads) done(uuid, path string, s stored) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.builds[uuid]
	if b == nil || b.artifacts[path] == nil {
		return
	}
	a := b.artifacts[path]
	b.openParts -= len(a.parts)
	b.bytes += s.size - a.bytes()
	*a = artifactUpload{stored: s}
}

// storedAs is what this process saw stored of an artifact; zero, if nothing.
func (u *uploads) storedAs(uuid, path string) stored {
	u.mu.Lock()
	defer u.mu.Unlock()
	if b := u.builds[uuid]; b != nil && b.artifacts[path] != nil {
		return b.artifacts[path].stored
	}
	return stored{}
}

// forgetPartial gives back what a build claimed for all artifacts but those that
// are whole.
func (u *uploads) forgetPartial(uuid string, whole map[string]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.builds[uuid]
	if b == nil {
		return
	}
	for path, a := range b.artifacts {
		if !whole[path] {
			b.openParts -= len(a.parts)
			b.bytes -= a.bytes()
			delete(b.artifacts, path)
		}
	}
}

func (u *uploads) forget(uuid string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.builds, uuid)
}
