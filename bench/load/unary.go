package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

// settleTime is how long calls in flight may take to end after the last was sent.
const settleTime = 5 * time.Second

// UnaryLoad is gRPC calls over cleartext HTTP/2.
type UnaryLoad struct {
	Address     string
	Path        string
	Connections int
	// Streams in flight on each connection of a closed loop.
	Streams int
	// Rate in calls a second makes it an open loop; 0 a closed one.
	Rate    float64
	Poisson bool
	Seed    uint64
	Window  Window
	Bodies  func(connection int) Bodies
	OnSend  func(name uint64, intended int64)
	// ServerPID is the process whose processor time to measure; 0 for none.
	ServerPID int
}

// Run makes the calls until the window's end, waits for the last answers and sums up.
func (l UnaryLoad) Run() (CallReport, error) {
	callers := make([]*Caller, 0, l.Connections)
	failed := make(chan error, l.Connections)
	defer func() {
		for _, caller := range callers {
			caller.connection.Close()
		}
	}()
	for index := range l.Connections {
		caller := &Caller{
			bodies: l.Bodies(index),
			window: l.Window,
			tally:  newTally(),
			calls:  map[uint32]*call{},
			onSend: l.OnSend,
		}
		if l.Rate == 0 {
			caller.streams = l.Streams
		}
		connection, err := Dial(l.Address, requestHeaders(l.Address, l.Path), caller)
		if err != nil {
			return CallReport{}, err
		}
		caller.connection = connection
		callers = append(callers, caller)
		go func() { failed <- connection.Read() }()
	}
	serverCPU := watchCPU(l.ServerPID, l.Window)
	var lag *Quantiles
	if l.Rate > 0 {
		lag = l.arrive(callers)
	}
	if err := waitForAnswers(callers, l.Window.To, failed); err != nil {
		return CallReport{}, err
	}
	total := newTally()
	for _, caller := range callers {
		caller.connection.mutex.Lock()
		if unanswered := caller.unanswered(); unanswered > 0 {
			caller.tally.fail("unanswered", unanswered)
		}
		total.add(caller.tally)
		caller.connection.mutex.Unlock()
	}
	report := total.report(l.Window.seconds())
	report.SendLag = lag
	report.ServerCPUSeconds = <-serverCPU
	return report, nil
}

// arrive starts calls at the moments that the rate lays down, however slow the answers are, and returns how
// late it was itself. Latency counts from those moments: no omission is coordinated with a slow server.
func (l UnaryLoad) arrive(callers []*Caller) *Quantiles {
	runtime.LockOSThread()
	random := rand.New(rand.NewPCG(l.Seed, 0))
	gap := 1e9 / l.Rate
	var lags Histogram
	for at, turn := float64(now()), 0; int64(at) < l.Window.To; turn++ {
		sleepUntil(int64(at))
		lags.Record(now() - int64(at))
		caller := callers[turn%len(callers)]
		caller.connection.mutex.Lock()
		caller.Arrive(int64(at))
		// A connection that breaks is reported by its reader.
		_ = caller.connection.Flush()
		caller.connection.mutex.Unlock()
		if l.Poisson {
			at += gap * random.ExpFloat64()
		} else {
			at += gap
		}
	}
	quantiles := lags.Milliseconds()
	return &quantiles
}

func waitForAnswers(callers []*Caller, end int64, failed <-chan error) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("a connection ended: %w", err)
		case <-ticker.C:
		}
		at := now()
		if at < end {
			continue
		}
		unanswered := 0
		for _, caller := range callers {
			caller.connection.mutex.Lock()
			unanswered += caller.unanswered()
			caller.connection.mutex.Unlock()
		}
		if unanswered == 0 || at > end+int64(settleTime) {
			return nil
		}
	}
}
