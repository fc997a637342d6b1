package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"multinic.dev/executor/internal/arp"
	"multinic.dev/executor/internal/config"
	"multinic.dev/executor/internal/credential"
	"multinic.dev/executor/internal/guard"
	"multinic.dev/executor/internal/host"
	"multinic.dev/executor/internal/latest"
	"multinic.dev/executor/internal/link"
	"multinic.dev/executor/internal/metrics"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/probe"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/session"
	"multinic.dev/executor/internal/statedir"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/work"
	"multinic.dev/executor/internal/worker"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// executor is the program's parts.
type executor struct {
	log     *zap.Logger
	worker  *worker.Worker
	session *session.Client
	http    *http.Server
}

// run does the executor's work until ctx ends, and returns the exit code.
func run(ctx context.Context, settings *config.Config) int {
	log, err := newLog(settings.NodeName)
	if err != nil {
		return complain(err, 1)
	}
	defer func() { _ = log.Sync() }() // A terminal cannot be synced, and says so.
	dir, err := statedir.Open(settings.StateDir)
	if err != nil {
		return complain(fmt.Errorf("--state-dir (STATE_DIR) is %q: %w", settings.StateDir, err), exitBadSetting)
	}
	defer func() { _ = dir.Close() }() // Nothing was written through it.
	interfaces, err := record.Open(settings.StateDir)
	if err != nil {
		return complain(err, 1)
	}
	identity, err := host.Read(settings.HostRoot)
	if err != nil {
		return complain(err, 1)
	}
	listener, err := listen(ctx, settings.HTTPListen)
	if err != nil {
		return complain(fmt.Errorf("--http-listen (HTTP_LISTEN) is %q: %w; choose another address, or none", settings.HTTPListen, err), exitBadSetting)
	}
	kernel, err := link.Open(settings.HostRoot)
	if err != nil {
		return complain(errors.Join(err, closeListener(listener)), 1)
	}
	defer kernel.Close()
	using, err := backendOf(settings, kernel)
	if err != nil {
		return complain(errors.Join(err, closeListener(listener)), exitBadSetting)
	}
	who, err := credentialOf(settings, log)
	if err != nil {
		return complain(errors.Join(err, closeListener(listener)), exitBadSetting)
	}
	e, err := assemble(settings, log, interfaces, kernel, using, who, identity)
	if err != nil {
		return complain(errors.Join(err, closeListener(listener)), 1)
	}
	log.Info("started", zap.String("version", version), zap.String("dispatcher", settings.Dispatcher), zap.String("identity", settings.Identity),
		zap.String("backend", using.name), zap.String("mode", settings.Mode), zap.String("state_dir", settings.StateDir),
		zap.String("http_listen", address(listener)))
	if err := e.serve(ctx, listener); err != nil {
		return complain(err, 1)
	}
	log.Info("stopped")

	return 0
}

// credentialOf is how this executor shows who it is. Errors are one line, and name the setting.
func credentialOf(settings *config.Config, log *zap.Logger) (*credential.Credential, error) {
	switch settings.Identity {
	case config.MTLS:
		return credential.Certificate(settings.TLSCA, settings.TLSCert, settings.TLSKey, log)
	case config.Kubernetes:
		return credential.Token(settings.TLSCA, settings.TokenFile, log)
	default:
		return credential.Insecure(), nil
	}
}

// newLog makes the log: JSON lines on stderr, each with the node's name.
func newLog(node string) (*zap.Logger, error) {
	settings := zap.NewProductionConfig()
	// Each event is said once, however many come at a time.
	settings.Sampling = nil
	settings.DisableCaller, settings.DisableStacktrace = true, true
	settings.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	settings.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	log, err := settings.Build()
	if err != nil {
		return nil, fmt.Errorf("make the log: %w", err)
	}

	return log.With(zap.String("node", node)), nil
}

// listen listens for HTTP; nil: it is not asked for.
func listen(ctx context.Context, where string) (net.Listener, error) {
	if where == config.NoHTTP {
		return nil, nil //nolint:nilnil // as asked for
	}

	return (&net.ListenConfig{}).Listen(ctx, "tcp", where) //nolint:wrapcheck // the caller names the setting
}

func closeListener(listener net.Listener) error {
	if listener == nil {
		return nil
	}

	return listener.Close() //nolint:wrapcheck // it names itself
}

// address is a listener's, as a number where a port was left to the kernel.
func address(listener net.Listener) string {
	if listener == nil {
		return config.NoHTTP
	}

	return listener.Addr().String()
}

// assemble makes the parts and joins them. It does no I/O.
func assemble(
	settings *config.Config, log *zap.Logger, interfaces *record.Record, kernel *link.Kernel, using backend, who *credential.Credential,
	identity host.Identity,
) (*executor, error) {
	registry := prometheus.NewRegistry()
	// Not those of package collectors: it reaches database/sql, which nothing on a node may.
	for _, one := range []prometheus.Collector{
		prometheus.NewGoCollector(),                                       //nolint:staticcheck // deprecated for package collectors; see above
		prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{}), //nolint:staticcheck // the same
	} {
		if err := registry.Register(one); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	meter, err := metrics.New(registry)
	if err != nil {
		return nil, err
	}
	release, err := kernelRelease()
	if err != nil {
		return nil, err
	}
	sets, reports := latest.New[work.Set](), latest.New[work.Report]()
	e := &executor{log: log}
	watch := guardOf(settings, kernel, log)
	known := &knownKernel{backendKernel: using.kernel, guard: watch}
	transactions := transaction.New(transaction.Config{
		Kernel: known, Record: interfaces, Journal: transaction.OpenJournal(settings.StateDir), Files: using.files,
		Manager: using.manager, OnlyManager: settings.Activation == config.Manager,
		Prober: arp.Prober{}, Guard: watch, Log: log, Machine: identity.Machine, Boot: identity.Boot,
	})
	e.worker = worker.New(worker.Config{
		Kernel: known, Record: interfaces, Transactions: transactions, Manager: using.watched, Observe: settings.Mode == config.Observe, Boot: identity.Boot,
		Sets: sets, Reports: reports, Meter: meter, Log: log, Chance: rand.Float64,
	})
	e.session = session.New(session.Config{
		Dial: func() (*grpc.ClientConn, func() bool, error) {
			options, lasts := who.Options()
			connection, err := session.Dial(settings.Dispatcher, options...)

			return connection, lasts, err
		},

		Hello: &multinicv1.Hello{NodeName: settings.NodeName, ExecutorVersion: version},
		Facts: &multinicv1.NodeFacts{ExecutorVersion: version, KernelRelease: release, Backend: using.name, Mode: settings.Mode},
		Sets:  sets, Reports: reports, Meter: meter, Log: log, Chance: rand.Float64,
	})
	e.http = probe.NewServer(e.worker, e.session, registry)

	return e, nil
}

// knownKernel is the kernel, with the ways that the guard over the node's own network knows.
type knownKernel struct {
	backendKernel

	guard *guard.Guard
}

// Read reads what the kernel has, and what the node must keep.
func (k *knownKernel) Read(ctx context.Context) (plan.Kernel, error) {
	kernel, err := k.backendKernel.Read(ctx)
	if err != nil {
		return kernel, err
	}
	kernel.Own = k.guard.Own
	kernel.Ways, err = k.guard.Ways(ctx)

	return kernel, err
}

// guardOf is the guard over the node's own network.
func guardOf(settings *config.Config, kernel *link.Kernel, log *zap.Logger) *guard.Guard {
	c := guard.Config{
		Kernel: kernel, Own: settings.NodeAddresses(), Answers: arp.Answers, DialTimeout: settings.ConfirmTimeout, Log: log,
		Targets: guard.Around(settings.Dispatcher, os.Getenv("KUBERNETES_SERVICE_HOST"), filepath.Join(settings.HostRoot, "etc/resolv.conf")),
	}
	if !strings.HasPrefix(settings.Dispatcher, "unix:") {
		c.Dial = func(ctx context.Context) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", settings.Dispatcher)
			if err != nil {
				return err //nolint:wrapcheck // it says whom it could not reach
			}

			return connection.Close()
		}
	}

	return guard.New(c)
}

// kernelRelease is what `uname -r` prints.
func kernelRelease() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("ask for the kernel's release: %w", err)
	}

	return unix.ByteSliceToString(name.Release[:]), nil
}

// serve works until ctx ends or a part fails. The worker ends by itself when it has finished what it has in hand; nothing
// of it is reported any more.
func (e *executor) serve(ctx context.Context, listener net.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	part := func(work func() error) {
		parts.Go(func() {
			if err := work(); err != nil {
				stop(err)
			}
		})
	}
	part(func() error { return e.worker.Run(ctx) })
	part(func() error {
		e.session.Run(ctx)

		return nil
	})
	if listener != nil {
		part(func() error {
			if err := e.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve HTTP: %w", err)
			}

			return nil
		})
	}

	<-ctx.Done()
	e.log.Info("stopping")
	err := e.http.Close()
	parts.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause //nolint:wrapcheck // said by the part that failed
	}

	return err //nolint:wrapcheck // closing can hardly fail, and says what did
}
