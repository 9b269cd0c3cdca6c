package storage

import "context"

// A Finding is what an inspection of a bucket says of one thing.
type Finding struct {
	What   string // "CORS", "expiry", "signed requests"
	Good   bool
	Detail string // what was found, in words
	Fix    string // how to set what is missing; empty where nothing is
}

// An Inspector is a bucket that can tell how its store is set up, beyond what its
// objects show.
type Inspector interface {
	// Inspect looks at the settings that readers and a server need: CORS for
	// ranges, expiry, and whether requests can be signed. It changes nothing.
	Inspect(ctx context.Context) []Finding
}
