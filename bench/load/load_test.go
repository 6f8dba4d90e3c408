package main

import (
	"math"
	"slices"
	"testing"
)

func TestHistogramQuantilesAreWithinOnePercent(t *testing.T) {
	var histogram Histogram
	var values []int64
	for index := range int64(10_000) {
		value := index * index * 37
		values = append(values, value)
		histogram.Record(value)
	}
	for _, share := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		want := values[int(share*float64(len(values)))]
		got := histogram.Quantile(share)
		if math.Abs(float64(got-want)) > 0.01*float64(want)+1 {
			t.Errorf("quantile %v is %d, want about %d", share, got, want)
		}
	}
	if histogram.Quantile(1) != slices.Max(values) {
		t.Errorf("the maximum is %d, want %d", histogram.Quantile(1), slices.Max(values))
	}
}

func TestAnswersAreChecked(t *testing.T) {
	binary := &lookups{users: 10}
	answer := appendField(nil, 1, appendField(appendField(nil, 1, []byte("id")), 2, []byte("user-7@example.com")))
	if !binary.IsAnswer(7, answer) || binary.IsAnswer(70, answer) || binary.IsAnswer(7, nil) {
		t.Error("a protobuf answer is judged wrongly")
	}
	json := &lookups{users: 10, json: true}
	for _, text := range []string{`{"user":{"email":"user-7@example.com"}}`, `{"user": {"email": "user-7@example.com"}}`} {
		if !json.IsAnswer(7, []byte(text)) || json.IsAnswer(70, []byte(text)) {
			t.Errorf("%s is judged wrongly", text)
		}
	}
}

func TestAnEventArrivesWithItsLastByte(t *testing.T) {
	subscriber := &Subscriber{keepArrivals: true, failures: map[string]uint64{}, streams: []*stream{{}}}
	event := appendField(nil, 1, []byte("id"))
	wire := append([]byte{0, 0, 0, 0, byte(len(event))}, event...)
	subscriber.Data(1, wire[:len(wire)-1], false)
	if count := len(subscriber.streams[0].arrivals); count != 0 {
		t.Errorf("%d arrivals of an event that is not whole", count)
	}
	subscriber.Data(1, append(wire[len(wire)-1:], wire...), false)
	if arrivals := subscriber.streams[0].arrivals; len(arrivals) != 1 || arrivals[0][0] != 2 || arrivals[0][1] == 0 {
		t.Errorf("arrivals are %v, want one of two events", arrivals)
	}
}

func TestStreamsCountEventsHoweverTheyAreCut(t *testing.T) {
	event := appendField(nil, 1, []byte("id"))
	progress := appendField(nil, 2, []byte("progress"))
	var wire []byte
	for _, message := range [][]byte{progress, event, event, progress, event} {
		wire = append(wire, 0, 0, 0, 0, byte(len(message)))
		wire = append(wire, message...)
	}
	for size := 1; size <= len(wire); size++ {
		inspected := 0
		sampled := &stream{sampled: true}
		for part := range slices.Chunk(wire, size) {
			sampled.read(part, func(*stream) { inspected++ })
		}
		if sampled.events != 3 || inspected != 5 {
			t.Fatalf("cut into %d: %d events and %d messages, want 3 and 5", size, sampled.events, inspected)
		}
	}
}
