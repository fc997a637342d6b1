// Package server makes the gRPC server: limits, interceptors, health and reflection.
package server

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	prom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/identity"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// Limits on what a peer can make the dispatcher hold, and for how long it may be gone unnoticed.
const (
	// maxMessage is what a caller may send at once, in bytes: four times a report that is as full as it may be. It is read only of a caller
	// who may make the call.
	maxMessage = 512 << 10
	// window is what a stream may have sent that was not taken yet, in bytes: gRPC's least. connectionWindow is what a connection may have
	// on its way to us; gRPC renews it whether anybody takes what comes or not, so what a connection holds is streamsAConnection windows.
	window           = 64 << 10
	connectionWindow = 2 * window
	// streamsAConnection is how many calls a connection may have at once: an executor needs one, and a second while the first ends; an
	// operator's grpcurl two, one of them for reflection. A client waits for a place where it has as many as that.
	streamsAConnection = 8
	// A peer whose node lost its power is noticed within half a minute, at the cost of a small packet each way.
	pingAfter   = 20 * time.Second
	pingTimeout = 10 * time.Second
	// pingsAllowed is how often a peer may ping by itself.
	pingsAllowed = 10 * time.Second
	// handshakeTimeout bounds how long a connection may be open without being one of HTTP/2.
	handshakeTimeout = 10 * time.Second
	// idleTimeout is how long a connection may be without a call: an executor always has one, and operators connect again.
	idleTimeout = time.Minute
	// maxHeaders is what a caller may send before a message, in bytes: a token and little else.
	maxHeaders = 16 << 10
)

// Services are what is served.
type Services struct {
	Dispatch multinicv1.DispatchServiceServer
	Fleet    multinicv1.FleetServiceServer
	Health   *health.Server
}

// New returns a server of the services and of server reflection, for whom the identity lets in. Calls are logged and counted; a panic
// in one of them is logged, and fails it alone.
func New(services Services, who identity.Identity, log *zap.Logger, metrics prometheus.Registerer) (*grpc.Server, error) {
	counted := prom.NewServerMetrics(prom.WithServerHandlingTimeHistogram())
	if err := metrics.Register(counted); err != nil {
		return nil, fmt.Errorf("register the metrics of gRPC: %w", err)
	}
	logged := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall), logging.WithDisableLoggingFields(logging.SystemTag[0], logging.ComponentFieldKey),
		logging.WithLevels(level),
	}
	recovered := recovery.WithRecoveryHandlerContext(func(_ context.Context, cause any) error {
		log.Error("a call panicked", zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))

		return status.Error(codes.Internal, "an internal error; the dispatcher's log has it")
	})
	// Anybody who can prove to be somebody may ask for health, as often as it likes, and nobody wants to read of it.
	telling := selector.MatchFunc(func(_ context.Context, call interceptors.CallMeta) bool {
		return call.Service != healthv1.Health_ServiceDesc.ServiceName
	})
	gate := identity.NewGate(who, log)
	// Outermost first: what a recovered call returns is logged and counted. What the gate refuses is counted, and logged by the gate, at
	// a bounded rate.
	single := calls{timed: map[string]bool{}, around: chain(counted.UnaryServerInterceptor(), recovery.UnaryServerInterceptor(recovered), gate.Unary,
		selector.UnaryServerInterceptor(logging.UnaryServerInterceptor(logger(log), logged...), telling), recovery.UnaryServerInterceptor(recovered))}
	single.Server = grpc.NewServer(
		grpc.Creds(who.Credentials()),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(streamsAConnection),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxHeaderListSize(maxHeaders),
		// Not what gRPC finds the network to carry, which is up to 16 MiB: nobody has that much to say.
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(connectionWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAllowed, PermitWithoutStream: true}),
		// The handlers' goroutines are waited for, so that nothing speaks to a reconciler that has stopped.
		grpc.WaitForHandlers(true),
		grpc.InTapHandle(single.begin),
		// What single does not serve, which is nothing, would meet the same gate, though later.
		grpc.UnaryInterceptor(single.around),
		grpc.ChainStreamInterceptor(counted.StreamServerInterceptor(), recovery.StreamServerInterceptor(recovered), gate.Stream,
			selector.StreamServerInterceptor(logging.StreamServerInterceptor(logger(log), logged...), telling), recovery.StreamServerInterceptor(recovered)),
		// What there is not is refused by the gate too: only who may call something learns that it is missing.
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return status.Error(codes.Unimplemented, "there is no such method")
		}),
	)
	multinicv1.RegisterDispatchServiceServer(single, services.Dispatch)
	multinicv1.RegisterFleetServiceServer(single, services.Fleet)
	healthv1.RegisterHealthServer(single, services.Health)
	reflection.Register(single)
	counted.InitializeMetrics(single)

	return single.Server, nil
}

// logger words the middleware's events with zap.
func logger(log *zap.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ context.Context, level logging.Level, message string, fields ...any) {
		log.Sugar().Logw(zapLevel(level), message, fields...)
	})
}
