package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/net/http2"
)

// Read hands frames to the connection's Answers until the connection ends. What was buffered meanwhile is
// written before each wait, so that a burst of answers costs one write.
func (c *Connection) Read() error {
	for {
		head, err := c.peek(frameHeaderBytes)
		if err != nil {
			return err
		}
		length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		frame, err := c.peek(frameHeaderBytes + length)
		if err != nil {
			return err
		}
		c.mutex.Lock()
		id := binary.BigEndian.Uint32(frame[5:]) & 0x7fffffff
		err = c.handle(http2.FrameType(frame[3]), http2.Flags(frame[4]), id, frame[frameHeaderBytes:])
		c.mutex.Unlock()
		if err != nil {
			return err
		}
		if _, err := c.reader.Discard(frameHeaderBytes + length); err != nil {
			return err
		}
	}
}

func (c *Connection) peek(size int) ([]byte, error) {
	if c.reader.Buffered() < size {
		c.mutex.Lock()
		err := c.Flush()
		c.mutex.Unlock()
		if err != nil {
			return nil, err
		}
	}
	return c.reader.Peek(size)
}

func (c *Connection) handle(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) error {
	switch kind {
	case http2.FrameData:
		return c.handleData(flags, id, payload)
	case http2.FrameHeaders:
		payload, err := unpad(payload, flags.Has(http2.FlagHeadersPadded))
		if err != nil {
			return err
		}
		if flags.Has(http2.FlagHeadersPriority) {
			payload = payload[5:]
		}
		return c.handleBlock(id, payload, flags.Has(http2.FlagHeadersEndHeaders), flags.Has(http2.FlagHeadersEndStream))
	case http2.FrameRSTStream:
		if c.answers.Reset(id, http2.ErrCode(binary.BigEndian.Uint32(payload))) {
			c.openStreams--
			c.answers.Room()
		}
	case http2.FrameSettings:
		c.handleSettings(flags, payload)
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			c.frame(http2.FramePing, http2.FlagPingAck, 0, payload)
		}
	case http2.FrameWindowUpdate:
		if id == 0 {
			c.sendWindow += int64(binary.BigEndian.Uint32(payload) & 0x7fffffff)
			c.answers.Room()
		}
	case http2.FrameGoAway:
		code := http2.ErrCode(binary.BigEndian.Uint32(payload[4:]))
		return fmt.Errorf("the server said GOAWAY: %v %q", code, payload[8:])
	case http2.FrameContinuation, http2.FramePushPromise:
		return fmt.Errorf("unexpected frame %v", kind)
	}
	return nil
}

func (c *Connection) handleData(flags http2.Flags, id uint32, payload []byte) error {
	c.unacknowledged += uint32(len(payload))
	if c.unacknowledged >= connectionWindow/2 {
		c.frame(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, c.unacknowledged))
		c.unacknowledged = 0
	}
	data, err := unpad(payload, flags.Has(http2.FlagDataPadded))
	if err != nil {
		return err
	}
	end := flags.Has(http2.FlagDataEndStream)
	if end {
		c.openStreams--
	}
	c.answers.Data(id, data, end)
	if end {
		c.answers.Room()
	}
	return nil
}

// handleBlock takes a whole header block. None of the servers here sends one of more than a frame (16 KiB).
func (c *Connection) handleBlock(id uint32, block []byte, whole, end bool) error {
	if !whole {
		return errors.New("headers over several frames are not supported")
	}
	c.fields = Fields{}
	if _, err := c.decoder.Write(block); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	if err := c.decoder.Close(); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	if end {
		c.openStreams--
	}
	c.answers.Headers(id, &c.fields, end)
	if end {
		c.answers.Room()
	}
	return nil
}

func unpad(payload []byte, padded bool) ([]byte, error) {
	if !padded {
		return payload, nil
	}
	if len(payload) == 0 || int(payload[0]) >= len(payload) {
		return nil, errors.New("wrong padding")
	}
	return payload[1 : len(payload)-int(payload[0])], nil
}
