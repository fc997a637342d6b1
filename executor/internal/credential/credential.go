// Package credential says who this executor is, to a dispatcher that proves who it is.
package credential

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Credential is how this executor shows who it is. Safe concurrently.
type Credential struct {
	// cas are the dispatcher's; nil: nothing is encrypted.
	cas *files[*x509.CertPool]
	// pair is this executor's certificate, and token the path of its token; nil and empty where it shows none.
	pair  *files[*tls.Certificate]
	token string
}

// Insecure shows nothing, and encrypts nothing.
func Insecure() *Credential { return &Credential{} }

// Certificate shows a certificate, and knows the dispatcher by its CAs. All are paths of files in PEM, which are read anew when they have
// changed. Errors name the setting.
func Certificate(ca, certificate, key string, log *zap.Logger) (*Credential, error) {
	cas, err := openCAs(log, ca)
	if err != nil {
		return nil, err
	}
	pair, err := openFiles(log, func(contents [][]byte) (*tls.Certificate, error) { return pairOf(contents[0], contents[1]) },
		func(pair *tls.Certificate) error { return checkPair(pair, time.Now()) }, certificate, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert (TLS_CERT) and --tls-key (TLS_KEY): %w", err)
	}

	return &Credential{cas: cas, pair: pair}, nil
}

// Token shows the token in a file, which is read for each stream, and knows the dispatcher by its CAs. Errors name the setting.
func Token(ca, token string, log *zap.Logger) (*Credential, error) {
	cas, err := openCAs(log, ca)
	if err != nil {
		return nil, err
	}
	if _, err := readToken(token); err != nil {
		return nil, fmt.Errorf("--token-file (TOKEN_FILE): %w", err)
	}

	return &Credential{cas: cas, token: token}, nil
}

// Options are for a connection that is made now. lasts says, whenever it is asked, whether the connection can serve for longer than what it was made
// with: each stream shows anew who this is, and the dispatcher would be known by the same CAs now. It reads them anew.
func (c *Credential) Options() (options []grpc.DialOption, lasts func() bool) {
	if c.cas == nil {
		return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, func() bool { return false }
	}
	cas := c.cas.get()
	settings := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: cas}
	if c.pair != nil {
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.pair.get(), nil }
	}
	options = []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(settings))}
	if c.token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(c.token)))
	}

	return options, func() bool { return c.token != "" && c.cas.get() == cas }
}

// bearer is the path of a token that goes with each stream.
type bearer string

var _ credentials.PerRPCCredentials = bearer("")

// GetRequestMetadata reads the token anew: a kubelet replaces it before its time is over.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := readToken(string(b))
	if err != nil {
		return nil, fmt.Errorf("--token-file (TOKEN_FILE): %w", err)
	}

	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity keeps the token from going out in plain text.
func (bearer) RequireTransportSecurity() bool { return true }

// readToken reads a token. Errors never quote it.
func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the file and what is wrong
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \r\n\t") {
		return "", fmt.Errorf("%s: it must have one token and nothing else", path)
	}

	return token, nil
}

// openCAs reads the dispatcher's CAs.
func openCAs(log *zap.Logger, path string) (*files[*x509.CertPool], error) {
	cas, err := openFiles(log, func(contents [][]byte) (*x509.CertPool, error) { return poolOf(contents[0]) },
		func(*x509.CertPool) error { return nil }, path)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca (TLS_CA): %w", err)
	}

	return cas, nil
}
