package edge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

const (
	adaID  = "0190a0a0-0000-7000-8000-000000000001"
	maryID = "0190a0a0-0000-7000-8000-000000000002"
)

func TestTheCacheAnswersOnlyAsLongAsItIsVouchedFor(t *testing.T) {
	cache, clock := newTestCache(10)
	fillNow(t, cache, user(adaID, "ada"))
	wantFound(t, cache, byID(adaID), hit)
	clock.now = clock.now.Add(cache.maxStaleness)
	wantFound(t, cache, byID(adaID), hit)
	clock.now = clock.now.Add(1)
	wantFound(t, cache, byID(adaID), bypass)
	wantFound(t, cache, byID(maryID), bypass)
}

func TestAUserIsFoundByEachKeyWithoutRegardToCase(t *testing.T) {
	cache, _ := newTestCache(10)
	fillNow(t, cache, user(adaID, "ada"))
	for _, key := range []key{byID(adaID), byEmail("ADA@example.com"), byUsername("Ada")} {
		wantFound(t, cache, key, hit)
	}
}

func TestAnEventRemovesItsUserByEachKey(t *testing.T) {
	cache, _ := newTestCache(10)
	fillNow(t, cache, user(adaID, "ada"))
	fillNow(t, cache, user(maryID, "mary"))
	cache.apply(&usersv1.UserEvent{Revision: 7, Type: "user_updated", Payload: user(adaID, "augusta")})
	for _, key := range []key{byID(adaID), byEmail("ada@example.com"), byUsername("ada")} {
		wantFound(t, cache, key, miss)
	}
	wantFound(t, cache, byID(maryID), hit)
}

func TestAReadThatAnEventOvertookFillsNothing(t *testing.T) {
	cache, _ := newTestCache(10)
	_, _, begun := cache.find(byEmail("ada@example.com"))
	cache.apply(&usersv1.UserEvent{Revision: 7, Payload: user(adaID, "augusta")})
	cache.fill(begun, user(adaID, "ada"))
	wantFound(t, cache, byID(adaID), miss)

	fillNow(t, cache, user(adaID, "augusta")) // a read that began behind the event does
	wantFound(t, cache, byUsername("augusta"), hit)
}

func TestAReadThatBeganInAnotherLogFillsNothing(t *testing.T) {
	cache, clock := newTestCache(10)
	_, _, begun := cache.find(byID(adaID))
	cache.reset()
	vouch(t, cache, clock)
	cache.fill(begun, user(adaID, "ada"))
	wantFound(t, cache, byID(adaID), miss)
}

func TestAnEmailThatMovedOnFindsItsNewOwner(t *testing.T) {
	cache, _ := newTestCache(10)
	fillNow(t, cache, user(adaID, "ada"))
	mary := user(maryID, "mary")
	mary.Email = "ada@example.com"
	fillNow(t, cache, mary)
	wantFound(t, cache, byID(adaID), miss)
	if got, _, _ := cache.find(byEmail("ada@example.com")); got.GetId() != maryID {
		t.Errorf("the email finds %v, want its new owner", got)
	}
	cache.apply(&usersv1.UserEvent{Revision: 7, Payload: user(adaID, "ada")})
	wantFound(t, cache, byEmail("ada@example.com"), hit)
}

func TestTheCacheKeepsTheMostRecentlyUsed(t *testing.T) {
	cache, _ := newTestCache(2)
	for number := range 3 {
		fillNow(t, cache, user(fmt.Sprint(number), fmt.Sprint("user", number)))
		wantFound(t, cache, byID("0"), hit) // used each time
	}
	wantFound(t, cache, byID("1"), miss)
	wantFound(t, cache, byID("2"), hit)
	if len(cache.elements) != 2*3 || cache.recency.Len() != 2 {
		t.Errorf("%d keys of %d users are left", len(cache.elements), cache.recency.Len())
	}
}

func TestNobodyVouchesForAStreamThatWasLost(t *testing.T) {
	cache, clock := newTestCache(10)
	connection, _ := cache.streamName()
	cache.disconnect()
	wantLost := func(when string) {
		t.Helper()
		if err := cache.vouchWhenReached(t.Context(), connection, 0, clock.now); !errors.Is(err, errStreamLost) {
			t.Errorf("%s: got %v, want %v", when, err, errStreamLost)
		}
	}
	wantLost("while there is none")
	cache.progress(0)
	wantLost("on the next one")
}

func TestNobodyVouchesBeforeTheEventsHaveArrived(t *testing.T) {
	cache, clock := newTestCache(10)
	connection, _ := cache.streamName()
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cache.vouchWhenReached(late, connection, 7, clock.now); !errors.Is(err, context.Canceled) {
		t.Errorf("vouched for revision 7 at revision %d: %v", cache.revision, err)
	}
	vouched := make(chan error)
	go func() { vouched <- cache.vouchWhenReached(t.Context(), connection, 7, clock.now) }()
	cache.apply(&usersv1.UserEvent{Revision: 6, Payload: user(adaID, "ada")})
	cache.progress(7)
	if err := <-vouched; err != nil {
		t.Error(err)
	}
}

type testClock struct{ now time.Time }

// newTestCache returns a cache on a live stream that has just been vouched for.
func newTestCache(capacity int) (*cache, *testClock) {
	clock := &testClock{now: time.Now()}
	cache := newCache(capacity, time.Second)
	cache.now = func() time.Time { return clock.now }
	cache.progress(0)
	cache.vouchedAt = clock.now
	return cache, clock
}

func vouch(t *testing.T, cache *cache, clock *testClock) {
	t.Helper()
	cache.progress(0)
	connection, _ := cache.streamName()
	if err := cache.vouchWhenReached(t.Context(), connection, 0, clock.now); err != nil {
		t.Fatal(err)
	}
}

// fillNow fills in a read that no event overtook.
func fillNow(t *testing.T, cache *cache, user *usersv1.User) {
	t.Helper()
	_, _, begun := cache.find(key{"none", ""})
	cache.fill(begun, user)
}

func wantFound(t *testing.T, cache *cache, wanted key, want found) {
	t.Helper()
	if _, got, _ := cache.find(wanted); got != want {
		t.Errorf("%v: %s, want %s", wanted, got, want)
	}
}

func user(id, name string) *usersv1.User {
	return &usersv1.User{Id: id, Email: name + "@example.com", Username: name}
}
