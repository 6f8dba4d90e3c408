// Command load is the benchmarks' load generator: see README.md.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

const usage = "usage: load unary|http1|fanout|idle [flags] (-h after one of them lists its flags)"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("%s", usage)
	}
	commands := map[string]func([]string) (any, error){
		"unary":  runUnary,
		"http1":  runHTTP1,
		"fanout": runFanOut,
		"idle":   runIdle,
	}
	command := commands[arguments[0]]
	if command == nil {
		return fmt.Errorf("%s", usage)
	}
	report, err := command(arguments[1:])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}
