package main

import (
	"golang.org/x/net/http2"
)

// Caller keeps calls going on one connection: the Answers of a unary load.
type Caller struct {
	connection *Connection
	bodies     Bodies
	window     Window
	tally      *Tally
	// streams is how many calls a closed loop keeps in flight; 0 in an open one.
	streams int
	calls   map[uint32]*call
	free    []*call
	// waiting are the intended times of an open loop's calls that found no room.
	waiting []int64
	// onSend hears of each call: its name and its intended time.
	onSend func(name uint64, intended int64)
}

type call struct {
	name     uint64
	intended int64
	status   string
	body     []byte
}

// Arrive starts a call that is due since a moment, or queues it. The lock must be held.
func (c *Caller) Arrive(intended int64) {
	if len(c.waiting) > 0 || !c.connection.HasRoom() {
		c.waiting = append(c.waiting, intended)
		return
	}
	c.send(intended)
}

func (c *Caller) send(intended int64) {
	var started *call
	if last := len(c.free) - 1; last >= 0 {
		started, c.free = c.free[last], c.free[:last]
	} else {
		started = &call{}
	}
	started.intended, started.status, started.body = intended, "", started.body[:0]
	id := c.connection.Send(func(out []byte) []byte {
		out, started.name = c.bodies.Next(out)
		return out
	})
	c.calls[id] = started
	if c.onSend != nil {
		c.onSend(started.name, intended)
	}
}

// Room starts what may start.
func (c *Caller) Room() {
	for len(c.waiting) > 0 && c.connection.HasRoom() {
		c.send(c.waiting[0])
		c.waiting = c.waiting[1:]
	}
	for len(c.calls) < c.streams && c.connection.HasRoom() {
		at := now()
		if at >= c.window.To {
			return
		}
		c.send(at)
	}
}

// Headers of a response, or its trailers.
func (c *Caller) Headers(id uint32, fields *Fields, end bool) {
	current := c.calls[id]
	if current == nil {
		return
	}
	if fields.Status != "" {
		current.status = fields.Status
	}
	if end {
		c.finish(id, current, c.judge(current, fields))
	}
}

func (c *Caller) judge(current *call, trailers *Fields) (failure string) {
	switch {
	case current.status != "200":
		return "http " + current.status
	case trailers.GrpcStatus == "":
		return "no grpc-status"
	case trailers.GrpcStatus != "0":
		return trailers.describe()
	}
	if message, ok := unwrap(current.body); !ok || !c.bodies.IsAnswer(current.name, message) {
		return "wrong answer"
	}
	return ""
}

// Data of a response.
func (c *Caller) Data(id uint32, data []byte, end bool) {
	current := c.calls[id]
	if current == nil {
		return
	}
	current.body = append(current.body, data...)
	if end {
		c.finish(id, current, "no trailers")
	}
}

// Reset ends a call without an answer.
func (c *Caller) Reset(id uint32, code http2.ErrCode) bool {
	current := c.calls[id]
	if current != nil {
		c.finish(id, current, "reset "+code.String())
	}
	return current != nil
}

func (c *Caller) finish(id uint32, current *call, failure string) {
	delete(c.calls, id)
	c.free = append(c.free, current)
	if failure != "" {
		c.tally.fail(failure, 1)
		return
	}
	end := now()
	counted := end
	if c.streams == 0 {
		// An open loop counts what was due in the window, so that a late answer is not lost.
		counted = current.intended
	}
	c.tally.succeed(end-current.intended, c.window.has(counted))
}

// unanswered is how many calls are still due an answer. The lock must be held.
func (c *Caller) unanswered() int { return len(c.calls) + len(c.waiting) }
