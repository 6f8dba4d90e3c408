package main

// Arrivals say when each event arrived on each stream: with what the database knows of the commits, how long each
// delivery took. All streams begin before the first event, and so count the same ones.
type Arrivals struct {
	// FirstRevision of the events that were counted; 0 where a server numbers none.
	FirstRevision uint64 `json:"firstRevision"`
	// From and To are the window, in microseconds since 1970.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Streams hold, for each time that events arrived: how many there were by then, and the microseconds since 1970.
	Streams [][]arrival `json:"streams"`
}

func (s *Subscription) arrivals(window Window) *Arrivals {
	arrivals := &Arrivals{
		From: processStart.UnixMicro() + window.From/1000,
		To:   processStart.UnixMicro() + window.To/1000,
	}
	s.each(func(subscriber *Subscriber) {
		for _, stream := range subscriber.streams {
			arrivals.FirstRevision = max(arrivals.FirstRevision, stream.firstRevision)
			arrivals.Streams = append(arrivals.Streams, stream.arrivals)
		}
	})
	return arrivals
}
