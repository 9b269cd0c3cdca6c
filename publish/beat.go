package publish

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"vitrine"
)

// beatAfter is how long the store hears nothing of a build, at the most, before it
// is told that the build goes on.
const beatAfter = time.Minute

// forgottenAfter is less than the time after which a server gives up a build that
// it hears nothing of, and with it the parts that it had. A variable for tests.
var forgottenAfter = 4 * time.Minute

// hear notes that the store took something.
func (u *uploader) hear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.heard) >= forgottenAfter {
		u.lapses++
	}
	u.heard = time.Now()
}

// lapsed counts the times that the store took nothing for so long that it may have
// given the build up, and the parts of before with it.
func (u *uploader) lapsed() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lapses
}

// beats tells the store now and then that the build goes on, if it hears nothing
// else: while files are sealed, a command prints nothing, or parts are on their way
// to a store that does not tell the server.
func (u *uploader) beats(ctx context.Context) {
	after := min(2*u.every, beatAfter)
	tick := time.NewTicker(after)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		u.mu.Lock()
		due := time.Since(u.heard) >= after && u.sent[u.startedKey()]
		u.mu.Unlock()
		if !due {
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, beatAfter)
		if err := u.beat(attempt); err != nil {
			slog.Debug("the store is not told that the build goes on until the next time", "uuid", u.started.record.UUID, "error", err)
		}
		cancel()
	}
}

// beat tells the store that the build goes on: a server whose publisher begins a
// build that it knows hears of it by that, and nothing else changes.
func (u *uploader) beat(ctx context.Context) error {
	if err := u.begin(ctx); err != nil {
		return err
	}
	text := u.started.text
	err := u.writer.Create(ctx, u.startedKey(), bytes.NewReader(text), optionsOf(text, "application/json"))
	if err == nil {
		u.hear()
	}
	return err
}

func (u *uploader) startedKey() string {
	return vitrine.StartedKey(u.started.record.StartTime, u.started.record.UUID)
}
