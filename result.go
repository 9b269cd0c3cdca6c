package vitrine

import "slices"

// A Result is the outcome of a build, by Zuul's word for it. The empty Result
// is that of a build which has not ended.
type Result string

// The results that publishing itself gives. [Results] lists all that a record may have.
const (
	Success  Result = "SUCCESS"
	Failure  Result = "FAILURE"
	TimedOut Result = "TIMED_OUT"
	Aborted  Result = "ABORTED"
	// LostResult is what a list shows for a build in state [Lost].
	LostResult Result = "LOST"
)

// Results are the results that a finished build may have, as Zuul names them.
var Results = []Result{
	Success, Failure, TimedOut, Aborted, LostResult,
	"CANCELED", "CONFIG_ERROR", "DEQUEUED", "DISK_FULL", "ERROR", "EXCEPTION",
	"MERGE_CONFLICT", "MERGE_FAILURE", "MERGER_FAILURE", "NODE_FAILURE", "NO_HANDLE",
	"POST_FAILURE", "RETRY", "RETRY_LIMIT", "SKIPPED", "UNREACHABLE",
}

// Known reports whether r is one of [Results].
func (r Result) Known() bool { return slices.Contains(Results, r) }

// Ran reports whether a build with the result was run, to whatever end: a rate of
// success is of those.
func (r Result) Ran() bool {
	return r != "" && r != "SKIPPED" && r != "CANCELED" && r != "DEQUEUED"
}
