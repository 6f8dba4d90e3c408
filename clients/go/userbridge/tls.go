package userbridge

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
)

// TLSFiles names PEM files for [WithTLSFiles].
type TLSFiles struct {
	// CA signs the bridge's certificate; empty means the system's authorities.
	CA string
	// Cert and Key are the client's own certificate for mutual TLS; both or neither. They are read again at
	// each handshake, so that a renewed certificate needs no restart.
	Cert, Key string
	// ServerName is expected in the bridge's certificate; empty means the host of the target.
	ServerName string
	// ServerPins are SHA-256 digests of the public keys (SubjectPublicKeyInfo) that the bridge's certificate may have,
	// in base64, as TLS_CLIENT_SPKI_PINS has those of clients; empty means any. The certificate must be good besides.
	ServerPins []string
}

var errUnpinned = errors.New("userbridge: the bridge's certificate has a public key that is not pinned")

func (f TLSFiles) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read the CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", f.CA)
		}
	}
	if len(f.ServerPins) > 0 {
		pins, err := decodePins(f.ServerPins)
		if err != nil {
			return nil, err
		}
		// Unlike VerifyPeerCertificate it is also called where a session is resumed.
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if pins[sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)] {
				return nil
			}
			return errUnpinned
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a client certificate needs both its certificate and its key")
	}
	if f.Cert == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) {
		certificate, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("load the client certificate: %w", err)
		}
		return &certificate, nil
	}
	// A wrong path should fail the start, not the first call.
	if _, err := load(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}

func decodePins(texts []string) (map[[sha256.Size]byte]bool, error) {
	pins := map[[sha256.Size]byte]bool{}
	for _, text := range texts {
		digest, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "sha256/"))
		if err != nil || len(digest) != sha256.Size {
			return nil, fmt.Errorf("a pin is the SHA-256 digest of a public key in base64, not %q", text)
		}
		pins[[sha256.Size]byte(digest)] = true
	}
	return pins, nil
}
