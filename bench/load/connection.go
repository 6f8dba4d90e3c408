package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	frameHeaderBytes = 9
	// Windows that no run here uses up on one stream; the connection's is topped up.
	streamWindow     = 1 << 30
	connectionWindow = 1 << 30
)

// Answers receives what arrives for a connection's streams. All calls hold the connection's lock.
type Answers interface {
	// Headers are a response's headers or, at the end, its trailers.
	Headers(id uint32, fields *Fields, end bool)
	// Data is only valid during the call.
	Data(id uint32, data []byte, end bool)
	// Reset says that the server gave the stream up; it tells whether the stream was still open.
	Reset(id uint32, code http2.ErrCode) bool
	// Room says that more requests may be sent.
	Room()
}

// Fields are the header fields that matter here; empty where absent.
type Fields struct{ Status, GrpcStatus, GrpcMessage string }

func (f *Fields) describe() string {
	if f.GrpcStatus == "" {
		return "http " + f.Status
	}
	message, err := url.PathUnescape(f.GrpcMessage)
	if err != nil {
		message = f.GrpcMessage
	}
	return strings.TrimSpace("grpc-status " + f.GrpcStatus + " " + message)
}

// Connection is a cleartext HTTP/2 connection that sends one kind of request. It writes frames by hand and reads
// them in place: the less the generator costs, the more of a shared machine the server has.
type Connection struct {
	mutex   sync.Mutex
	socket  net.Conn
	reader  *bufio.Reader
	out     []byte
	answers Answers
	decoder *hpack.Decoder
	fields  Fields

	firstBlock, laterBlock []byte
	nextID                 uint32
	sendWindow             int64
	streamLimit            uint32
	openStreams            uint32
	unacknowledged         uint32
}

// Dial connects, exchanges settings and leaves the connection ready for requests with these headers.
func Dial(address string, headers []hpack.HeaderField, answers Answers) (*Connection, error) {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &Connection{
		socket:      socket,
		reader:      bufio.NewReaderSize(socket, 1<<18),
		answers:     answers,
		nextID:      1,
		sendWindow:  65535,
		streamLimit: 1 << 30,
	}
	c.decoder = hpack.NewDecoder(4096, c.keep)
	c.out = append(c.out, http2.ClientPreface...)
	settings := binary.BigEndian.AppendUint16(nil, uint16(http2.SettingInitialWindowSize))
	settings = binary.BigEndian.AppendUint32(settings, streamWindow)
	settings = binary.BigEndian.AppendUint16(settings, uint16(http2.SettingEnablePush))
	settings = binary.BigEndian.AppendUint32(settings, 0)
	c.frame(http2.FrameSettings, 0, 0, settings)
	c.frame(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, connectionWindow))
	tableSize, err := c.awaitSettings()
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("settings: %w", err)
	}
	c.encodeHeaders(headers, tableSize)
	return c, nil
}

func (c *Connection) keep(field hpack.HeaderField) {
	switch field.Name {
	case ":status":
		c.fields.Status = field.Value
	case "grpc-status":
		c.fields.GrpcStatus = field.Value
	case "grpc-message":
		c.fields.GrpcMessage = field.Value
	}
}

func (c *Connection) frame(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	c.out = appendFrameHeader(c.out, kind, flags, id, len(payload))
	c.out = append(c.out, payload...)
}

func appendFrameHeader(out []byte, kind http2.FrameType, flags http2.Flags, id uint32, length int) []byte {
	out = append(out, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(out, id)
}

// HasRoom tells whether a small request may be sent now. The lock must be held.
func (c *Connection) HasRoom() bool {
	return c.openStreams < c.streamLimit && c.sendWindow >= maxRequestBytes
}

// maxRequestBytes bounds a request's data, so that one frame carries it.
const maxRequestBytes = 4096

// Send buffers a request of one gRPC message, which write appends, and returns its stream's number. The lock
// must be held, and there must be room.
func (c *Connection) Send(write func(out []byte) []byte) uint32 {
	id := c.nextID
	block := c.laterBlock
	if id == 1 {
		block = c.firstBlock
	}
	c.nextID += 2
	c.openStreams++
	c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, block)
	start := len(c.out)
	c.out = appendFrameHeader(c.out, http2.FrameData, http2.FlagDataEndStream, id, 0)
	c.out = append(c.out, 0, 0, 0, 0, 0)
	c.out = write(c.out)
	length := len(c.out) - start - frameHeaderBytes
	c.out[start+1], c.out[start+2] = byte(length>>8), byte(length)
	binary.BigEndian.PutUint32(c.out[start+frameHeaderBytes+1:], uint32(length-prefixBytes))
	c.sendWindow -= int64(length)
	return id
}

// Flush writes what is buffered. The lock must be held.
func (c *Connection) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.socket.Write(c.out)
	c.out = c.out[:0]
	return err
}

// Close ends the connection, and with it a Read.
func (c *Connection) Close() { c.socket.Close() }
