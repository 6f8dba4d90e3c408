package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
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

func TestAValidationIsTrueAndOfTheTokensUser(t *testing.T) {
	bodies := &validations{tokens: []issuedToken{{userID: []byte("ada")}, {userID: []byte("bob")}}}
	valid := appendField([]byte{0x08, 1}, 2, []byte("bob"))
	if !bodies.IsAnswer(1, valid) {
		t.Error("a good answer is refused")
	}
	if bodies.IsAnswer(0, valid) || bodies.IsAnswer(1, nil) || bodies.IsAnswer(1, valid[2:]) || bodies.IsAnswer(1, valid[:2]) {
		t.Error("a bad answer is taken")
	}
}

func TestALoginHasBothTokens(t *testing.T) {
	bodies := &logins{}
	access := appendField(nil, 1, []byte("access"))
	if !bodies.IsAnswer(1, appendField(access, 2, []byte("refresh"))) || bodies.IsAnswer(1, access) || bodies.IsAnswer(1, nil) {
		t.Error("an answer is judged wrongly")
	}
}

func TestLoginsGoRoundTheAccountsOverAllConnections(t *testing.T) {
	counter := &atomic.Uint64{}
	var emails []string
	for range 2 {
		bodies := &logins{lookups: lookups{users: 3}, password: []byte("secret"), counter: counter}
		for range 2 {
			body, _ := bodies.Next(nil)
			email, _ := field(body, 1)
			password, _ := field(body, 2)
			if !bytes.Equal(password, []byte("secret")) {
				t.Errorf("the password is %q", password)
			}
			emails = append(emails, string(email))
		}
	}
	want := []string{"user-1@example.com", "user-2@example.com", "user-3@example.com", "user-1@example.com"}
	if !slices.Equal(emails, want) {
		t.Errorf("logins are of %v, want %v", emails, want)
	}
}

func TestTokensAreReadWithTheirUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	for text, count := range map[string]int{"a.b.c ada\nd.e.f bob\n": 2, "": 0, "a.b.c\n": 0} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens, err := readTokens(path)
		if len(tokens) != count || (err == nil) != (count > 0) {
			t.Errorf("%q: %d tokens and %v", text, len(tokens), err)
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
