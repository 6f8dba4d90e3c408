package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// HTTP1Load is Connect calls in JSON over HTTP/1.1: one in flight on each kept-alive connection.
type HTTP1Load struct {
	Address     string
	Path        string
	Connections int
	Window      Window
	Bodies      func(connection int) Bodies
	// ServerPID is the process whose processor time to measure; 0 for none.
	ServerPID int
}

// Run makes the calls until the window's end and sums up.
func (l HTTP1Load) Run() (CallReport, error) {
	tallies := make([]*Tally, l.Connections)
	errs := make([]error, l.Connections)
	serverCPU := watchCPU(l.ServerPID, l.Window)
	var group sync.WaitGroup
	for index := range l.Connections {
		tallies[index] = newTally()
		group.Go(func() { errs[index] = l.converse(l.Bodies(index), tallies[index]) })
	}
	group.Wait()
	total := newTally()
	for index, tally := range tallies {
		if errs[index] != nil {
			return CallReport{}, fmt.Errorf("a connection ended: %w", errs[index])
		}
		total.add(tally)
	}
	report := total.report(l.Window.seconds())
	report.ServerCPUSeconds = <-serverCPU
	return report, nil
}

func (l HTTP1Load) converse(bodies Bodies, tally *Tally) error {
	socket, err := net.Dial("tcp", l.Address)
	if err != nil {
		return err
	}
	defer socket.Close()
	reader := bufio.NewReaderSize(socket, 1<<15)
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"Connect-Protocol-Version: 1\r\nContent-Length: ", l.Path, l.Address)
	var request, body, answer []byte
	for {
		start := now()
		if start >= l.Window.To {
			return nil
		}
		var name uint64
		body, name = bodies.Next(body[:0])
		request = append(strconv.AppendInt(append(request[:0], head...), int64(len(body)), 10), "\r\n\r\n"...)
		request = append(request, body...)
		_ = socket.SetDeadline(time.Now().Add(settleTime))
		if _, err := socket.Write(request); err != nil {
			return err
		}
		var status string
		status, answer, err = readResponse(reader, answer[:0])
		end := now()
		switch {
		case err != nil:
			return err
		case status != "200":
			tally.fail("http "+status, 1)
		case !bodies.IsAnswer(name, answer):
			tally.fail("wrong answer", 1)
		default:
			tally.succeed(end-start, l.Window.has(end))
		}
	}
}

// readResponse appends the body to the buffer. The body must be sized or chunked.
func readResponse(reader *bufio.Reader, buffer []byte) (status string, body []byte, err error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return "", buffer, err
	}
	if len(line) < 12 {
		return "", buffer, fmt.Errorf("no status line: %q", line)
	}
	status = string(line[9:12])
	length, chunked := 0, false
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return "", buffer, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("content-length")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		case len(name) == 17 && bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		}
		if err != nil {
			return "", buffer, err
		}
	}
	if !chunked {
		body, err = readExactly(reader, buffer, length)
		return status, body, err
	}
	for body = buffer; ; {
		size, err := reader.ReadString('\n')
		if err != nil {
			return "", body, err
		}
		length, err := strconv.ParseUint(strings.TrimRight(size, "\r\n"), 16, 31)
		if err != nil {
			return "", body, err
		}
		if body, err = readExactly(reader, body, int(length)); err != nil {
			return "", body, err
		}
		if _, err := reader.Discard(2); err != nil || length == 0 {
			return status, body, err
		}
	}
}

func readExactly(reader *bufio.Reader, buffer []byte, length int) ([]byte, error) {
	start := len(buffer)
	buffer = append(buffer, make([]byte, length)...)
	_, err := io.ReadFull(reader, buffer[start:])
	return buffer, err
}
