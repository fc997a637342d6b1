package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"multinic.dev/executor/internal/wire"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// stream is one session.
type stream struct {
	*Client

	number uint64
	// received is the generation of the newest WorkSet, 0 while none has come, and replaced says that another session of
	// the node has taken the place of this one. Both are the receiver's while it runs.
	received uint64
	replaced bool
	// renew is the receiver's too: the dispatcher wants to have a new session in the place of this one.
	renew bool
	// renewed says that this session is in the place of one that was to be renewed.
	renewed bool
	// connection is that of the session before, if it can be used again, and later this one's; nil: there is none.
	connection *grpc.ClientConn
	// lasts says whether the connection can be used again.
	lasts func() bool
}

// renews says, once the session has ended, that a new one is to begin at once. One that brought no work is none to go on with: it
// ends like any other, or the two sides could keep each other busy.
func (s *stream) renews() bool { return s.renew && s.received != 0 }

// close ends the connection.
func (s *stream) close() {
	if s.connection == nil {
		return
	}
	if err := s.connection.Close(); err != nil {
		s.Log.Warn("the connection to the dispatcher was not closed in good order", zap.Error(err))
	}
	s.connection = nil
}

// messages is the stream as gRPC has it.
type messages = grpc.BidiStreamingClient[multinicv1.SessionRequest, multinicv1.SessionResponse]

// run opens the session and serves it until it ends, and says why it did.
func (s *stream) run(ctx context.Context) (err error) {
	if err := s.awaitReport(ctx); err != nil {
		return err
	}
	if s.connection == nil {
		if s.connection, s.lasts, err = s.Dial(); err != nil {
			return fmt.Errorf("connect to the dispatcher: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, err := multinicv1.NewDispatchServiceClient(s.connection).Session(ctx)
	if err != nil {
		return s.explain(fmt.Errorf("open a session: %w", err))
	}
	s.Log.Info("session opened")
	if !s.renewed {
		s.setReady(errors.New("in session, and the dispatcher has not said yet what this node should have"))
	}
	s.Meter.Connected(true)

	var receiver sync.WaitGroup
	ended := make(chan error, 1)
	receiver.Go(func() { ended <- s.receive(messages) })
	defer receiver.Wait()
	defer cancel() // Before the receiver is waited for.

	return s.send(messages, ended)
}

// awaitReport waits for the first report ever, which the worker makes when it starts.
func (s *stream) awaitReport(ctx context.Context) error {
	if _, found := s.Reports.Get(); found {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	case <-s.Reports.Moved():
		return nil
	}
}

// send sends the Hello, the report that there is, and each newer one, until the receiver says why the session has ended.
// What cannot be sent because it has ended is no error of its own: gRPC says io.EOF then, and the receiver learns the rest.
func (s *stream) send(messages messages, ended <-chan error) error {
	err := messages.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: s.Hello}})
	for {
		if err == nil {
			report, _ := s.Reports.Get()
			err = messages.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{
				Report: wire.FromReport(report, s.number, s.Facts),
			}})
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return fmt.Errorf("send to the dispatcher: %w", err)
			}

			return <-ended
		}
		select {
		case err := <-ended:
			return err
		case <-s.Reports.Moved():
		}
	}
}

// receive takes what the dispatcher sends until the session ends, and says why it did.
func (s *stream) receive(messages messages) error {
	for {
		response, err := messages.Recv()
		if err != nil {
			return s.explain(err)
		}
		switch message := response.GetMessage().(type) {
		case *multinicv1.SessionResponse_WorkSet:
			s.take(message.WorkSet)
		case *multinicv1.SessionResponse_Drain:
			switch message.Drain.GetReason() {
			case multinicv1.DrainReason_DRAIN_REASON_REPLACED:
				return s.explain(status.Error(codes.Aborted, "the dispatcher says so"))
			case multinicv1.DrainReason_DRAIN_REASON_RENEW:
				s.renew = true // When this one has ended: before, the new one would take its place by force.
			default:
				s.Log.Info("the dispatcher is shutting down")
			}
		default:
			// Of a newer dispatcher; the protocol says to pass over it.
		}
	}
}

// explain says for people why a session has ended.
func (s *stream) explain(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the dispatcher has ended the session")
	case status.Code(err) == codes.Aborted:
		s.replaced = true

		return fmt.Errorf("another session of this node has replaced this one; look for a second executor with the same --node-name: %w", err)
	case status.Code(err) == codes.Unauthenticated:
		return fmt.Errorf("the dispatcher does not believe that this executor is who it says; its log says why: %w", err)
	case status.Code(err) == codes.PermissionDenied:
		return fmt.Errorf("the dispatcher does not let this executor speak for its node; its log says why: %w", err)
	default:
		return fmt.Errorf("the session with the dispatcher broke: %w", err)
	}
}

// take hands a WorkSet to the worker. One that cannot be right is passed over as a whole: the picture in hand stands.
func (s *stream) take(message *multinicv1.WorkSet) {
	log := s.Log.With(zap.Uint64("generation", message.GetGeneration()))
	set, err := wire.ToSet(s.number, message)
	if err == nil && message.GetGeneration() <= s.received {
		err = fmt.Errorf("its generation is not above %d, that of the one before", s.received)
	}
	if err != nil {
		log.Error("a WorkSet was passed over: the dispatcher must not send it", zap.Error(err))

		return
	}
	s.received = message.GetGeneration()
	log.Info("WorkSet received", zap.Int("items", len(set.Items)))
	s.Sets.Put(set)
	s.setReady(nil)
}
