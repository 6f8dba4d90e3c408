package edge

import (
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

func TestAFlagWinsOverTheEnvironmentAndThatOverTheDefault(t *testing.T) {
	environment := map[string]string{
		"EDGE_BRIDGE": "dns:///bridge:1", "EDGE_TLS_CA": "/ca.pem", "EDGE_MAX_STALENESS": "3s", "EDGE_LISTEN": "",
	}
	config, err := readConfig(environment, "-bridge", "dns:///bridge:2")
	if err != nil {
		t.Fatal(err)
	}
	if config.Bridge != "dns:///bridge:2" || config.TLSFiles.CA != "/ca.pem" ||
		config.MaxStaleness != 3*time.Second || config.Listen != "127.0.0.1:8081" || config.PoolSize != 4 {
		t.Errorf("got %+v", config)
	}
}

func TestTheKeyComesFromTheEnvironmentAlone(t *testing.T) {
	config, err := readConfig(map[string]string{"EDGE_API_KEY": " ubk_secret\n", "EDGE_TLS_SERVER_PINS": "a,b"})
	if err != nil || config.APIKey != "ubk_secret" || len(config.TLSFiles.ServerPins) != 2 {
		t.Errorf("got %+v, %v", config, err)
	}
	if _, err := readConfig(nil, "-api-key", "ubk_secret"); err == nil {
		t.Error("an argument was accepted that everybody on the machine can read")
	}
}

func TestAllFaultsAreListed(t *testing.T) {
	for want, arguments := range map[string][]string{
		"EDGE_POOL_SIZE":                      nil,
		"-pool-size must be at least 1":       {"-pool-size", "0"},
		"-deadline must be positive":          {"-pool-size", "1", "-deadline", "0"},
		"-cache-size must not be negative":    {"-pool-size", "1", "-cache-size", "-1"},
		"-max-staleness must be at least":     {"-pool-size", "1", "-max-staleness", "1ms"},
		"-tls-cert and -tls-key: set both or": {"-pool-size", "1", "-tls-cert", "cert.pem"},
		"unexpected argument":                 {"-pool-size", "1", "serve"},
	} {
		_, err := readConfig(map[string]string{"EDGE_POOL_SIZE": "many"}, arguments...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", arguments, err, want)
		}
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	if _, err := readConfig(nil, "-help"); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
}

func readConfig(environment map[string]string, arguments ...string) (Config, error) {
	lookup := func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}
	return ReadConfig(arguments, lookup, new(strings.Builder))
}
