// Package indextest makes up histories of any size, for tests and benchmarks of
// what reads an index.
//
// It must never be part of what is shipped, and gives the same history for the
// same numbers.
package indextest
