package edge

import (
	"container/list"
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

// key is one of the three ways to ask for a user.
type key struct{ column, value string }

func byID(id string) key             { return key{"id", strings.ToLower(id)} }
func byEmail(email string) key       { return key{"email", strings.ToLower(email)} }
func byUsername(username string) key { return key{"username", strings.ToLower(username)} }

func keysOf(user *usersv1.User) [3]key {
	return [3]key{byID(user.Id), byEmail(user.Email), byUsername(user.Username)}
}

// cache keeps the users that were read last. It answers only while the feed vouches for it: an answer holds
// every change that was committed longer ago than maxStaleness.
//
// Two things keep it true. An event removes its user; it does not put the event's user in, for a read may
// have brought a later one already. And a read fills the cache only if no event of that user was applied
// since the read began: otherwise it may have seen the user as it was before.
type cache struct {
	capacity     int
	maxStaleness time.Duration
	now          func() time.Time

	mu        sync.Mutex
	recency   *list.List // of *usersv1.User; the most recently used is at the front
	elements  map[key]*list.Element
	vouchedAt time.Time

	// revision says that every event up to it has been applied; grown is closed when it rises.
	revision uint64
	grown    chan struct{}
	// connection counts the feed's streams: what was learnt on one says nothing about the next.
	connection uint64
	connected  bool
	// era counts the logs: revisions of different ones cannot be compared.
	era uint64
	// changed holds, for all users whose ids fall into a slot, the revision of their last event. Two users in
	// one slot cost a fill now and then, never the truth.
	changed [4096]uint64
	seed    maphash.Seed
}

func newCache(capacity int, maxStaleness time.Duration) *cache {
	return &cache{
		capacity:     capacity,
		maxStaleness: maxStaleness,
		now:          time.Now,
		recency:      list.New(),
		elements:     map[key]*list.Element{},
		grown:        make(chan struct{}),
		seed:         maphash.MakeSeed(),
	}
}

// found is how a look-up went; the edge says so in X-Cache.
type found string

const (
	hit  found = "hit"
	miss found = "miss"
	// bypass: the cache may be behind; neither read nor fill it.
	bypass found = "bypass"
)

// ticket is a place in the event log that a read began at.
type ticket struct{ era, revision uint64 }

// find looks a user up. What it misses is to be read from the bridge, and filled in with the ticket.
func (c *cache) find(wanted key) (*usersv1.User, found, ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.vouchedAt) > c.maxStaleness {
		return nil, bypass, ticket{}
	}
	element, ok := c.elements[wanted]
	if !ok {
		return nil, miss, ticket{c.era, c.revision}
	}
	c.recency.MoveToFront(element)
	return userOf(element), hit, ticket{}
}

// fill keeps a user that was read, unless it may have changed since the read began.
func (c *cache) fill(begun ticket, user *usersv1.User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if begun.era != c.era || *c.slot(user.Id) > begun.revision {
		return
	}
	// Also whoever had this email or username before: the event that says so is on its way.
	for _, key := range keysOf(user) {
		c.remove(c.elements[key])
	}
	element := c.recency.PushFront(user)
	for _, key := range keysOf(user) {
		c.elements[key] = element
	}
	if c.recency.Len() > c.capacity {
		c.remove(c.recency.Back())
	}
}

// apply takes an event of the log.
func (c *cache) apply(event *usersv1.UserEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.slot(event.Payload.GetId()) = event.Revision
	c.remove(c.elements[byID(event.Payload.GetId())])
	c.reach(event.Revision)
}

// progress takes the news that all events up to a revision have been applied.
func (c *cache) progress(revision uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.connected {
		c.connected = true
		c.connection++
	}
	c.reach(revision)
}

// disconnect says that no event can be expected for now.
func (c *cache) disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = false
}

// reset forgets everything: what follows is another log, or the same behind a gap.
func (c *cache) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recency.Init()
	clear(c.elements)
	c.vouchedAt = time.Time{}
	c.revision = 0
	c.connected = false
	c.era++
	c.changed = [4096]uint64{}
}

// streamName names the feed's present stream; ok is false where there is none.
func (c *cache) streamName() (connection uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connection, c.connected
}

var errStreamLost = errors.New("the stream was lost meanwhile")

// vouchWhenReached waits for a revision on one stream, then lets the cache answer as of a point in time: the
// caller knows that the log did not reach beyond the revision before that.
func (c *cache) vouchWhenReached(ctx context.Context, connection, revision uint64, asOf time.Time) error {
	for {
		c.mu.Lock()
		if !c.connected || c.connection != connection {
			c.mu.Unlock()
			return errStreamLost
		}
		if c.revision >= revision {
			c.vouchedAt = asOf
			c.mu.Unlock()
			return nil
		}
		grown := c.grown
		c.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *cache) reach(revision uint64) {
	if revision > c.revision {
		c.revision = revision
		close(c.grown)
		c.grown = make(chan struct{})
	}
}

func (c *cache) slot(id string) *uint64 {
	return &c.changed[maphash.String(c.seed, strings.ToLower(id))%uint64(len(c.changed))]
}

func (c *cache) remove(element *list.Element) {
	if element == nil {
		return
	}
	for _, key := range keysOf(userOf(element)) {
		delete(c.elements, key)
	}
	c.recency.Remove(element)
}

func userOf(element *list.Element) *usersv1.User { return element.Value.(*usersv1.User) }
