package main

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
)

// Bodies makes requests and knows their right answers. Each connection has its own.
type Bodies interface {
	// Next appends a request message to out, and names it.
	Next(out []byte) (body []byte, name uint64)
	// IsAnswer tells whether a response message answers the request of that name.
	IsAnswer(name uint64, message []byte) bool
}

// lookups asks GetUser for the emails of seeded users, uniformly at random.
type lookups struct {
	random  *rand.Rand
	users   uint64
	json    bool
	scratch []byte
}

func (l *lookups) email(name uint64) []byte {
	l.scratch = append(l.scratch[:0], "user-"...)
	l.scratch = strconv.AppendUint(l.scratch, name, 10)
	l.scratch = append(l.scratch, "@example.com"...)
	return l.scratch
}

func (l *lookups) Next(out []byte) ([]byte, uint64) {
	name := l.random.Uint64N(l.users) + 1
	email := l.email(name)
	if !l.json {
		return appendField(out, 1, email), name
	}
	out = append(out, `{"email":"`...)
	out = append(out, email...)
	return append(out, `"}`...), name
}

var jsonEmail = []byte(`"email":`)

func (l *lookups) IsAnswer(name uint64, message []byte) bool {
	email := l.email(name)
	if l.json {
		return hasJSONString(message, jsonEmail, email)
	}
	user, _ := field(message, 1)
	found, _ := field(user, 2)
	return bytes.Equal(found, email)
}

// registrations registers users who differ from one another, over all connections.
type registrations struct {
	prefix  string
	counter *atomic.Uint64
	json    bool
	scratch []byte
}

func (r *registrations) email(name uint64) []byte {
	r.scratch = append(r.scratch[:0], r.prefix...)
	r.scratch = append(r.scratch, '-')
	r.scratch = strconv.AppendUint(r.scratch, name, 10)
	r.scratch = append(r.scratch, "@example.com"...)
	return r.scratch
}

func (r *registrations) Next(out []byte) ([]byte, uint64) {
	name := r.counter.Add(1)
	email := r.email(name)
	username := strconv.AppendUint(append([]byte(r.prefix), '_'), name, 10)
	if !r.json {
		return appendField(appendField(out, 1, email), 2, username), name
	}
	out = append(append(out, `{"email":"`...), email...)
	out = append(append(out, `","username":"`...), username...)
	return append(out, `"}`...), name
}

func (r *registrations) IsAnswer(name uint64, message []byte) bool {
	email := r.email(name)
	if r.json {
		return hasJSONString(message, jsonEmail, email)
	}
	found, _ := field(message, 2)
	return bytes.Equal(found, email)
}

// fixed sends the same bytes each time and takes any message for an answer.
type fixed struct{ body []byte }

func (f *fixed) Next(out []byte) ([]byte, uint64) { return append(out, f.body...), 0 }
func (f *fixed) IsAnswer(_ uint64, _ []byte) bool { return true }
