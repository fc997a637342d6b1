package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"multinic.dev/dispatcher/internal/identity"
)

// The identities.
const (
	Kubernetes = "kubernetes"
	MTLS       = "mtls"
	Insecure   = "insecure"
)

// defaultAudience is what tokens are meant for where the settings say nothing else.
const defaultAudience = "multinic-dispatcher"

// checkIdentity checks the settings that depend on the identity: those that it needs are there, and no other.
func (c *Config) checkIdentity() error {
	if c.Identity != Kubernetes && c.Identity != MTLS && c.Identity != Insecure {
		return fmt.Errorf("--identity (IDENTITY) is %q: write kubernetes, mtls or insecure", c.Identity)
	}
	for _, one := range []struct {
		flag, value string
		needed      []string
		allowed     []string
	}{
		{"--tls-cert (TLS_CERT)", c.TLSCert, []string{Kubernetes, MTLS}, nil},
		{"--tls-key (TLS_KEY)", c.TLSKey, []string{Kubernetes, MTLS}, nil},
		{"--client-ca (CLIENT_CA)", c.ClientCA, []string{MTLS}, nil},
		{"--executor-service-account (EXECUTOR_SERVICE_ACCOUNT)", c.Executors, []string{Kubernetes}, nil},
		{"--audience (AUDIENCE)", c.Audience, nil, []string{Kubernetes}},
		{"--kubeconfig (KUBECONFIG)", c.Kubeconfig, nil, []string{Kubernetes}},
	} {
		needed := slices.Contains(one.needed, c.Identity)
		if needed && one.value == "" {
			return fmt.Errorf("%s is not set, and --identity=%s needs it", one.flag, c.Identity)
		}
		if one.value != "" && !needed && !slices.Contains(one.allowed, c.Identity) {
			return fmt.Errorf("%s is set, and does not fit --identity=%s: leave it out", one.flag, c.Identity)
		}
	}
	if c.Identity == Insecure {
		if err := identity.CheckInsecure(c.Listen); err != nil {
			return fmt.Errorf("--listen (LISTEN) is %q: %w", c.Listen, err)
		}

		return nil
	}
	if err := checkListen(c.Listen); err != nil {
		return fmt.Errorf("--listen (LISTEN) is %q: %w", c.Listen, err)
	}
	if c.Identity == Kubernetes {
		if c.Audience == "" {
			c.Audience = defaultAudience
		}
		if err := identity.CheckServiceAccount(c.Executors); err != nil {
			return fmt.Errorf("--executor-service-account (EXECUTOR_SERVICE_ACCOUNT): %w", err)
		}
	}

	return nil
}

// checkListen says what is wrong with an address that anybody may reach.
func checkListen(address string) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok && path != "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return errors.New("write host:port, :port or unix:/path/to/socket")
	}

	return nil
}
