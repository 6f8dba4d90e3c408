package userbridge

import (
	"context"
	"math/rand/v2"
	"time"
)

// fullJitter is the "full jitter" back-off of Brooker, "Exponential Backoff And Jitter" (AWS, 2015): any
// time up to a ceiling that doubles, so that clients that lost the same server do not return together.
type fullJitter struct{ base, ceiling time.Duration }

// delay returns how long to wait after so many failures before this one.
func (f fullJitter) delay(failures int) time.Duration {
	limit := f.base
	for range failures {
		if limit >= f.ceiling/2 {
			limit = f.ceiling
			break
		}
		limit *= 2
	}
	return rand.N(limit) + 1
}

// sleep waits for the delay, or returns the context's cause as soon as that is done.
func (f fullJitter) sleep(ctx context.Context, failures int) error {
	timer := time.NewTimer(f.delay(failures))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
