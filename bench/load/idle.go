package main

import (
	"encoding/json"
	"flag"
	"io"
	"os"
)

// IdleReport is the line that says that all streams are open, and the one at the end.
type IdleReport struct {
	Streams     int    `json:"streams"`
	Connections int    `json:"connections"`
	Events      uint64 `json:"events"`
}

// runIdle opens streams, says so, and holds them until standard input ends.
func runIdle(arguments []string) (any, error) {
	flags := flag.NewFlagSet("idle", flag.ExitOnError)
	address := flags.String("address", "127.0.0.1:8080", "host:port of the server")
	streams := flags.Int("streams", 10_000, "subscribers")
	connections := flags.Int("subscriber-connections", 100, "connections that carry the streams")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	subscription, err := Subscribe(SubscriptionOptions{
		Address:     *address,
		Streams:     *streams,
		Connections: *connections,
		DueAt:       func(uint64) int64 { return 0 },
	})
	defer subscription.Close()
	if err != nil {
		return nil, err
	}
	report := IdleReport{Streams: *streams, Connections: *connections}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return nil, err
	}
	report.Events, _, _ = subscription.Counts()
	return report, subscription.failure()
}
