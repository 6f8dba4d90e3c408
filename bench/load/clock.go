package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var processStart = time.Now()

// now is the monotonic time in nanoseconds since the process started.
func now() int64 { return int64(time.Since(processStart)) }

// sleepUntil waits more precisely than time.Sleep, whose wake-ups may be a millisecond late in an idle process.
func sleepUntil(at int64) {
	for {
		left := at - now()
		if left <= 0 {
			return
		}
		duration := syscall.NsecToTimespec(left)
		// A signal ends it early: then it sleeps on.
		_ = syscall.Nanosleep(&duration, nil)
	}
}

// cpuSeconds is the processor time that this process has used.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// userHertz is the unit of /proc/<pid>/stat; Linux fixes it at 100 for programs (man 5 proc).
const userHertz = 100

// processCPUSeconds is the processor time of another process; 0 where it cannot be read.
func processCPUSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The command's name stands in brackets and may hold spaces: fields count from behind it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / userHertz
}

// watchCPU measures what a process uses within a window; 0 for no process.
func watchCPU(pid int, window Window) <-chan float64 {
	used := make(chan float64, 1)
	if pid == 0 {
		used <- 0
		return used
	}
	go func() {
		time.Sleep(time.Duration(window.From - now()))
		before := processCPUSeconds(pid)
		time.Sleep(time.Duration(window.To - now()))
		used <- processCPUSeconds(pid) - before
	}()
	return used
}

// Window is the span that counts, between warm-up and end, in nanoseconds as of now().
type Window struct{ From, To int64 }

// windowAfter begins after a warm-up from now on.
func windowAfter(warmUp, duration time.Duration) Window {
	from := now() + int64(warmUp)
	return Window{from, from + int64(duration)}
}

func (w Window) has(at int64) bool { return at >= w.From && at < w.To }

func (w Window) seconds() float64 { return float64(w.To-w.From) / 1e9 }
