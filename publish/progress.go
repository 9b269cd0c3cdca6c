package publish

import "sync"

// Totals say how far publishing is. Bytes and files rise as they become known.
type Totals struct {
	Files       int   // to publish
	SealedFiles int   // that lie in the spool whole
	SentFiles   int   // that are stored
	PlainBytes  int64 // of the files to publish, as far as known
	SealedBytes int64 // of PlainBytes, those sealed
	SpoolBytes  int64 // to send, of the files sealed so far
	SentBytes   int64 // of SpoolBytes, those sent
}

// A meter keeps totals and reports each change.
type meter struct {
	report func(Totals)

	mu     sync.Mutex
	totals Totals
}

func (m *meter) add(change func(*Totals)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.totals)
	if m.report != nil {
		m.report(m.totals)
	}
}
