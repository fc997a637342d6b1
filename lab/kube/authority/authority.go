// Package authority says who is who in a cluster of the lab: it has the key of the certificates, and that of the service
// accounts' tokens, so that a test can sign what the API server itself would not.
package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// validity is how long certificates are valid: longer than any suite runs.
const validity = 24 * time.Hour

// serialBits is as long as RFC 5280 §4.1.2.2 lets a serial number be.
const serialBits = 159

// tokenKeyBits is the size of the key for tokens, which is Kubernetes' own choice (RS256).
const tokenKeyBits = 2048

// Authority has both keys. It does not change once made, and is safe for concurrent use.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	tokens      *rsa.PrivateKey
}

// Pair is a certificate and its key, in PEM.
type Pair struct{ Certificate, Key []byte }

// New makes an authority with fresh keys.
func New() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template, err := template(pkix.Name{CommonName: "multinic lab"})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	tokens, err := rsa.GenerateKey(rand.Reader, tokenKeyBits)
	if err != nil {
		return nil, fmt.Errorf("make the key of the service accounts: %w", err)
	}
	return &Authority{certificate: certificate, key: key, tokens: tokens}, nil
}

// Certificate is the authority's own, in PEM: what others trust.
func (a *Authority) Certificate() []byte { return certificatePEM(a.certificate.Raw) }

// Key is the key of the certificates, in PEM, for the controller that signs requests.
func (a *Authority) Key() ([]byte, error) { return keyPEM(a.key) }

// TokenKey is the key of the service accounts' tokens, in PEM.
func (a *Authority) TokenKey() ([]byte, error) { return keyPEM(a.tokens) }

// TokenPublicKey is what verifies such tokens, in PEM.
func (a *Authority) TokenPublicKey() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(a.tokens.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key of the service accounts: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Client makes a certificate by which the API server knows a user with groups.
func (a *Authority) Client(user string, groups ...string) (Pair, error) {
	template, err := template(pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return Pair{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(template)
}

// Server makes a certificate for a server with addresses and names; the first is what it is called.
func (a *Authority) Server(hosts ...string) (Pair, error) {
	template, err := template(pkix.Name{CommonName: hosts[0]})
	if err != nil {
		return Pair{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return a.sign(template)
}

func (a *Authority) sign(template *x509.Certificate) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make the key of %s: %w", template.Subject.CommonName, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	encoded, err := keyPEM(key)
	return Pair{Certificate: certificatePEM(der), Key: encoded}, err
}

func template(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		// Clocks of machines differ, and virtual machines' jump.
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(validity),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	var into bytes.Buffer
	err = pem.Encode(&into, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return into.Bytes(), err
}
