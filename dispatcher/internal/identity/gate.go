package identity

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	// callsAtOnce is how many calls of one operator may be under way, and callsOfANode how many of one node's executor, which needs one,
	// and a second while the first ends. Each may hold a message.
	callsAtOnce  = 16
	callsOfANode = 8
	// refusalsLogged is how many refusals are logged a second, in the long run, and refusalsAtOnce how many of a burst: whoever can reach the
	// dispatcher can be refused, and must not fill its log.
	refusalsLogged = 1
	refusalsAtOnce = 20
)

// Gate stands before each call: it asks the identity who calls, and refuses who may not. What the caller learns of a refusal is its
// code; the log has the reason, at a bounded rate.
type Gate struct {
	identity Identity
	log      *zap.Logger
	loud     *rate.Limiter

	mu sync.Mutex // guards the others
	// calls are how many calls of each caller are under way; none has no entry.
	calls map[string]int
	// unlogged are the refusals since the last that was logged.
	unlogged int
}

// NewGate returns a gate.
func NewGate(identity Identity, log *zap.Logger) *Gate {
	return &Gate{identity: identity, log: log, loud: rate.NewLimiter(refusalsLogged, refusalsAtOnce), calls: map[string]int{}}
}

// Unary is the gate for calls with one answer.
func (g *Gate) Unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, leave, err := g.enter(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	defer leave()
	answer, err := handler(ctx, request)

	return answer, g.tell(ctx, info.FullMethod, err)
}

// Stream is the gate for streams. The context of one ends when its caller must be asked again; a session ends itself before,
// in good order.
func (g *Gate) Stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, leave, err := g.enter(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	defer leave()

	return g.tell(ctx, info.FullMethod, handler(server, entered{ServerStream: stream, ctx: ctx}))
}

// entered is a stream whose caller is known.
type entered struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // how gRPC hands a context to a stream's handler
}

func (e entered) Context() context.Context { return e.ctx }

// enter lets a call in; leave must be called at its end.
func (g *Gate) enter(ctx context.Context, method string) (_ context.Context, leave func(), _ error) {
	caller, err := g.identity.Authorize(ctx, method)
	if err != nil {
		return nil, nil, g.refuse(ctx, method, err)
	}
	if caller.Name != "" && !g.begin(caller) {
		return nil, nil, g.tell(ctx, method, &RefusedError{
			Code: codes.ResourceExhausted, Caller: caller.Name, Why: "too many calls of this caller are under way",
		})
	}
	ctx, cancel := With(ctx, caller), func() {}
	if !caller.Until.IsZero() && methodOf(method) != executors {
		ctx, cancel = context.WithDeadline(ctx, caller.Until)
	}

	return ctx, func() {
		cancel()
		if caller.Name != "" {
			g.end(caller.Name)
		}
	}, nil
}

func (g *Gate) begin(caller Caller) bool {
	most := callsAtOnce
	if caller.Node != "" {
		most = callsOfANode
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls[caller.Name] >= most {
		return false
	}
	g.calls[caller.Name]++

	return true
}

func (g *Gate) end(caller string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls[caller]--; g.calls[caller] == 0 {
		delete(g.calls, caller)
	}
}

// refuse logs why a call is not let in, and returns what the caller may learn of it.
func (g *Gate) refuse(ctx context.Context, method string, err error) error {
	var refusal *RefusedError
	switch {
	case errors.As(err, &refusal):
		return g.tell(ctx, method, err)
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	default:
		g.warn(ctx, "it cannot be found out who calls; the caller has to try again", zap.String("method", method), zap.Error(err))

		return status.Error(codes.Unavailable, "unavailable")
	}
}

// tell logs a refusal, and returns what the caller may learn of it. Other errors are the caller's to read.
func (g *Gate) tell(ctx context.Context, method string, err error) error {
	var refusal *RefusedError
	if !errors.As(err, &refusal) {
		return err
	}
	g.warn(ctx, "a call was refused", zap.String("method", method), zap.Stringer("code", refusal.Code), zap.String("caller", refusal.Caller),
		zap.String("why", refusal.Why))

	return refusal.GRPCStatus().Err()
}

// warn logs, unless it has logged too much of late.
func (g *Gate) warn(ctx context.Context, message string, fields ...zap.Field) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.loud.Allow() {
		g.unlogged++

		return
	}
	address := ""
	if caller, ok := peer.FromContext(ctx); ok {
		address = caller.Addr.String()
	}
	g.log.Warn(message, append(fields, zap.String("peer", address), zap.Int("not_logged_before", g.unlogged))...)
	g.unlogged = 0
}
