package authority_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"slices"
	"testing"

	"multinic.dev/lab/kube/authority"
)

func TestCertificatesAreTheAuthoritysAndSayWhoSomebodyIs(t *testing.T) {
	a, other := fresh(t), fresh(t)
	client, err := a.Client("system:node:node-a", "others", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Server("node-a", "192.0.2.11")
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range []authority.Pair{client, server} {
		if _, err := tls.X509KeyPair(pair.Certificate, pair.Key); err != nil {
			t.Errorf("a certificate and its key do not fit: %v", err)
		}
	}

	certificate := parse(t, client.Certificate)
	if certificate.Subject.CommonName != "system:node:node-a" || !slices.Equal(certificate.Subject.Organization, []string{"others", "system:nodes"}) {
		t.Errorf("the client is %s", certificate.Subject)
	}
	if err := verify(a, certificate, x509.ExtKeyUsageClientAuth); err != nil {
		t.Errorf("a client's certificate is refused: %v", err)
	}
	if err := verify(other, certificate, x509.ExtKeyUsageClientAuth); err == nil {
		t.Error("another authority takes a client's certificate")
	}
	if err := verify(a, certificate, x509.ExtKeyUsageServerAuth); err == nil {
		t.Error("a client's certificate is good for a server")
	}

	certificate = parse(t, server.Certificate)
	if !slices.Equal(certificate.DNSNames, []string{"node-a"}) || len(certificate.IPAddresses) != 1 || !certificate.IPAddresses[0].Equal(net.IPv4(192, 0, 2, 11)) {
		t.Errorf("the server has the names %v and the addresses %v", certificate.DNSNames, certificate.IPAddresses)
	}
	if err := verify(a, certificate, x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("a server's certificate is refused: %v", err)
	}
}

func TestWhatIsNoTokenIsAnError(t *testing.T) {
	a := fresh(t)
	for _, token := range []string{"", "a.b", "a.b.c.d", "a.!.c", "a.e30.c.", "a.W10.c"} {
		if altered, err := a.Alter(token, nil); err == nil {
			t.Errorf("%q is taken for a token, and becomes %q", token, altered)
		}
	}
	// The control: what is one is none.
	altered, err := a.Alter("a.eyJzdWIiOiJ4IiwiZXhwIjoxfQ.c", authority.Claims{"exp": 2, "sub": nil, "aud": "y"})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := authority.ReadToken(altered)
	if err != nil {
		t.Fatal(err)
	}
	if len(claims) != 2 || claims["exp"] != 2.0 || claims["aud"] != "y" {
		t.Errorf("the altered token says %v", claims)
	}
}

func fresh(t *testing.T) *authority.Authority {
	t.Helper()
	a, err := authority.New()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func verify(a *authority.Authority, certificate *x509.Certificate, usage x509.ExtKeyUsage) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.Certificate())
	_, err := certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}
