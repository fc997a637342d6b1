package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"multinic.dev/dispatcher/internal/config"
	"multinic.dev/dispatcher/internal/fleet"
	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/metrics"
	"multinic.dev/dispatcher/internal/probe"
	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/server"
	"multinic.dev/dispatcher/internal/session"
	"multinic.dev/dispatcher/internal/store"
)

const (
	// prepareRetry is how long to wait before the database is tried again at the start.
	prepareRetry = time.Second
	// drainTimeout is how long sessions may take to end. Kubernetes kills after 30 s, and commits are flushed after this.
	drainTimeout = 5 * time.Second
	// healthInterval is how often the health service is told how it stands with the table.
	healthInterval = time.Second
)

// dispatcher is the program's parts.
type dispatcher struct {
	settings   *config.Config
	log        *zap.Logger
	table      *store.Store
	reconciler *reconcile.Reconciler
	sessions   *session.Server
	health     *health.Server
	door       *server.Door
	grpc       *grpc.Server
	http       *http.Server
}

// run does the dispatcher's work until ctx ends, and returns the exit code.
func run(ctx context.Context, settings *config.Config) int {
	log, err := newLog()
	if err != nil {
		return complain(err, 1)
	}
	defer func() { _ = log.Sync() }() // A terminal cannot be synced, and says so.
	who, err := identityOf(settings, log)
	if err != nil {
		return complain(err, exitBadSetting)
	}
	d, err := assemble(settings, who, log)
	if err != nil {
		return complain(err, 1)
	}
	grpcListener, err := listen(ctx, settings)
	if err != nil {
		return complain(fmt.Errorf("--listen (LISTEN): %w", err), exitBadSetting)
	}
	httpListener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", settings.HTTPListen)
	if err != nil {
		return complain(fmt.Errorf("--http-listen (HTTP_LISTEN): %w", errors.Join(err, grpcListener.Close())), exitBadSetting)
	}
	log.Info("started", zap.String("version", version), zap.Stringer("listen", grpcListener.Addr()), zap.Stringer("http_listen", httpListener.Addr()),
		zap.String("identity", settings.Identity), zap.String("db_host", settings.DBHost), zap.Int("db_port", settings.DBPort),
		zap.String("db_name", settings.DBName), zap.Duration("poll_interval", settings.PollInterval))
	err = d.serve(ctx, grpcListener, httpListener)
	if setup := (*store.SetupError)(nil); errors.As(err, &setup) {
		return complain(err, exitBadSetting)
	}
	if err != nil {
		return complain(err, 1)
	}
	log.Info("stopped")

	return 0
}

// newLog makes the log: JSON lines on stderr.
func newLog() (*zap.Logger, error) {
	settings := zap.NewProductionConfig()
	// Each event is said once, however many come at a time.
	settings.Sampling = nil
	settings.DisableCaller, settings.DisableStacktrace = true, true
	settings.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	log, err := settings.Build()
	if err != nil {
		return nil, fmt.Errorf("make the log: %w", err)
	}

	return log, nil
}

// assemble makes the parts and joins them. It does no I/O.
func assemble(settings *config.Config, who identity.Identity, log *zap.Logger) (*dispatcher, error) {
	d := &dispatcher{settings: settings, log: log, health: health.NewServer(), door: server.NewDoor(settings.MaxSessions, log)}
	d.table = store.New(store.Config{
		Host: settings.DBHost, Port: settings.DBPort, User: settings.DBUser, Database: settings.DBName, Password: settings.Password,
	})
	d.reconciler = reconcile.New(d.table, reconcile.Policy{
		HoldDown: settings.HoldDown, GuardShare: float64(settings.GuardShare), Suffixes: settings.NodeSuffixes,
	}, log, time.Now)
	d.sessions = session.NewServer(d.reconciler, settings.MaxSessions, rand.Float64)
	registry := prometheus.NewRegistry()
	for _, one := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), metrics.New(d.reconciler), d.door,
		identity.Expiry(who),
	} {
		if err := registry.Register(one); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	services := server.Services{Dispatch: d.sessions, Fleet: fleet.NewServer(d.reconciler), Health: d.health}
	var err error
	if d.grpc, err = server.New(services, d.door.Watch(who), log, registry); err != nil {
		return nil, err
	}
	d.http = probe.NewServer(d.reconciler, registry)

	return d, nil
}

// serve works until ctx ends or a part fails, and ends in good order: sessions are told, then commits are flushed.
func (d *dispatcher) serve(ctx context.Context, grpcListener, httpListener net.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The reconciler outlives all who speak to it.
	reconciling, stopReconciling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReconciling()

	var reconciler, callers sync.WaitGroup
	part := func(group *sync.WaitGroup, work func() error) {
		group.Go(func() {
			if err := work(); err != nil {
				stop(err)
			}
		})
	}
	part(&reconciler, func() error { return d.reconciler.Run(reconciling) })
	part(&callers, func() error { return d.follow(ctx) })
	part(&callers, func() error { return d.tellHealth(ctx) })
	part(&callers, func() error { return d.grpc.Serve(d.door.Listen(grpcListener)) })
	part(&callers, func() error {
		if err := d.http.Serve(httpListener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}

		return nil
	})

	<-ctx.Done()
	d.log.Info("stopping")
	d.health.Shutdown()
	d.reconciler.Drain()
	// GracefulStop waits for streams; those that do not end are ended by Stop.
	ended := time.AfterFunc(drainTimeout, d.grpc.Stop)
	d.grpc.GracefulStop()
	ended.Stop()
	d.sessions.Wait()
	err := d.http.Close()
	callers.Wait()
	stopReconciling()
	reconciler.Wait()
	err = errors.Join(err, d.table.Close())
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause //nolint:wrapcheck // said by the part that failed
	}

	return err
}

// follow prepares the database, which it tries for as long as it is away, and follows the table until ctx ends.
func (d *dispatcher) follow(ctx context.Context) error {
	for {
		err := d.table.Prepare(ctx)
		if setup := (*store.SetupError)(nil); errors.As(err, &setup) {
			return err
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		d.reconciler.Failed(err)
		select {
		case <-ctx.Done():
		case <-time.After(prepareRetry):
		}
	}
	if err := d.table.Follow(ctx, d.settings.PollInterval, d.reconciler); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("follow the table: %w", err)
	}

	return nil
}

// tellHealth keeps the gRPC health service's answer what /readyz answers.
func (d *dispatcher) tellHealth(ctx context.Context) error {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	for {
		serving := healthv1.HealthCheckResponse_NOT_SERVING
		if now, err := d.reconciler.Health(); err == nil && now.Read && now.Problem == "" {
			serving = healthv1.HealthCheckResponse_SERVING
		}
		for name := range d.grpc.GetServiceInfo() {
			d.health.SetServingStatus(name, serving)
		}
		d.health.SetServingStatus("", serving)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
