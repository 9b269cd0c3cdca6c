package storage

import "time"

// OrphanedAfter sets how old segments that no object names are before they are
// taken for left ones.
func (s *Swift) OrphanedAfter(age time.Duration) { s.orphaned = age }
