package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"multinic.dev/dispatcher/internal/config"
	"multinic.dev/dispatcher/internal/identity"
)

// identityOf is how callers prove who they are. Errors are one line, and name the setting.
func identityOf(settings *config.Config, log *zap.Logger) (identity.Identity, error) {
	switch settings.Identity {
	case config.MTLS:
		return oneLine(identity.NewMTLS(identity.MTLSFiles{Certificate: settings.TLSCert, Key: settings.TLSKey, ClientCA: settings.ClientCA}, log))
	case config.Kubernetes:
		client, err := apiServer(settings.Kubeconfig)
		if err != nil {
			return oneLine[identity.Identity](nil, err)
		}

		return oneLine(identity.NewKubernetes(identity.KubernetesSettings{
			Certificate: settings.TLSCert, Key: settings.TLSKey, Audience: settings.Audience, Executors: settings.Executors,
		}, client, log))
	default:
		return identity.Insecure{}, nil
	}
}

// oneLine words an error in one line.
func oneLine[T identity.Identity](who T, err error) (identity.Identity, error) {
	if err != nil {
		return nil, fmt.Errorf("%s", strings.Join(strings.Fields(err.Error()), " ")) //nolint:err113 // said to people alone
	}

	return who, nil
}

// apiServer is a client of the API server, as a kubeconfig says it is reached, or as pods do.
func apiServer(kubeconfig string) (*identity.API, error) {
	var reached *rest.Config
	var err error
	if kubeconfig == "" {
		if reached, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("--kubeconfig (KUBECONFIG) is not set, and this is no pod with a service account: %w", err)
		}
	} else if reached, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return nil, fmt.Errorf("--kubeconfig (KUBECONFIG) is %q: %w", kubeconfig, err)
	}
	client, err := identity.NewAPI(reached)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig (KUBECONFIG): %w", err)
	}

	return client, nil
}

// listen listens where gRPC is served.
func listen(ctx context.Context, settings *config.Config) (net.Listener, error) {
	if settings.Identity == config.Insecure {
		return identity.ListenInsecure(ctx, settings.Listen)
	}

	return identity.Listen(ctx, settings.Listen)
}
