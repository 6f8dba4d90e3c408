package userbridge_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

func TestMutualTLSLetsInWhoTheCAKnows(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	serverCert, serverKey := ours.issue(t, "bridge", x509.ExtKeyUsageServerAuth)
	clientCert, clientKey := ours.issue(t, "edge", x509.ExtKeyUsageClientAuth)
	strangerCert, strangerKey := theirs.issue(t, "stranger", x509.ExtKeyUsageClientAuth)
	bridge := bridgetest.Start(t, "TLS_CERT="+serverCert, "TLS_KEY="+serverKey, "TLS_CLIENT_CA="+ours.path)

	for name, test := range map[string]struct {
		files userbridge.TLSFiles
		want  codes.Code
	}{
		"both know each other":            {userbridge.TLSFiles{CA: ours.path, Cert: clientCert, Key: clientKey}, codes.OK},
		"the client shows no certificate": {userbridge.TLSFiles{CA: ours.path}, codes.Unavailable},
		"the client is a stranger":        {userbridge.TLSFiles{CA: ours.path, Cert: strangerCert, Key: strangerKey}, codes.Unavailable},
		"the bridge is a stranger":        {userbridge.TLSFiles{CA: theirs.path, Cert: clientCert, Key: clientKey}, codes.Unavailable},
		"the bridge has another name":     {userbridge.TLSFiles{CA: ours.path, Cert: clientCert, Key: clientKey, ServerName: "elsewhere"}, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			users := bridge.Dial(t, userbridge.WithTLSFiles(test.files)).Users()
			_, err := users.ListUsers(t.Context(), &usersv1.ListUsersRequest{})
			wantCode(t, err, test.want)
		})
	}
	t.Run("in plaintext", func(t *testing.T) {
		_, err := bridge.Dial(t).Users().ListUsers(t.Context(), &usersv1.ListUsersRequest{})
		wantCode(t, err, codes.Unavailable)
	})
}

func TestDialRefusesTLSFilesThatCannotWork(t *testing.T) {
	authority := newAuthority(t, "ours")
	cert, key := authority.issue(t, "edge", x509.ExtKeyUsageClientAuth)
	for name, files := range map[string]userbridge.TLSFiles{
		"a certificate without its key": {CA: authority.path, Cert: cert},
		"a missing CA":                  {CA: authority.path + ".missing"},
		"a CA that is none":             {CA: key},
		"a missing certificate":         {Cert: cert + ".missing", Key: key},
	} {
		t.Run(name, func(t *testing.T) {
			if conn, err := userbridge.Dial("dns:///127.0.0.1:1", userbridge.WithTLSFiles(files)); err == nil {
				_ = conn.Close()
				t.Error("Dial accepted it")
			}
		})
	}
}

// authority is a certificate authority for one test.
type authority struct {
	folder, path string
	certificate  *x509.Certificate
	key          *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	template := newTemplate(name)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	a.certificate, a.key = a.sign(t, template)
	a.path = a.write(t, name+".pem", "CERTIFICATE", a.certificate.Raw)
	return a
}

// issue returns the paths of a certificate for 127.0.0.1 and of its key.
func (a *authority) issue(t *testing.T, name string, usage x509.ExtKeyUsage) (certPath, keyPath string) {
	t.Helper()
	template := newTemplate(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	certificate, key := a.sign(t, template)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return a.write(t, name+".pem", "CERTIFICATE", certificate.Raw), a.write(t, name+".key", "PRIVATE KEY", der)
}

func newTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
}

// sign signs a template with the authority's key, or with its own where the authority has none yet.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.folder, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
