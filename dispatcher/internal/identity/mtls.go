package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// The organisations that a client certificate may have; it must have exactly one of them, and no other.
const (
	// ExecutorsOrganisation is that of the executors; their common name is the node's.
	ExecutorsOrganisation = "multinic:executors"
	// OperatorsOrganisation is that of those who may call FleetService.
	OperatorsOrganisation = "multinic:operators"
)

// longest is how long a caller is believed at most before it must be asked again who it is.
const longest = time.Hour

// MTLS is the identity "mtls": callers show a certificate of the operator's own CA.
type MTLS struct {
	pair *files[*tls.Certificate]
	cas  *files[*x509.CertPool]
}

var _ Identity = &MTLS{}

// MTLSFiles are the paths of files in PEM. Each is read anew when it has changed.
type MTLSFiles struct {
	// Certificate and Key are the dispatcher's own.
	Certificate, Key string
	// ClientCA has the CAs of the callers' certificates.
	ClientCA string
}

// NewMTLS returns the identity "mtls". Errors name the setting.
func NewMTLS(paths MTLSFiles, log *zap.Logger) (*MTLS, error) {
	pair, err := openPair(log, paths.Certificate, paths.Key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	cas, err := openCAs(log, paths.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("--client-ca: %w", err)
	}

	return &MTLS{pair: pair, cas: cas}, nil
}

// Credentials let nobody in who has no certificate of the CAs as they are now.
func (m *MTLS) Credentials() credentials.TransportCredentials {
	return serverTLS(func() *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*m.pair.get()},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: m.cas.get(),
		}
	})
}

// serverTLS is TLS 1.3 with settings that are asked for at each handshake. Sessions are never resumed: who was known once is asked again.
func serverTLS(now func() *tls.Config) credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			config := now()
			config.NextProtos, config.SessionTicketsDisabled = []string{"h2"}, true

			return config, nil
		},
	})
}

// Authorize looks at the certificate once more, since the connection may be older than the CAs, or than the certificate is valid.
func (m *MTLS) Authorize(ctx context.Context, method string) (Caller, error) {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, unauthenticated("the connection has no peer")
	}
	info, ok := caller.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return Caller{}, unauthenticated("the connection has no client certificate")
	}
	certificates := info.State.PeerCertificates
	between := x509.NewCertPool()
	for _, one := range certificates[1:] {
		between.AddCert(one)
	}
	now := time.Now()
	if _, err := certificates[0].Verify(x509.VerifyOptions{
		Roots: m.cas.get(), Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return Caller{}, unauthenticated("the client certificate of %q: %v", certificates[0].Subject, err)
	}

	return callerOf(certificates[0], method, now)
}

// callerOf says whose certificate, which has been verified, it is, if it may call the method.
func callerOf(certificate *x509.Certificate, method string, now time.Time) (Caller, error) {
	subject := certificate.Subject
	who := subject.String()
	if len(subject.Organization) != 1 || subject.CommonName == "" {
		return Caller{}, Denied(who, "the client certificate must have a common name and exactly one organisation, %s or %s",
			ExecutorsOrganisation, OperatorsOrganisation)
	}
	caller := Caller{Name: who, Until: now.Add(min(longest, certificate.NotAfter.Sub(now)))}
	switch of := methodOf(method); subject.Organization[0] {
	case ExecutorsOrganisation:
		caller.Node = subject.CommonName
		if of != executors && of != anybodys {
			return Caller{}, Denied(who, "executors may not call %s", method)
		}
	case OperatorsOrganisation:
		if of != operators && of != anybodys {
			return Caller{}, Denied(who, "operators may not call %s", method)
		}
	default:
		return Caller{}, Denied(who, "the client certificate's organisation is neither %s nor %s", ExecutorsOrganisation, OperatorsOrganisation)
	}

	return caller, nil
}
