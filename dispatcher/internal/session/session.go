// Package session serves the executors' streams.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/wire"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	// helloTimeout is how long a stream may say nothing: whoever opens one knows what to say.
	helloTimeout = 10 * time.Second
	// sendTimeout is how long a peer may take to make room for a message, and drainTimeout how long it may take for all that is
	// still to be said when its session has ended. What is not read fills the stream's window of 64 KiB, after which a Send waits
	// for ever.
	sendTimeout  = 30 * time.Second
	drainTimeout = 5 * time.Second
)

// Reconciler is what a stream asks of the fleet's owner.
type Reconciler interface {
	// Open begins a session of a node, and ends the one that it has.
	Open(node, peer string) (*reconcile.Session, error)
	// Report takes over a report that wire.CheckReport let pass.
	Report(session *reconcile.Session, report *multinicv1.NodeReport)
	// Close ends a session that Open returned.
	Close(session *reconcile.Session)
}

// Server serves DispatchService.
type Server struct {
	multinicv1.UnimplementedDispatchServiceServer

	reconciler Reconciler
	limits     limits
	chance     func() float64
	// helpers are the goroutines that receive and send; each ends soon after its stream has.
	helpers sync.WaitGroup
}

var _ multinicv1.DispatchServiceServer = &Server{}

// NewServer returns a server that has as many streams at once as it is told. Chance returns random numbers of [0, 1), as rand.Float64
// does. After the gRPC server that it is registered with has stopped, call Wait.
func NewServer(reconciler Reconciler, streams int, chance func() float64) *Server {
	return &Server{reconciler: reconciler, limits: limits{sessions: streams, hellos: map[string]*rate.Limiter{}}, chance: chance}
}

// Wait returns when no goroutine of the server is left.
func (s *Server) Wait() { s.helpers.Wait() }

// Session is one stream; see the protocol. One goroutine, this one, decides, and its return ends the stream, whatever those
// that receive and send for it are waiting for.
func (s *Server) Session(stream multinicv1.DispatchService_SessionServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	caller := identity.From(ctx)
	if err := s.limits.enter(caller.Name); err != nil {
		return err
	}
	defer s.limits.leave()
	incoming := s.receive(ctx, stream)
	hello, err := firstMessage(ctx, incoming)
	if err != nil {
		return err
	}
	if caller.Node != "" && caller.Node != hello.GetNodeName() {
		return identity.Denied(caller.Name, "the Hello is of the node %q, and the caller is the executor of %q", hello.GetNodeName(), caller.Node)
	}
	if err := s.limits.hello(hello.GetNodeName()); err != nil {
		return err
	}
	session, err := s.reconciler.Open(hello.GetNodeName(), address(ctx))
	if errors.Is(err, reconcile.ErrName) {
		return status.Errorf(codes.InvalidArgument, "node_name %q: %v", hello.GetNodeName(), err)
	}
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	defer s.reconciler.Close(session)
	renew, stop := s.renewal(caller)
	defer stop()

	for {
		select {
		case message := <-incoming:
			report, err := reportIn(message)
			if report == nil {
				return err
			}
			s.reconciler.Report(session, report)
		case work := <-session.Work():
			response := &multinicv1.SessionResponse{Message: &multinicv1.SessionResponse_WorkSet{WorkSet: work}}
			sent := s.send(stream, response)
			select {
			case err := <-sent:
				if err != nil {
					return err
				}
			case reason := <-session.Ended():
				return s.drain(stream, sent, reason)
			case <-time.After(sendTimeout):
				return status.Errorf(codes.ResourceExhausted, "a message was not read within %v", sendTimeout)
			}
		case reason := <-session.Ended():
			return s.drain(stream, nil, reason)
		case <-renew:
			return s.drain(stream, nil, multinicv1.DrainReason_DRAIN_REASON_RENEW)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// renewalSpread is the share of their time by which sessions end early at most, by chance: all that began after a restart of the
// dispatcher would otherwise begin anew at once, for ever.
const renewalSpread = 0.1

// renewal is when a session must begin anew, as its caller has to prove again who it is; never, where that has no end.
func (s *Server) renewal(caller identity.Caller) (<-chan time.Time, func() bool) {
	if caller.Until.IsZero() {
		return nil, func() bool { return false }
	}
	left := float64(time.Until(caller.Until))
	timer := time.NewTimer(time.Duration(left * (1 - renewalSpread*s.chance())))

	return timer.C, timer.Stop
}

// message is what was received, or why nothing more will be.
type message struct {
	request *multinicv1.SessionRequest
	err     error
}

// receive receives until the stream ends, in a goroutine of its own: only what returns from the handler ends a Recv.
func (s *Server) receive(ctx context.Context, stream multinicv1.DispatchService_SessionServer) <-chan message {
	incoming := make(chan message)
	s.helpers.Go(func() {
		for {
			request, err := stream.Recv()
			select {
			case incoming <- message{request: request, err: err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})

	return incoming
}

// firstMessage waits for the Hello.
func firstMessage(ctx context.Context, incoming <-chan message) (*multinicv1.Hello, error) {
	late := time.NewTimer(helloTimeout)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-late.C:
		return nil, status.Errorf(codes.InvalidArgument, "no Hello came within %v", helloTimeout)
	case first := <-incoming:
		if first.err != nil {
			return nil, first.err
		}
		hello := first.request.GetHello()
		if hello == nil {
			return nil, status.Error(codes.InvalidArgument, "the first message must be a Hello")
		}
		if name := hello.GetNodeName(); strings.TrimSpace(name) == "" || len(name) > row.MaxName || !utf8.ValidString(name) {
			return nil, status.Errorf(codes.InvalidArgument, "node_name %q must have 1 to %d bytes of UTF-8, not blanks alone",
				name[:min(len(name), row.MaxName)], row.MaxName)
		}

		return hello, nil
	}
}

// reportIn is the report that a later message must be. Without one the stream ends with the error, in good order if it is nil.
func reportIn(m message) (*multinicv1.NodeReport, error) {
	if m.err != nil {
		if errors.Is(m.err, io.EOF) {
			return nil, nil //nolint:nilnil // the executor has said all that it had to say
		}

		return nil, m.err
	}
	report := m.request.GetReport()
	if report == nil {
		return nil, status.Error(codes.InvalidArgument, "each message after the first must be a NodeReport")
	}
	if err := wire.CheckReport(report); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	wire.Bound(report)

	return report, nil
}

// send sends a message, and hands over what came of it. A Send that the peer makes no room for ends with the stream.
func (s *Server) send(stream multinicv1.DispatchService_SessionServer, response *multinicv1.SessionResponse) <-chan error {
	sent := make(chan error, 1)
	s.helpers.Go(func() { sent <- stream.Send(response) })

	return sent
}

// drain says why the stream ends, once the message that is still being sent (nil: none is) is out, and returns the status
// for its end. A peer that reads too slowly for it learns the status alone.
func (s *Server) drain(stream multinicv1.DispatchService_SessionServer, sending <-chan error, reason multinicv1.DrainReason) error {
	late := time.After(drainTimeout)
	if sending != nil {
		select {
		case err := <-sending:
			if err != nil {
				return err
			}
		case <-late:
			return goodbye(reason)
		}
	}
	farewell := &multinicv1.SessionResponse{Message: &multinicv1.SessionResponse_Drain{Drain: &multinicv1.Drain{Reason: reason}}}
	select {
	case err := <-s.send(stream, farewell):
		if err != nil {
			return err
		}
	case <-late:
	}

	return goodbye(reason)
}

// goodbye is the status with which a stream ends for a reason.
func goodbye(reason multinicv1.DrainReason) error {
	switch reason {
	case multinicv1.DrainReason_DRAIN_REASON_REPLACED:
		return status.Error(codes.Aborted, "a newer session of the same node has replaced this one; stay away for 30 seconds or more")
	case multinicv1.DrainReason_DRAIN_REASON_RENEW:
		return status.Error(codes.Unavailable, "the session has lived out its time; open a new one")
	case multinicv1.DrainReason_DRAIN_REASON_UNSPECIFIED, multinicv1.DrainReason_DRAIN_REASON_SHUTDOWN:
	}

	return status.Error(codes.Unavailable, reconcile.ErrDraining.Error())
}

// address is the caller's; empty where it has none, as over a unix socket.
func address(ctx context.Context) string {
	caller, ok := peer.FromContext(ctx)
	if !ok || caller.Addr.Network() == "unix" {
		return ""
	}

	return fmt.Sprint(caller.Addr)
}
