package userbridge

import (
	"testing"
	"time"
)

func TestTheBackOffDoublesUpToItsCeilingWithFullJitter(t *testing.T) {
	wait := fullJitter{base: 100 * time.Millisecond, ceiling: time.Second}
	for failures, limit := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		limit *= time.Millisecond
		var longest time.Duration
		for range 2_000 {
			delay := wait.delay(failures)
			if delay <= 0 || delay > limit {
				t.Fatalf("after %d failures it waits %s, want up to %s", failures, delay, limit)
			}
			longest = max(longest, delay)
		}
		if longest < limit*9/10 {
			t.Errorf("after %d failures it never waits longer than %s of %s", failures, longest, limit)
		}
	}
	if delay := wait.delay(1_000_000); delay > time.Second {
		t.Errorf("after a million failures it waits %s", delay)
	}
}
