package identity_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/identity"
)

// known is an identity that knows who calls.
type known struct {
	caller identity.Caller
	err    error
}

func (known) Credentials() credentials.TransportCredentials { return nil }

func (k known) Authorize(context.Context, string) (identity.Caller, error) { return k.caller, k.err }

func list() *grpc.UnaryServerInfo {
	return &grpc.UnaryServerInfo{FullMethod: "/multinic.v1.FleetService/ListNodes"}
}

func TestAnOperatorHasSixteenCallsAtOnceAndANodeEight(t *testing.T) {
	for caller, most := range map[identity.Caller]int{{Name: "alice"}: 16, {Name: "executor on node-a", Node: "node-a"}: 8} {
		synctest.Test(t, func(t *testing.T) {
			gate := identity.NewGate(known{caller: caller}, zap.NewNop())
			end := make(chan struct{})
			call := func() error {
				_, err := gate.Unary(t.Context(), nil, list(), func(context.Context, any) (any, error) { <-end; return "answer", nil })

				return err
			}
			var calls sync.WaitGroup
			for range most {
				calls.Go(func() { allowed(t, "a call", call()) })
			}
			synctest.Wait()
			if err := call(); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%s, one more: %v", caller.Name, err)
			}
			close(end)
			calls.Wait()
			allowed(t, "when they have ended", call())
		})
	}
}

func TestRefusalsAreLoggedAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		gate := identity.NewGate(known{err: identity.Denied("mallory", "because")}, zap.New(core))
		call := func() {
			_, err := gate.Unary(t.Context(), nil, list(), nil)
			refused(t, "a call", err, codes.PermissionDenied)
		}
		for range 1000 {
			call()
		}
		if logs.Len() != 20 {
			t.Errorf("of 1000 refusals %d were logged", logs.Len())
		}
		time.Sleep(time.Second)
		call()
		last := logs.All()[logs.Len()-1].ContextMap()
		if logs.Len() != 21 || last["not_logged_before"] != int64(980) || last["caller"] != "mallory" || last["why"] != "because" {
			t.Errorf("%d were logged, the last is %v", logs.Len(), last)
		}
	})
}

func TestACallEndsWhenItsCallerMustBeAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := identity.NewGate(known{caller: identity.Caller{Name: "alice", Until: time.Now().Add(time.Minute)}}, zap.NewNop())
		began := time.Now()
		_, err := gate.Unary(t.Context(), nil, list(), func(ctx context.Context, _ any) (any, error) {
			if caller := identity.From(ctx); caller.Name != "alice" {
				t.Errorf("the caller is %+v", caller)
			}
			<-ctx.Done()

			return nil, ctx.Err()
		})
		if err == nil || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}
