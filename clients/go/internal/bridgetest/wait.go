package bridgetest

import (
	"testing"
	"time"
)

const (
	waitTimeout  = 60 * time.Second
	waitInterval = 5 * time.Millisecond
)

// ComesTrue looks at a condition until it holds; false means that it did not come to. Unlike [WaitFor] it may
// be called from any goroutine.
func ComesTrue(condition func() bool) bool {
	timeout := time.After(waitTimeout)
	ticker := time.NewTicker(waitInterval)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-timeout:
			return false
		}
	}
	return true
}

// WaitFor looks at a condition until it holds, and fails the test where it does not come to.
func WaitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !ComesTrue(condition) {
		t.Fatalf("waited %s in vain: %s", waitTimeout, what)
	}
}

// Receive takes a value from a channel, and fails the test where none comes.
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(waitTimeout):
		t.Fatalf("waited %s in vain: %s", waitTimeout, what)
		panic("unreachable")
	}
}
