package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"sync"

	"github.com/google/uuid"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

const (
	// maxBufferedEvents is how many events wait for a subscriber that reads slower than users register
	// before it is dropped.
	maxBufferedEvents = 1_024

	// With the revision's 8 bytes, 39 characters of base64url.
	cursorPrefixBytes = 21
)

// broadcast hands events in one order to all subscribers, each through a channel of its own.
type broadcast struct {
	mutex        sync.Mutex
	subscribers  map[chan *usersv1.UserEvent]struct{}
	revision     uint64
	cursorPrefix [cursorPrefixBytes]byte
}

func newBroadcast() *broadcast {
	b := &broadcast{subscribers: make(map[chan *usersv1.UserEvent]struct{})}
	rand.Read(b.cursorPrefix[:])
	return b
}

// subscribe returns a channel of the events from now on. It is closed where the subscriber falls behind.
func (b *broadcast) subscribe() chan *usersv1.UserEvent {
	events := make(chan *usersv1.UserEvent, maxBufferedEvents)
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.subscribers[events] = struct{}{}
	return events
}

func (b *broadcast) unsubscribe(events chan *usersv1.UserEvent) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.subscribers, events)
}

// publishRegistration hands the event of a registration to every subscriber.
func (b *broadcast) publishRegistration(user *usersv1.User) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.revision++
	event := &usersv1.UserEvent{
		Id:         id.String(),
		Type:       "user_registered",
		Payload:    user,
		OccurredAt: user.GetCreatedAt(),
		Cursor:     b.cursor(),
		Revision:   b.revision,
	}
	for events := range b.subscribers {
		select {
		case events <- event:
		default:
			delete(b.subscribers, events)
			close(events)
		}
	}
	return nil
}

func (b *broadcast) cursor() string {
	bytes := binary.BigEndian.AppendUint64(b.cursorPrefix[:len(b.cursorPrefix):len(b.cursorPrefix)], b.revision)
	return base64.RawURLEncoding.EncodeToString(bytes)
}
