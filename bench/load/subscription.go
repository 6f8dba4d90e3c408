package main

import (
	"fmt"
	"maps"
	"time"
)

// openTimeout is how long streams may take to begin.
const openTimeout = 60 * time.Second

// Subscription is many event streams over several connections.
type Subscription struct {
	subscribers []*Subscriber
	failed      chan error
	// broken connections, by what broke them.
	broken map[string]uint64
}

// SubscriptionOptions lay down how many streams there are.
type SubscriptionOptions struct {
	Address     string
	Streams     int
	Connections int
	// SampleEvery n-th stream of a connection is looked into; 0 for none.
	SampleEvery int
	Window      Window
	DueAt       func(name uint64) int64
	// KeepArrivals of all events, for Arrivals.
	KeepArrivals bool
}

// progressRequest asks for a progress message at once and every hour: it shows that the stream has begun.
var progressRequest = appendField(nil, 5, []byte{0x08, 0x90, 0x1c})

// Subscribe opens the streams and waits until each has answered: from then on none misses an event.
func Subscribe(options SubscriptionOptions) (*Subscription, error) {
	s := &Subscription{failed: make(chan error, options.Connections), broken: map[string]uint64{}}
	for index := range options.Connections {
		subscriber := &Subscriber{
			window:       options.Window,
			failures:     map[string]uint64{},
			dueAt:        options.DueAt,
			keepArrivals: options.KeepArrivals,
		}
		headers := requestHeaders(options.Address, service+"StreamUserEvents")
		connection, err := Dial(options.Address, headers, subscriber)
		if err != nil {
			return s, err
		}
		subscriber.connection = connection
		s.subscribers = append(s.subscribers, subscriber)
		count := options.Streams * (index + 1) / options.Connections
		count -= options.Streams * index / options.Connections
		if err := subscriber.Open(count, options.SampleEvery, progressRequest); err != nil {
			return s, err
		}
		go func() { s.failed <- connection.Read() }()
	}
	deadline := time.Now().Add(openTimeout)
	for begun := 0; begun < options.Streams; {
		if err := s.failure(); err != nil {
			return s, err
		}
		if time.Now().After(deadline) {
			return s, fmt.Errorf("%d of %d streams have begun within %v", begun, options.Streams, openTimeout)
		}
		time.Sleep(5 * time.Millisecond)
		begun = 0
		s.each(func(subscriber *Subscriber) { begun += subscriber.begun })
	}
	return s, nil
}

func (s *Subscription) each(visit func(*Subscriber)) {
	for _, subscriber := range s.subscribers {
		subscriber.connection.mutex.Lock()
		visit(subscriber)
		subscriber.connection.mutex.Unlock()
	}
}

// Failures are what ended streams and connections, and how many; empty where all is well.
func (s *Subscription) Failures() map[string]uint64 {
	for {
		select {
		case err := <-s.failed:
			s.broken["connection ended: "+err.Error()]++
			continue
		default:
		}
		break
	}
	failures := maps.Clone(s.broken)
	s.each(func(subscriber *Subscriber) {
		for reason, count := range subscriber.failures {
			failures[reason] += count
		}
	})
	return failures
}

// failure is one of the failures.
func (s *Subscription) failure() error {
	for reason, count := range s.Failures() {
		return fmt.Errorf("%d times: %s", count, reason)
	}
	return nil
}

// Counts is how many events all streams together have seen, and the fewest and most on one.
func (s *Subscription) Counts() (sum, least, most uint64) {
	least = 1 << 63
	s.each(func(subscriber *Subscriber) {
		for _, stream := range subscriber.streams {
			sum += stream.events
			least, most = min(least, stream.events), max(most, stream.events)
		}
	})
	return sum, least, most
}

// Gaps is how many revisions were not the next on the sampled streams.
func (s *Subscription) Gaps() (gaps uint64) {
	s.each(func(subscriber *Subscriber) {
		for _, stream := range subscriber.streams {
			gaps += stream.gaps
		}
	})
	return gaps
}

// Close ends all connections.
func (s *Subscription) Close() {
	for _, subscriber := range s.subscribers {
		subscriber.connection.Close()
	}
}
