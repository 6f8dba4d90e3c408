package main

import (
	"sync/atomic"
	"time"
)

// FanOutReport says what subscribers received of what was registered.
type FanOutReport struct {
	Streams int `json:"streams"`
	// Registered counts acknowledged calls of the whole run; each is one event for every stream.
	Registered uint64 `json:"registered"`
	// DeliveriesPerSecond of the window, over all streams.
	DeliveriesPerSecond float64 `json:"deliveriesPerSecond"`
	// ExpectedPerSecond is what the rate of registrations would come to.
	ExpectedPerSecond float64 `json:"expectedPerSecond"`
	// LeastEvents and MostEvents on one stream at the end: both equal Registered, or something was lost.
	LeastEvents uint64 `json:"leastEvents"`
	MostEvents  uint64 `json:"mostEvents"`
	// Gaps among the revisions on sampled streams.
	Gaps uint64 `json:"gaps"`
	// CatchUpMilliseconds from the last acknowledged call until every stream had every event.
	CatchUpMilliseconds float64 `json:"catchUpMs"`
	// SinceDue is from the moment a registration was due until its event arrived: it bounds the time from
	// commit to client from above. SinceOccurred is from the event's occurred_at, as the server says.
	SinceDue      Quantiles  `json:"sinceDueMs"`
	SinceOccurred Quantiles  `json:"sinceOccurredMs"`
	Calls         CallReport `json:"calls"`
	// StreamFailures are what ended streams, if anything did; some servers drop slow readers.
	StreamFailures map[string]uint64 `json:"streamFailures"`
	// Arrivals of every event on every stream, where asked for.
	Arrivals *Arrivals `json:"arrivals,omitempty"`
}

// catchUpTimeout is how long streams may take to receive the last event.
const catchUpTimeout = 15 * time.Second

func runFanOut(arguments []string) (any, error) {
	options := newCallOptions("fanout")
	streams := options.flags.Int("streams", 1000, "subscribers")
	subscribing := options.flags.Int("subscriber-connections", 20, "connections that carry the streams")
	sampleEvery := options.flags.Int("sample-every", 25, "look into every n-th stream of a connection")
	keepArrivals := options.flags.Bool("arrivals", false, "report when each event arrived on each stream")
	rate := options.flags.Float64("rate", 500, "registrations a second")
	if err := options.flags.Parse(arguments); err != nil {
		return nil, err
	}
	*options.body = "register"
	path, bodies, err := options.source(false)
	if err != nil {
		return nil, err
	}
	dueAt := make([]atomic.Int64, int(*rate*(*options.warmUp+*options.duration).Seconds()*1.2)+1000)
	// The window's place is known when all streams are open; nothing is looked into before.
	subscription, err := Subscribe(SubscriptionOptions{
		Address:     *options.address,
		Streams:     *streams,
		Connections: *subscribing,
		SampleEvery: *sampleEvery,
		DueAt: func(name uint64) int64 {
			if name >= uint64(len(dueAt)) {
				return 0
			}
			return dueAt[name].Load()
		},
		KeepArrivals: *keepArrivals,
	})
	defer subscription.Close()
	if err != nil {
		return nil, err
	}
	window := windowAfter(*options.warmUp, *options.duration)
	subscription.each(func(subscriber *Subscriber) { subscriber.window = window })
	inWindow := make(chan float64, 1)
	go func() { inWindow <- subscription.deliveriesIn(window) }()
	calls, err := UnaryLoad{
		Address:     *options.address,
		Path:        path,
		Connections: *options.connections,
		Rate:        *rate,
		Seed:        *options.seed,
		Window:      window,
		Bodies:      bodies,
		ServerPID:   *options.serverPID,
		OnSend: func(name uint64, due int64) {
			if name < uint64(len(dueAt)) {
				dueAt[name].Store(due)
			}
		},
	}.Run()
	if err != nil {
		return nil, err
	}
	report := FanOutReport{
		Streams:             *streams,
		Registered:          calls.OkInAll,
		DeliveriesPerSecond: <-inWindow / window.seconds(),
		ExpectedPerSecond:   *rate * float64(*streams),
		Calls:               calls,
	}
	subscription.finish(&report)
	if *keepArrivals {
		report.Arrivals = subscription.arrivals(window)
	}
	return report, nil
}

// deliveriesIn counts what arrives between the window's ends.
func (s *Subscription) deliveriesIn(window Window) float64 {
	sleepUntil(window.From)
	before, _, _ := s.Counts()
	sleepUntil(window.To)
	after, _, _ := s.Counts()
	return float64(after - before)
}

// finish waits until all streams have all events, or have had the time for it, and completes the report.
func (s *Subscription) finish(report *FanOutReport) {
	begin := now()
	for {
		report.StreamFailures = s.Failures()
		_, report.LeastEvents, report.MostEvents = s.Counts()
		report.CatchUpMilliseconds = float64(now()-begin) / 1e6
		done := report.LeastEvents >= report.Registered || len(report.StreamFailures) > 0
		if done || now()-begin > int64(catchUpTimeout) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	report.Gaps = s.Gaps()
	var delays sampledDelays
	s.each(func(subscriber *Subscriber) {
		delays.sinceDue.Add(&subscriber.delays.sinceDue)
		delays.sinceOccurred.Add(&subscriber.delays.sinceOccurred)
	})
	report.SinceDue = delays.sinceDue.Milliseconds()
	report.SinceOccurred = delays.sinceOccurred.Milliseconds()
}
