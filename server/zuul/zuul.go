// Package zuul answers in the shape of Zuul's read API, so that Zuul's own
// clients read a history as they read Zuul's.
//
// It must never say what the history does not know: a field without a value is
// null or empty, as Zuul has it, and what Zuul has live, such as queues and
// nodes, is empty here.
package zuul

import (
	"net/http"

	"vitrine/server/index"
)

// Config says what the API is about.
type Config struct {
	Tenant string
	Index  *index.Index
	// PublicURL is where the server is reached, without a slash at its end.
	PublicURL string
}

// Handler serves everything below /api but /api/v1.
func Handler(c Config) http.Handler { return http.NotFoundHandler() }
