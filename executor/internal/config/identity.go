package config

import (
	"errors"
	"fmt"
	"slices"
)

// The identities.
const (
	Kubernetes = "kubernetes"
	MTLS       = "mtls"
	Insecure   = "insecure"
)

// checkIdentity checks the settings that depend on the identity: those that it needs are there, and no other.
func (c *Config) checkIdentity() error {
	switch c.Identity {
	case Kubernetes, MTLS, Insecure:
	case "":
		return errors.New("--identity (IDENTITY) is not set: write kubernetes, mtls or insecure")
	default:
		return fmt.Errorf("--identity (IDENTITY) is %q: write kubernetes, mtls or insecure", c.Identity)
	}
	for _, one := range []struct {
		flag, value string
		needed      []string
	}{
		{"--tls-ca (TLS_CA)", c.TLSCA, []string{Kubernetes, MTLS}},
		{"--tls-cert (TLS_CERT)", c.TLSCert, []string{MTLS}},
		{"--tls-key (TLS_KEY)", c.TLSKey, []string{MTLS}},
		{"--token-file (TOKEN_FILE)", c.TokenFile, []string{Kubernetes}},
	} {
		needed := slices.Contains(one.needed, c.Identity)
		if needed && one.value == "" {
			return fmt.Errorf("%s is not set, and --identity=%s needs it: write a file", one.flag, c.Identity)
		}
		if !needed && one.value != "" {
			return fmt.Errorf("%s is set, and does not fit --identity=%s: leave it out", one.flag, c.Identity)
		}
	}
	if c.Identity == Insecure && !nearby(c.Dispatcher) {
		return fmt.Errorf("--dispatcher (DISPATCHER) is %q, and --identity=insecure sends plain text: "+
			"write a loopback address, such as 127.0.0.1:8443, or unix:/path", c.Dispatcher)
	}

	return nil
}
