package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"multinic.dev/executor/internal/config"
	"multinic.dev/executor/internal/link"
	"multinic.dev/executor/internal/netplan"
	"multinic.dev/executor/internal/networkd"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/worker"
)

// backend is the kernel, with what outlives a boot of the host.
type backend struct {
	// name is the backend's, as --backend has it.
	name   string
	kernel backendKernel
	files  transaction.Persister
	// manager makes changes live; nil: the kernel itself is changed.
	manager transaction.Manager
	// watched is the host's network manager, whether it is told of changes or not; nil: there is none.
	watched worker.Manager
}

// backendKernel is the kernel as the worker and its transactions ask it.
type backendKernel interface {
	worker.Kernel
	transaction.Kernel
}

// backendOf finds the backend that the settings ask for.
func backendOf(settings *config.Config, kernel *link.Kernel) (backend, error) {
	none := backend{name: config.Netlink, kernel: kernel, files: transaction.Volatile{}}
	if settings.Backend == config.Netlink {
		return none, nil
	}
	var options []netplan.Option
	if settings.TakeDHCP {
		options = append(options, netplan.TakeDHCP())
	}
	host, err := netplan.Open(settings.HostRoot, filepath.Join(settings.StateDir, "backups"), options...)
	switch {
	case err == nil:
		return netplanBackend(settings, kernel, host), nil
	case !errors.Is(err, netplan.ErrNone):
		return backend{}, err
	case settings.Backend == config.Netplan:
		return backend{}, fmt.Errorf("--backend (BACKEND) is netplan, and --host-root (HOST_ROOT) is %q: %w", settings.HostRoot, err)
	case settings.Command != config.Run:
		return none, nil // What only Netplan could have kept is not kept by anything.
	}

	return backend{}, fmt.Errorf("--backend (BACKEND) is auto, and --host-root (HOST_ROOT) is %q: %w; or write netlink, with which nothing lasts "+
		"through a boot until the executor starts", settings.HostRoot, err)
}

// netplanBackend is the host's Netplan, with its networkd where that may be used.
func netplanBackend(settings *config.Config, kernel *link.Kernel, host *netplan.Host) backend {
	manager := networkd.Open(settings.HostRoot)
	b := backend{name: config.Netplan, kernel: persisting{kernel, host, manager}, files: host, watched: manager}
	if settings.Activation != config.Kernel {
		b.manager = manager
	}

	return b
}

// persisting is a kernel with what the next boot makes of it.
type persisting struct {
	*link.Kernel

	host    *netplan.Host
	manager *networkd.Manager
}

// Read reads both, and what of the kernel's the host's networkd was given.
func (p persisting) Read(ctx context.Context) (plan.Kernel, error) {
	kernel, err := p.Kernel.Read(ctx)
	if err != nil {
		return plan.Kernel{}, err
	}
	leases := p.manager.Leases()
	for i := range kernel.Links {
		if given, is := leases[kernel.Links[i].Index]; is {
			kernel.Links[i].Leased = kernel.Links[i].LeasedBeside(given)
		}
	}
	kernel.Persisted, err = p.host.Read()

	return kernel, err
}

// Surroundings adds those of both.
func (p persisting) Surroundings(ctx context.Context, kernel *plan.Kernel) error {
	if err := p.Kernel.Surroundings(ctx, kernel); err != nil {
		return err
	}

	return p.host.Surroundings(ctx, kernel)
}
