package edge

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

// Config is everything the edge can be told from outside.
type Config struct {
	Bridge       string
	Listen       string
	TLS          bool
	TLSFiles     userbridge.TLSFiles
	APIKey       string
	PoolSize     int
	Deadline     time.Duration
	CursorFile   string
	CacheSize    int
	MaxStaleness time.Duration
}

const (
	environmentPrefix = "EDGE_"
	apiKeyVariable    = environmentPrefix + "API_KEY"
)

// ReadConfig reads flags, and for those that are not given the environment: -tls-ca is EDGE_TLS_CA. It
// returns [flag.ErrHelp] where help was asked for and has been written to output.
//
// The API key is read from EDGE_API_KEY alone: everybody on the machine can read arguments.
func ReadConfig(arguments []string, lookup func(string) (string, bool), output io.Writer) (Config, error) {
	var config Config
	flags := flag.NewFlagSet("edge", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&config.Bridge, "bridge", "dns:///127.0.0.1:8080", "the bridge, as a gRPC `target`")
	flags.StringVar(&config.Listen, "listen", "127.0.0.1:8081", "the `address` to serve HTTP on")
	flags.BoolVar(&config.TLS, "tls", false, "reach the bridge by TLS; a -tls-… file means so too")
	flags.StringVar(&config.TLSFiles.CA, "tls-ca", "", "`file` with the authority that signed the bridge's certificate (default the system's)")
	flags.StringVar(&config.TLSFiles.Cert, "tls-cert", "", "`file` with the client certificate, for mutual TLS")
	flags.StringVar(&config.TLSFiles.Key, "tls-key", "", "`file` with the client certificate's key")
	flags.StringVar(&config.TLSFiles.ServerName, "tls-server-name", "", "the `name` in the bridge's certificate (default the target's host)")
	flags.Func("tls-server-pins", "SHA-256 of the bridge's public `keys` in base64, separated by commas (default any)", func(text string) error {
		config.TLSFiles.ServerPins = strings.Split(text, ",")
		return nil
	})
	flags.IntVar(&config.PoolSize, "pool-size", 4, "connections to the bridge")
	flags.DurationVar(&config.Deadline, "deadline", 5*time.Second, "how long a request may take")
	flags.StringVar(&config.CursorFile, "cursor-file", "", "`file` that keeps the place in the event stream, so that the log of events has no gap over a restart; the cache needs none")
	flags.IntVar(&config.CacheSize, "cache-size", 10_000, "users in the read cache; 0 for no cache")
	flags.DurationVar(&config.MaxStaleness, "max-staleness", 2*time.Second, "the cache answers only with what was true this long ago or later")
	flags.Usage = func() {
		_, _ = fmt.Fprint(output, "An HTTP edge in front of a user bridge.\n\nEach flag can be given by the environment: -tls-ca as EDGE_TLS_CA.\nThe API key to show to the bridge is given by the environment alone, as EDGE_API_KEY.\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err := readEnvironment(flags, lookup); err != nil {
		return Config{}, err
	}
	key, _ := lookup(apiKeyVariable)
	config.APIKey = strings.TrimSpace(key)
	return config, config.check()
}

func readEnvironment(flags *flag.FlagSet, lookup func(string) (string, bool)) error {
	given := map[string]bool{}
	flags.Visit(func(flag *flag.Flag) { given[flag.Name] = true })
	var faults []error
	flags.VisitAll(func(flag *flag.Flag) {
		name := environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if value, ok := lookup(name); ok && value != "" && !given[flag.Name] {
			if err := flags.Set(flag.Name, value); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(faults...)
}

func (c *Config) check() error {
	var faults []error
	fail := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, errors.New(text))
		}
	}
	fail(c.PoolSize < 1, "-pool-size must be at least 1")
	fail(c.Deadline <= 0, "-deadline must be positive")
	fail(c.CacheSize < 0, "-cache-size must not be negative")
	fail(c.MaxStaleness < minProgressInterval, fmt.Sprintf("-max-staleness must be at least %s", minProgressInterval))
	fail((c.TLSFiles.Cert == "") != (c.TLSFiles.Key == ""), "-tls-cert and -tls-key: set both or neither")
	return errors.Join(faults...)
}

func (c *Config) dialOptions() []userbridge.Option {
	options := []userbridge.Option{
		userbridge.WithPoolSize(c.PoolSize),
		userbridge.WithDefaultDeadline(c.Deadline),
	}
	files := c.TLSFiles
	if c.TLS || files.CA != "" || files.Cert != "" || files.ServerName != "" || len(files.ServerPins) > 0 {
		options = append(options, userbridge.WithTLSFiles(files))
	}
	if c.APIKey != "" {
		options = append(options, userbridge.WithAPIKey(c.APIKey))
	}
	return options
}
