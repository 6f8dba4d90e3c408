package main

import "encoding/binary"

// eventTag begins every encoded UserEvent that has an id; a progress message has none.
const eventTag = 0x0a

// stream counts messages without decoding them, except a sampled one, which is assembled and looked into.
type stream struct {
	begun    bool
	sampled  bool
	events   uint64
	revision uint64
	gaps     uint64
	// needed bytes of the present message are still to come.
	needed  uint32
	isFirst bool
	// isEvent says what the present message is, once its first byte has arrived.
	isEvent bool
	prefix  []byte
	message []byte
	// firstRevision is of the first event, on a sampled stream.
	firstRevision uint64
	arrivals      []arrival
}

// arrival says how many events had arrived whole, and when (microseconds since 1970, to compare with other
// processes of this machine).
type arrival [2]int64

// read counts the messages in what arrived, and hands those of a sampled stream to inspect when they are whole.
func (s *stream) read(data []byte, inspect func(*stream)) {
	for len(data) > 0 {
		if s.needed == 0 {
			data = s.readPrefix(data)
			continue
		}
		size := min(uint32(len(data)), s.needed)
		if s.isFirst {
			s.isFirst = false
			s.isEvent = data[0] == eventTag
		}
		s.needed -= size
		if s.needed == 0 && s.isEvent {
			s.events++
		}
		if s.sampled {
			s.message = append(s.message, data[:size]...)
			if s.needed == 0 {
				inspect(s)
				s.message = s.message[:0]
			}
		}
		data = data[size:]
	}
}

// readPrefix takes a message's length, which may arrive in parts, and returns the rest.
func (s *stream) readPrefix(data []byte) []byte {
	prefix := data
	if len(s.prefix) > 0 || len(data) < prefixBytes {
		missing := min(prefixBytes-len(s.prefix), len(data))
		s.prefix = append(s.prefix, data[:missing]...)
		data = data[missing:]
		if len(s.prefix) < prefixBytes {
			return data
		}
		prefix = s.prefix
		s.prefix = s.prefix[:0]
	} else {
		data = data[prefixBytes:]
	}
	s.needed = binary.BigEndian.Uint32(prefix[1:])
	s.isFirst = true
	return data
}
