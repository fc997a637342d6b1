// Package authority makes certificates for tests.
package authority

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
	"strconv"
	"time"
)

// TB is what of testing.TB is used.
type TB interface {
	Helper()
	Fatalf(format string, values ...any)
}

// CA is a certificate authority.
type CA struct {
	t           TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// PEM is its certificate.
	PEM []byte
}

// New makes a CA, which is valid for a day.
func New(t TB, name string) *CA {
	t.Helper()
	ca := &CA{t: t}
	ca.key = ca.newKey()
	template := &x509.Certificate{
		SerialNumber: ca.serial(), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	ca.must(err)
	ca.certificate, err = x509.ParseCertificate(der)
	ca.must(err)
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})

	return ca
}

// Leaf is what a certificate says. The zero value of each field is what most need.
type Leaf struct {
	CommonName    string
	Organisations []string
	// Hosts are the names and addresses of a server; without any it is a client's certificate.
	Hosts []string
	// NotBefore is when it begins. Zero: an hour ago.
	NotBefore time.Time
	// NotAfter is when it ends. Zero: with the CA.
	NotAfter time.Time
}

// Pair is a certificate and its key, in PEM.
type Pair struct{ Certificate, Key []byte }

// Issue makes a certificate.
func (ca *CA) Issue(leaf Leaf) Pair {
	ca.t.Helper()
	key := ca.newKey()
	template := &x509.Certificate{
		SerialNumber: ca.serial(), Subject: pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organisations},
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = ca.certificate.NotAfter
	}
	if len(leaf.Hosts) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, &key.PublicKey, ca.key)
	ca.must(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	ca.must(err)

	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

// Volume is a folder whose files are replaced all at once, as Kubernetes does it with those of Secrets and projected tokens: they are links
// through a link, which is renamed.
type Volume struct {
	t   TB
	dir string
	// version is how often the files were replaced.
	version int
}

// NewVolume makes a volume in an empty folder.
func NewVolume(t TB, dir string) *Volume { return &Volume{t: t, dir: dir} }

// Path is where a file of the volume is.
func (v *Volume) Path(name string) string { return filepath.Join(v.dir, name) }

// Put replaces all files.
func (v *Volume) Put(files map[string][]byte) {
	v.t.Helper()
	v.version++
	version := "..v" + strconv.Itoa(v.version)
	v.must(os.Mkdir(v.Path(version), 0o700))
	for name, content := range files {
		v.must(os.WriteFile(filepath.Join(v.dir, version, name), content, 0o600))
		if _, err := os.Lstat(v.Path(name)); err != nil {
			v.must(os.Symlink(filepath.Join("..data", name), v.Path(name)))
		}
	}
	v.must(os.Symlink(version, v.Path("..next")))
	v.must(os.Rename(v.Path("..next"), v.Path("..data")))
	if v.version > 1 {
		v.must(os.RemoveAll(v.Path("..v" + strconv.Itoa(v.version-1))))
	}
}

func (v *Volume) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatalf("%v", err)
	}
}

func (ca *CA) must(err error) {
	ca.t.Helper()
	if err != nil {
		ca.t.Fatalf("%v", err)
	}
}

func (ca *CA) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca.must(err)

	return key
}

func (ca *CA) serial() *big.Int {
	const bits = 120
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	ca.must(err)

	return number
}
