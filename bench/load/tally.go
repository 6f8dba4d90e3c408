package main

// Tally is what one connection has seen.
type Tally struct {
	ok        uint64
	okInAll   uint64
	failures  map[string]uint64
	latencies Histogram
}

func newTally() *Tally { return &Tally{failures: map[string]uint64{}} }

func (t *Tally) succeed(nanoseconds int64, inWindow bool) {
	t.okInAll++
	if inWindow {
		t.ok++
		t.latencies.Record(nanoseconds)
	}
}

func (t *Tally) fail(reason string, count int) { t.failures[reason] += uint64(count) }

func (t *Tally) add(other *Tally) {
	t.ok += other.ok
	t.okInAll += other.okInAll
	for reason, count := range other.failures {
		t.failures[reason] += count
	}
	t.latencies.Add(&other.latencies)
}

// CallReport is the outcome of a load of calls. Times are in milliseconds unless named otherwise.
type CallReport struct {
	Ok uint64 `json:"ok"`
	// OkInAll counts those outside the window, too.
	OkInAll uint64 `json:"okInAll"`
	// Failed counts those of the warm-up too: none is expected at any time.
	Failed    uint64            `json:"failed"`
	Failures  map[string]uint64 `json:"failures"`
	Seconds   float64           `json:"seconds"`
	PerSecond float64           `json:"perSecond"`
	Latency   Quantiles         `json:"latencyMs"`
	SendLag   *Quantiles        `json:"sendLagMs,omitempty"`
	// ServerCPUSeconds of the window, where a process was named.
	ServerCPUSeconds float64 `json:"serverCpuSeconds"`
	// CPUSeconds of the generator itself, from its start.
	CPUSeconds float64 `json:"generatorCpuSeconds"`
}

func (t *Tally) report(seconds float64) CallReport {
	report := CallReport{
		Ok:         t.ok,
		OkInAll:    t.okInAll,
		Failures:   t.failures,
		Seconds:    seconds,
		PerSecond:  float64(t.ok) / seconds,
		Latency:    t.latencies.Milliseconds(),
		CPUSeconds: cpuSeconds(),
	}
	for _, count := range t.failures {
		report.Failed += count
	}
	return report
}
