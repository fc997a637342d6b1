package credential

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// errCut is a file that ends before what it says begins has ended, or that is not whole in its midst. Whoever writes a file in place leaves it so
// for a moment, and the standard library skips what is not whole.
var errCut = errors.New("it is not whole: a part of it begins and does not end")

// blocks are the parts of a file in PEM. Text between them and before them is nobody's; what may be half of a part is an error.
func blocks(content []byte) ([]*pem.Block, error) {
	var all []*pem.Block
	begun := bytes.Count(content, []byte("-----BEGIN "))
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			break
		}
		all, content = append(all, block), rest
	}
	// What is left may be the first bytes of a line that begins a part.
	if len(all) != begun || bytes.HasPrefix(content, []byte("-")) || bytes.Contains(content, []byte("\n-")) {
		return nil, errCut
	}

	return all, nil
}

// pairOf is a certificate, with those between it and its CA, and its key, each from a file in PEM.
func pairOf(certificate, key []byte) (*tls.Certificate, error) {
	for _, content := range [][]byte{certificate, key} {
		if _, err := blocks(content); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(certificate, key)

	return &pair, err //nolint:wrapcheck // load names the files
}

// checkPair says why nobody believes a pair now, whatever CAs they know.
func checkPair(pair *tls.Certificate, now time.Time) error {
	leaf := pair.Leaf
	usages := leaf.ExtKeyUsage
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate was valid until %s", leaf.NotAfter.Format(time.RFC3339))
	case len(usages)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(usages, x509.ExtKeyUsageClientAuth) && !slices.Contains(usages, x509.ExtKeyUsageAny):
		return errors.New("the certificate's extended usages do not have clientAuth")
	}

	return nil
}

// poolOf are the certificates of a file in PEM: all of them, or none.
func poolOf(content []byte) (*x509.CertPool, error) {
	all, err := blocks(content)
	if err != nil {
		return nil, err
	}
	pool, certificates := x509.NewCertPool(), 0
	for _, block := range all {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificates++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("its certificate number %d cannot be read: %w", certificates, err)
		}
		pool.AddCert(certificate)
	}
	if certificates == 0 {
		return nil, errors.New("it has no certificate in PEM")
	}

	return pool, nil
}
