package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/net/http2"
)

// Subscriber holds event streams on one connection: the Answers of its streams.
type Subscriber struct {
	connection *Connection
	streams    []*stream
	window     Window
	// keepArrivals of all events of all streams, at the cost of their memory.
	keepArrivals bool
	// begun is how many streams have answered.
	begun    int
	failures map[string]uint64
	// sampled of the window's deliveries.
	delays sampledDelays
	// dueAt tells when the call was due that registered a user, by the number in the email; 0 if unknown.
	dueAt func(name uint64) int64
}

type sampledDelays struct{ sinceDue, sinceOccurred Histogram }

// Open starts a number of streams; every n-th of them, beginning with the first, is sampled.
func (s *Subscriber) Open(count, sampleEvery int, request []byte) error {
	s.connection.mutex.Lock()
	defer s.connection.mutex.Unlock()
	for index := range count {
		if !s.connection.HasRoom() {
			return fmt.Errorf("the server allows %d streams on a connection", s.connection.streamLimit)
		}
		s.streams = append(s.streams, &stream{sampled: sampleEvery > 0 && index%sampleEvery == 0})
		s.connection.Send(func(out []byte) []byte { return append(out, request...) })
	}
	return s.connection.Flush()
}

// The connection's streams are the odd numbers from 1 on.
func (s *Subscriber) stream(id uint32) *stream { return s.streams[(id-1)/2] }

func (s *Subscriber) begin(current *stream) {
	if !current.begun {
		current.begun = true
		s.begun++
	}
}

// Headers begin a stream or end it, which none should before it is told to.
func (s *Subscriber) Headers(id uint32, fields *Fields, end bool) {
	if end || fields.Status != "200" {
		s.failures["stream ended: "+fields.describe()]++
	}
	s.begin(s.stream(id))
}

// Data is messages, or parts of them.
func (s *Subscriber) Data(id uint32, data []byte, end bool) {
	current := s.stream(id)
	s.begin(current)
	if end {
		s.failures["stream ended without trailers"]++
	}
	before := current.events
	current.read(data, s.inspect)
	if s.keepArrivals && current.events > before {
		current.arrivals = append(current.arrivals, arrival{int64(current.events), time.Now().UnixMicro()})
	}
}

// inspect checks that revisions are dense, and measures how old the event is.
func (s *Subscriber) inspect(current *stream) {
	if current.message[0] != eventTag {
		return
	}
	if _, revision := field(current.message, 6); revision > 0 {
		if current.revision > 0 && revision != current.revision+1 {
			current.gaps++
		}
		if current.firstRevision == 0 {
			current.firstRevision = revision
		}
		current.revision = revision
	}
	arrived := now()
	user, _ := field(current.message, 3)
	email, _ := field(user, 2)
	due := s.dueAt(numberIn(email))
	if due == 0 || !s.window.has(due) {
		return
	}
	s.delays.sinceDue.Record(arrived - due)
	text, _ := field(current.message, 4)
	if occurred, err := time.Parse(time.RFC3339Nano, string(text)); err == nil {
		s.delays.sinceOccurred.Record(int64(time.Since(occurred)))
	}
}

// numberIn reads the number of `prefix-number@example.com`; 0 where there is none.
func numberIn(email []byte) uint64 {
	local, _, _ := bytes.Cut(email, []byte("@"))
	number, _ := strconv.ParseUint(string(local[bytes.LastIndexByte(local, '-')+1:]), 10, 64)
	return number
}

// Reset ends a stream, which none should.
func (s *Subscriber) Reset(_ uint32, code http2.ErrCode) bool {
	s.failures["stream reset: "+code.String()]++
	return true
}

// Room is of no interest: all streams are open.
func (s *Subscriber) Room() {}
