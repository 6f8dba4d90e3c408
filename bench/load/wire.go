package main

import (
	"bytes"
	"encoding/binary"
)

// appendField appends a length-delimited protobuf field.
func appendField(out []byte, number int, value []byte) []byte {
	out = binary.AppendUvarint(out, uint64(number)<<3|2)
	out = binary.AppendUvarint(out, uint64(len(value)))
	return append(out, value...)
}

// field finds a field of a protobuf message: the bytes of a length-delimited one, or the number of a varint.
// An absent field is nil and 0, as is anything behind bytes that are no protobuf.
func field(message []byte, number int) (value []byte, varint uint64) {
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return nil, 0
		}
		message = message[size:]
		skip := 0
		switch tag & 7 {
		case 0:
			varint, skip = binary.Uvarint(message)
			value = nil
		case 1:
			skip = 8
		case 2:
			length, size := binary.Uvarint(message)
			if size <= 0 || length > uint64(len(message)-size) {
				return nil, 0
			}
			skip = size + int(length)
			value, varint = message[size:skip], 0
		case 5:
			skip = 4
		}
		if skip <= 0 || skip > len(message) {
			return nil, 0
		}
		if int(tag>>3) == number {
			return value, varint
		}
		message = message[skip:]
	}
	return nil, 0
}

// prefixBytes is the size of what precedes a gRPC message: a flag (compressed) and a big-endian length.
const prefixBytes = 5

// unwrap returns the only message of a unary response.
func unwrap(body []byte) (message []byte, ok bool) {
	if len(body) < prefixBytes || body[0] != 0 {
		return nil, false
	}
	length := binary.BigEndian.Uint32(body[1:])
	return body[prefixBytes:], uint64(length) == uint64(len(body)-prefixBytes)
}

// hasJSONString tells whether a JSON text has a member with this value, with or without a space before it.
func hasJSONString(text, name, value []byte) bool {
	for {
		at := bytes.Index(text, name)
		if at < 0 {
			return false
		}
		text = text[at+len(name):]
		rest := bytes.TrimLeft(text, " ")
		if len(rest) > len(value)+1 && rest[0] == '"' && bytes.HasPrefix(rest[1:], value) && rest[len(value)+1] == '"' {
			return true
		}
	}
}
