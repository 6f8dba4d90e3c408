package main

import "math/bits"

// subBuckets per power of two bound the error of a quantile to 1/128, under 0.8 %.
const subBuckets = 128

// Histogram counts durations in nanoseconds, log-linearly, in constant memory. The zero value is empty.
type Histogram struct {
	counts [64 * subBuckets]uint64
	total  uint64
	max    int64
}

func bucketOf(nanoseconds int64) int {
	value := uint64(nanoseconds)
	shift := bits.Len64(value) - bits.Len64(subBuckets)
	if shift <= 0 {
		return int(value)
	}
	return shift*subBuckets + int(value>>shift)
}

// upperBound is the largest value that falls into a bucket.
func upperBound(bucket int) int64 {
	if bucket < 2*subBuckets {
		return int64(bucket)
	}
	shift := bucket/subBuckets - 1
	mantissa := int64(bucket - shift*subBuckets)
	return (mantissa+1)<<shift - 1
}

// Record counts one duration; negative ones count as zero.
func (h *Histogram) Record(nanoseconds int64) {
	nanoseconds = max(nanoseconds, 0)
	h.counts[bucketOf(nanoseconds)]++
	h.total++
	h.max = max(h.max, nanoseconds)
}

// Add counts everything that another histogram has counted.
func (h *Histogram) Add(other *Histogram) {
	for bucket, count := range other.counts {
		h.counts[bucket] += count
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Quantile is the value that a share of the durations does not exceed, in nanoseconds; 0 of none.
func (h *Histogram) Quantile(share float64) int64 {
	rank := uint64(share * float64(h.total))
	var seen uint64
	for bucket, count := range h.counts {
		seen += count
		if seen > rank {
			return min(upperBound(bucket), h.max)
		}
	}
	return h.max
}

// Quantiles are what reports show, in milliseconds.
type Quantiles struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

// Milliseconds summarises the histogram.
func (h *Histogram) Milliseconds() Quantiles {
	at := func(share float64) float64 { return float64(h.Quantile(share)) / 1e6 }
	return Quantiles{h.total, at(0.5), at(0.9), at(0.99), at(0.999), float64(h.max) / 1e6}
}
