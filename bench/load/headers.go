package main

import "golang.org/x/net/http2/hpack"

// requestHeaders are what gRPC clients send.
func requestHeaders(address, path string) []hpack.HeaderField {
	return []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: path},
		{Name: ":authority", Value: address},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "bench-load/1"},
		{Name: "te", Value: "trailers"},
	}
}

// encodeHeaders encodes the headers twice: the first request puts them into the server's table, all later ones
// are the same few indexes, as real clients send them.
func (c *Connection) encodeHeaders(headers []hpack.HeaderField, tableSize uint32) {
	var block blockWriter
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSizeLimit(tableSize)
	for _, target := range []*[]byte{&c.firstBlock, &c.laterBlock} {
		block = nil
		for _, header := range headers {
			// Writing to memory cannot fail.
			_ = encoder.WriteField(header)
		}
		*target = block
	}
}

type blockWriter []byte

func (b *blockWriter) Write(part []byte) (int, error) {
	*b = append(*b, part...)
	return len(part), nil
}
