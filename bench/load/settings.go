package main

import (
	"encoding/binary"
	"errors"

	"golang.org/x/net/http2"
)

var errNoSettings = errors.New("the server's first frame is not SETTINGS")

// awaitSettings reads until the server's settings and returns the size of its header table.
func (c *Connection) awaitSettings() (tableSize uint32, err error) {
	if err := c.Flush(); err != nil {
		return 0, err
	}
	tableSize = 4096
	head, err := c.reader.Peek(frameHeaderBytes)
	if err != nil {
		return 0, err
	}
	if http2.FrameType(head[3]) != http2.FrameSettings || head[4]&byte(http2.FlagSettingsAck) != 0 {
		return 0, errNoSettings
	}
	length := int(binary.BigEndian.Uint32(head) >> 8)
	frame, err := c.reader.Peek(frameHeaderBytes + length)
	if err != nil {
		return 0, err
	}
	for rest := frame[frameHeaderBytes:]; len(rest) >= 6; rest = rest[6:] {
		if http2.SettingID(binary.BigEndian.Uint16(rest)) == http2.SettingHeaderTableSize {
			tableSize = min(tableSize, binary.BigEndian.Uint32(rest[2:]))
		}
	}
	// Read handles the rest of the settings, since the frame has only been looked at.
	return tableSize, nil
}

func (c *Connection) handleSettings(flags http2.Flags, payload []byte) {
	if flags.Has(http2.FlagSettingsAck) {
		return
	}
	for ; len(payload) >= 6; payload = payload[6:] {
		if http2.SettingID(binary.BigEndian.Uint16(payload)) == http2.SettingMaxConcurrentStreams {
			c.streamLimit = binary.BigEndian.Uint32(payload[2:])
		}
	}
	c.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
	c.answers.Room()
}
