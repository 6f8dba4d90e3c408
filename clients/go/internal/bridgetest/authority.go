package bridgetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a certificate authority for one test.
type Authority struct {
	// Path is of its certificate.
	Path string

	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Certificate names the PEM files of a certificate and its key.
type Certificate struct {
	Cert, Key string
	// Pin is the SHA-256 digest of its public key, in base64.
	Pin string

	key *ecdsa.PrivateKey
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{folder: t.TempDir()}
	template := newTemplate(name)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	a.key = newKey(t)
	a.certificate = a.sign(t, template, template, &a.key.PublicKey)
	a.Path = a.write(t, name+".pem", "CERTIFICATE", a.certificate.Raw)
	return a
}

// IssueServer makes a certificate for 127.0.0.1.
func (a *Authority) IssueServer(t testing.TB, name string) Certificate {
	t.Helper()
	template := newTemplate(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	return a.issue(t, template, newKey(t))
}

// IssueClient makes a client's certificate with the URIs, e.g. a SPIFFE ID.
func (a *Authority) IssueClient(t testing.TB, name string, uris ...string) Certificate {
	t.Helper()
	return a.IssueClientFor(t, Certificate{key: newKey(t)}, name, uris...)
}

// IssueClientFor makes a client's certificate for a key that another one has.
func (a *Authority) IssueClientFor(t testing.TB, other Certificate, name string, uris ...string) Certificate {
	t.Helper()
	template := newTemplate(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, text := range uris {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	return a.issue(t, template, other.key)
}

func (a *Authority) issue(t testing.TB, template *x509.Certificate, key *ecdsa.PrivateKey) Certificate {
	t.Helper()
	name := template.Subject.CommonName
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certificate := a.sign(t, template, a.certificate, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return Certificate{
		Cert: a.write(t, name+".pem", "CERTIFICATE", certificate.Raw),
		Key:  a.write(t, name+".key", "PRIVATE KEY", der),
		Pin:  base64.StdEncoding.EncodeToString(digest[:]),
		key:  key,
	}
}

func (a *Authority) sign(t testing.TB, template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func (a *Authority) write(t testing.TB, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.folder, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
}
