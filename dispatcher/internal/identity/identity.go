// Package identity says who calls the dispatcher, and what that caller may do.
package identity

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// Caller is who calls. The zero value is a caller of the identity "insecure", who is believed.
type Caller struct {
	// Name is for people: a certificate's common name, or a Kubernetes user name.
	Name string
	// Node is the node whose executor this is: a Hello must name it. Empty: no executor, or one that is believed.
	Node string
	// Until is when the caller must be asked again who it is, on the monotonic clock. Zero: never.
	Until time.Time
}

// Identity is a way in which callers prove who they are. Its methods are safe concurrently.
type Identity interface {
	// Credentials are how connections are protected.
	Credentials() credentials.TransportCredentials
	// Authorize says who makes a call of a method, such as /multinic.v1.FleetService/GetNode. Errors: a *RefusedError where the caller
	// has no right to it; anything else where that cannot be found out now.
	Authorize(ctx context.Context, method string) (Caller, error)
}

// callerKey is the key of the Caller in a call's context.
type callerKey struct{}

// From is who makes the call that ctx belongs to; see Gate.
func From(ctx context.Context) Caller {
	caller, _ := ctx.Value(callerKey{}).(Caller)

	return caller
}

// With is ctx as that of a call by a caller.
func With(ctx context.Context, caller Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// RefusedError says why a caller may not do what it wants. The caller learns the code alone; the reason is for the dispatcher's log.
type RefusedError struct {
	// Code is UNAUTHENTICATED, PERMISSION_DENIED or RESOURCE_EXHAUSTED.
	Code codes.Code
	// Caller is who it was, as far as that is known; for people.
	Caller string
	// Why is the reason.
	Why string
}

// Error is what the log says.
func (r *RefusedError) Error() string { return fmt.Sprintf("%v: %s", r.Code, r.Why) }

// GRPCStatus is what the caller learns.
func (r *RefusedError) GRPCStatus() *status.Status {
	switch r.Code {
	case codes.Unauthenticated:
		return status.New(r.Code, "unauthenticated")
	case codes.ResourceExhausted:
		return status.New(r.Code, "too many calls or connections")
	default:
		return status.New(codes.PermissionDenied, "permission denied")
	}
}

func unauthenticated(format string, values ...any) *RefusedError {
	return &RefusedError{Code: codes.Unauthenticated, Why: fmt.Sprintf(format, values...)}
}

// Denied is the refusal of a caller that is known and has no right to what it wants.
func Denied(caller, format string, values ...any) *RefusedError {
	return &RefusedError{Code: codes.PermissionDenied, Caller: caller, Why: fmt.Sprintf(format, values...)}
}
